package post

import (
	"archive/zip"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/boxkiln/boxkiln/hypervisor"
)

func TestFormatOf(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]format{
		"x.tar.gz": {tarContainer, "gz"}, "x.tgz": {tarContainer, "gz"}, "x": {tarContainer, "gz"}, "x.y": {tarContainer, "gz"},
		"x.tar": {tarContainer, ""}, "x.zip": {zipContainer, ""}, "x.gz": {noContainer, "gz"}, "a.b/x.tar.zst": {tarContainer, "zst"},
		"x.lz4": {noContainer, "lz4"}, "x.bgzf": {noContainer, "bgzf"}, "x.tar.xz": {tarContainer, "xz"}, "x-1.2.tar.bz2": {tarContainer, "bz2"},
		"v1.gz.d/x": {tarContainer, "gz"},
	} {
		if got := formatOf(name); got != want {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// TestCompressEveryFormat has the usual tools unpack what was made.
func TestCompressEveryFormat(t *testing.T) {
	t.Parallel()
	for name, tool := range map[string]string{
		"x.tar": "tar -xOf F a", "x.tar.gz": "tar -xzOf F a", "x.tar.xz": "xz -dc F | tar -xO a", "x.tar.zst": "zstd -dc F | tar -xO a",
		"x.tar.lz4": "lz4 -dc F | tar -xO a", "x.tar.bz2": "bzip2 -dc F | tar -xO a", "x.tar.bgzf": "gzip -dc < F | tar -xO a",
	} {
		program, _, _ := strings.Cut(tool, " ")
		if _, err := exec.LookPath(program); err != nil {
			continue
		}
		for _, level := range []string{"", `,"compression_level":1`, `,"compression_level":99`, `,"compression_level":-1`} {
			env, _ := testEnv(t)
			a := process(t, NewCompress, `{"output":"`+name+`"`+level+`}`, env, artifact(t))
			if len(a.Files) != 1 || a.Files[0].Name() != name || a.Files[0].Size == 0 {
				t.Fatalf("artifact %+v", a)
			}
			script := strings.ReplaceAll(tool, "F", "'"+a.Files[0].Path+"'")
			out, err := exec.CommandContext(t.Context(), "sh", "-c", script).CombinedOutput()
			if err != nil || string(out) != "hello" {
				t.Errorf("%s %s: %v %q", name, level, err, out)
			}
		}
	}
}

func TestCompressOneFile(t *testing.T) {
	t.Parallel()
	env, _ := testEnv(t)
	a := artifact(t)
	for _, name := range []string{"x.gz", "x.bgzf"} {
		one := a
		one.Files = a.Files[1:]
		got := process(t, NewCompress, `{"output":"`+name+`"}`, env, one)
		out, err := exec.CommandContext(t.Context(), "sh", "-c", "gzip -dc < '"+got.Files[0].Path+"'").Output()
		if err != nil || string(out) != strings.Repeat("b", 200000) {
			t.Errorf("%s: %v, %d bytes", name, err, len(out))
		}
	}
	if _, err := tryProcess(t.Context(), NewCompress, `{"output":"y.gz"}`, env, a); err == nil || !strings.Contains(err.Error(), "tar.gz") {
		t.Errorf("two files in one gzip: %v", err)
	}
}

func TestCompressZipAndDefault(t *testing.T) {
	t.Parallel()
	env, dir := testEnv(t)
	process(t, NewCompress, `{"output":"x.zip"}`, env, artifact(t))
	z, err := zip.OpenReader(filepath.Join(dir, "x.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	if len(z.File) != 2 || z.File[0].Name != "a" || z.File[1].UncompressedSize64 != 200000 {
		t.Errorf("zip holds %+v", z.File)
	}
	a := process(t, NewCompress, `{"format":"zip"}`, env, artifact(t))
	if a.Files[0].Name() != "packer_debian_qemu" {
		t.Errorf("artifact %+v", a)
	}
	if r, err := zip.OpenReader(a.Files[0].Path); err != nil {
		t.Error(err)
	} else if err := r.Close(); err != nil {
		t.Error(err)
	}
}

func TestCompressSameNames(t *testing.T) {
	t.Parallel()
	env, _ := testEnv(t)
	a := artifact(t)
	a.Files = []hypervisor.File{a.Files[0], a.Files[0]}
	for _, name := range []string{"x.zip", "x.tar.gz"} {
		if _, err := tryProcess(t.Context(), NewCompress, `{"output":"`+name+`"}`, env, a); err == nil || !strings.Contains(err.Error(), "two files") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
