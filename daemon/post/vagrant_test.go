package post

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/boxregistry/boxfile"
	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/disk"
)

// machine is an artifact with a real disk.
func machine(t *testing.T) hypervisor.Artifact {
	t.Helper()
	if _, err := exec.LookPath("qemu-img"); err != nil {
		t.Skip("qemu-img is not installed")
	}
	path := filepath.Join(t.TempDir(), "packer-debian")
	if err := (disk.Tool{}).Create(t.Context(), path, disk.QCOW2, 3<<30, disk.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	return hypervisor.Artifact{Builder: "qemu", Driver: "libvirt", Arch: "amd64", Files: []hypervisor.File{
		{Path: path, Role: hypervisor.RoleDisk, Format: disk.QCOW2, VirtualSize: 3 << 30}}}
}

func inspectBox(t *testing.T, path string) boxfile.Summary {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sum, err := boxfile.Inspect(t.Context(), f, boxfile.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

func TestVagrant(t *testing.T) {
	t.Parallel()
	env, dir := testEnv(t)
	a := process(t, NewVagrant, `{}`, env, machine(t))
	if len(a.Files) != 1 {
		t.Fatalf("artifact %+v", a)
	}
	f := a.Files[0]
	if f.Role != hypervisor.RoleBox || f.Name() != "packer_debian_libvirt_amd64.box" || f.Path != filepath.Join(dir, f.Dest) {
		t.Errorf("file %+v", f)
	}
	sum := inspectBox(t, f.Path)
	if sum.SHA256 != f.SHA256 || sum.Size != f.Size || sum.VirtualSize != f.VirtualSize || sum.Metadata.VirtualSize != 3 {
		t.Errorf("summary %+v, file %+v", sum, f)
	}
	var said boxfile.Summary
	err := json.Unmarshal(f.Box, &said)
	if diff := cmp.Diff(sum, said); diff != "" || err != nil {
		t.Errorf("inspected and said by the packer: %s; %v", diff, err)
	}
	if st, _ := os.Stat(f.Path); st.Mode().Perm() != 0o644 {
		t.Errorf("mode %v", st.Mode())
	}
}

func TestVagrantArguments(t *testing.T) {
	t.Parallel()
	env, dir := testEnv(t)
	put(t, dir, "tpl/Vagrantfile", "# {{ .BuildName }} for {{ .Provider }} on {{ .Architecture }}\n")
	put(t, dir, "docs/README.md", "read me")
	args := `{"output":"boxes/{{.Provider}}-{{.BuildName}}.box","vagrantfile_template":"tpl/Vagrantfile","architecture":"arm64","compression_level":0,
		"override":{"libvirt":{"include":["docs/README.md"],"compression_level":9},"virtualbox":{"output":"no"}}}`
	a := process(t, NewVagrant, args, env, machine(t))
	if a.Files[0].Name() != "boxes/libvirt-debian.box" || a.Arch != "arm64" {
		t.Errorf("artifact %+v", a)
	}
	sum := inspectBox(t, a.Files[0].Path)
	if !strings.Contains(sum.Vagrantfile, "\n# debian for libvirt on arm64\n") || sum.Metadata.Architecture != "arm64" || sum.Size > 5000 {
		t.Errorf("summary %+v", sum)
	}
	if last := sum.Files[len(sum.Files)-1]; last.Name != "README.md" || last.Size != 7 {
		t.Errorf("files %+v", sum.Files)
	}
	names, err := VagrantInputs(json.RawMessage(args))
	slices.Sort(names)
	if diff := cmp.Diff([]string{"docs/README.md", "tpl/Vagrantfile"}, slices.Compact(names)); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

func TestVagrantGeneratedTemplate(t *testing.T) {
	t.Parallel()
	env, dir := testEnv(t)
	env.Files = files(t.TempDir()) // it is no input
	args := `{"vagrantfile_template":"made/Vagrantfile","vagrantfile_template_generated":true}`
	if names, err := VagrantInputs(json.RawMessage(args)); err != nil || len(names) > 0 {
		t.Errorf("inputs %v, %v", names, err)
	}
	if _, err := tryProcess(t.Context(), NewVagrant, args, env, machine(t)); err == nil || !strings.Contains(err.Error(), "vagrantfile_template") {
		t.Errorf("error is %v", err)
	}
	put(t, dir, "made/Vagrantfile", "# made\n")
	if sum := inspectBox(t, process(t, NewVagrant, args, env, machine(t)).Files[0].Path); !strings.HasSuffix(sum.Vagrantfile, "\n# made\n") {
		t.Errorf("Vagrantfile %q", sum.Vagrantfile)
	}
}

func TestVagrantRefuses(t *testing.T) {
	t.Parallel()
	good := machine(t)
	foreign := good
	foreign.Builder, foreign.Driver = "amazon-ebs", "aws"
	for _, c := range []struct {
		args, word string
		a          hypervisor.Artifact
	}{
		{`{}`, "set provider_override", foreign},
		{`{}`, "no disk", hypervisor.Artifact{Builder: "qemu"}},
		{`{"output":"{{.Nope}}"}`, "Nope", good},
		{`{"output":"{{"}`, "output", good},
		{`{"include":["missing.txt"]}`, "missing.txt", good},
		{`{"include":["."]}`, "not a regular file", good},
		{`{"vagrantfile_template":"missing"}`, "missing", good},
	} {
		env, dir := testEnv(t)
		if _, err := tryProcess(t.Context(), NewVagrant, c.args, env, c.a); err == nil || !strings.Contains(err.Error(), c.word) {
			t.Errorf("%s: %v; want %q in it", c.args, err, c.word)
		}
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("%s left %v", c.args, left)
		}
	}
	if a := process(t, NewVagrant, `{"provider_override":"libvirt"}`, first(testEnv(t)), foreign); a.Files[0].Name() != "packer_debian_libvirt_amd64.box" {
		t.Errorf("artifact %+v", a)
	}
}

func first[A, B any](a A, _ B) A { return a }
