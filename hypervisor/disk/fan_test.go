package disk

import (
	"path/filepath"
	"testing"
)

// allForms are targets of every form in one folder.
func allForms(dir string) []Target {
	var targets []Target
	for _, form := range []Form{FormQCOW2, FormQCOW2Compressed, FormRaw, FormVMDK, FormVMDKSplit, FormVMDKStream, FormVHD, FormVHDX, FormVDI} {
		targets = append(targets, Target{Path: filepath.Join(dir, "json:"+string(form)), Form: form})
	}
	return targets
}

func TestFanWritesEveryForm(t *testing.T) {
	t.Parallel()
	tool, ctx := needTool(t), t.Context()
	base := rawImage(t, 8<<20)
	src := filepath.Join(t.TempDir(), "src.qcow2")
	err := tool.Convert(ctx, ConvertOptions{Src: base, SrcFormat: Raw, Dst: src, DstFormat: QCOW2, Compress: true})
	if err != nil {
		t.Fatal(err)
	}
	written, err := tool.Fan(ctx, FanOptions{Src: src, SrcFormat: QCOW2, Targets: allForms(t.TempDir())})
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range written {
		if same, err := tool.Compare(ctx, Image{base, Raw}, Image{w.Path, w.Form.Format()}); err != nil || !same {
			t.Errorf("%s: same=%v err=%v", w.Form, same, err)
		}
	}
}
