package post

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/internal/interpolate"
	"github.com/boxkiln/boxkiln/internal/leaktest"
	"github.com/boxkiln/boxkiln/internal/schema"
	"github.com/boxkiln/boxkiln/provisioners"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// outputs places everything below a directory.
type outputs string

func (o outputs) Create(path string) (io.WriteCloser, error) {
	return os.Create(filepath.Join(string(o), path))
}

func (o outputs) Place(dest string) (string, error) {
	path := filepath.Join(string(o), dest)
	return path, os.MkdirAll(filepath.Dir(path), 0o755)
}

// files opens what the test put into a directory.
type files string

func (f files) Open(path string) (fs.File, error) { return os.DirFS(string(f)).Open(path) }

func (f files) Dir(path string) (fs.FS, error) { return fs.Sub(os.DirFS(string(f)), path) }

// testEnv is the environment of a build called "debian" in a fresh directory.
func testEnv(t *testing.T) (env build.PostEnv, dir string) {
	t.Helper()
	dir = t.TempDir()
	return build.PostEnv{
		Outputs: outputs(dir), Files: files(dir), Cwd: dir, TemplateDir: dir, Scratch: t.TempDir(), Out: io.Discard,
		Vars: provisioners.Vars{BuildName: "debian", BuilderType: "qemu", RunUUID: "run-1"},
		Render: func(text string, data map[string]string) (string, error) {
			all := interpolate.Data{"BuildName": "debian", "BuilderType": "qemu"}
			for k, v := range data {
				all[k] = v
			}
			return interpolate.Render(text, &interpolate.Context{BuildName: "debian", BuildType: "qemu"}, all)
		},
		Progress: func(string, int64, int64) {},
	}, dir
}

func put(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
	return path
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// artifact has the files a and b.
func artifact(t *testing.T) hypervisor.Artifact {
	t.Helper()
	dir := t.TempDir()
	return hypervisor.Artifact{Builder: "qemu", Driver: "libvirt", Arch: "amd64", Files: []hypervisor.File{
		{Path: put(t, dir, "a", "hello"), Role: hypervisor.RoleDisk, Dest: "output/a"}, {Path: put(t, dir, "b", strings.Repeat("b", 200000)), Role: hypervisor.RoleNVRAM}}}
}

func process(t *testing.T, newPost build.PostFactory, args string, env build.PostEnv, a hypervisor.Artifact) hypervisor.Artifact {
	t.Helper()
	out, err := tryProcess(t.Context(), newPost, args, env, a)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func tryProcess(ctx context.Context, newPost build.PostFactory, args string, env build.PostEnv, a hypervisor.Artifact) (hypervisor.Artifact, error) {
	p, err := newPost(json.RawMessage(args), env)
	if err != nil {
		return a, err
	}
	return p.Process(ctx, a)
}

func TestKindsAreDescribed(t *testing.T) {
	t.Parallel()
	blocks := map[string]*schema.Block{}
	for name, k := range Kinds() {
		blocks[name] = k.Schema
		if k.New == nil || k.Schema.Missing != "" {
			t.Errorf("%s cannot be made", name)
		}
	}
	for name, groups := range Unbuilt() {
		if blocks[name] != nil {
			t.Errorf("%s is declared twice", name)
		}
		blocks[name] = schema.Unbuilt(name, "", "it is not there yet", groups...)
	}
	for name, b := range blocks {
		for _, a := range b.Args {
			if a.Doc == "" || a.Guest != schema.StaysOutside {
				t.Errorf("%s: argument %s has the doc %q and reach %q", name, a.Name, a.Doc, a.Guest)
			}
		}
	}
}

func TestChecks(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ kind, args, word string }{
		{"vagrant", `{}`, ""},
		{"vagrant", `{"compression_level":-1,"override":{"libvirt":{"compression_level":9}}}`, ""},
		{"vagrant", `{"compression_level":10}`, "compression_level 10"},
		{"vagrant", `{"provider_override":"hyperv"}`, "hyperv"},
		{"vagrant", `{"override":{"libvirt":{"compression_level":11}}}`, "override of \"libvirt\""},
		{"vagrant", `{"override":{"libvirt":{"level":1}}}`, "unknown field"},
		{"vagrant", `{"override":[1]}`, "object of providers"},
		{"checksum", `{"checksum_types":["sha512","md5"]}`, ""},
		{"checksum", `{"checksum_types":["crc32","sha3"]}`, "\"sha3\""},
		{"compress", `{"format":"tar.zst"}`, ""},
		{"compress", `{"format":"rar"}`, "rar"},
		{"artifice", `{}`, "at least one"},
	} {
		err := Kinds()[c.kind].Check(json.RawMessage(c.args))
		if (c.word == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.word) {
			t.Errorf("%s %s: %v; want %q in it", c.kind, c.args, err, c.word)
		}
	}
}

func TestKeepsInput(t *testing.T) {
	t.Parallel()
	env, _ := testEnv(t)
	for name, want := range map[string][2]bool{"checksum": {true, true}, "manifest": {true, true}, "artifice": {true, false},
		"vagrant": {}, "compress": {}} {
		p, err := Kinds()[name].New(nil, env)
		if err != nil {
			t.Fatal(err)
		}
		var got [2]bool
		if k, ok := p.(build.KeepsInput); ok {
			got[0], got[1] = k.KeepsInput()
		}
		if got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// everyFile are post-processors that read the files of the artifact.
func everyFile() map[string]build.PostFactory {
	return map[string]build.PostFactory{"checksum": NewChecksum, "manifest": NewManifest, "compress": NewCompress}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	stop := errors.New("the user had enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(stop)
	for name, newPost := range everyFile() {
		env, dir := testEnv(t)
		if _, err := tryProcess(ctx, newPost, `{}`, env, artifact(t)); !errors.Is(err, stop) {
			t.Errorf("%s: %v", name, err)
		}
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("%s left %v", name, left)
		}
	}
}

func TestMissingAndOddFiles(t *testing.T) {
	t.Parallel()
	for name, newPost := range everyFile() {
		env, _ := testEnv(t)
		for _, path := range []string{"/no/such/file", "/dev/null", t.TempDir()} {
			a := hypervisor.Artifact{Files: []hypervisor.File{{Path: path}}}
			if _, err := tryProcess(t.Context(), newPost, `{}`, env, a); err == nil || !strings.Contains(err.Error(), path) {
				t.Errorf("%s %s: %v", name, path, err)
			}
		}
	}
}

type localCommands struct{ env provisioners.Env }

func (l localCommands) Provision(_ context.Context, g provisioners.Guest, out io.Writer) error {
	if g != nil {
		return errors.New("there is no guest any more")
	}
	_, err := io.WriteString(out, "ran for "+l.env.Vars.BuildName)
	return err
}

func TestShellLocal(t *testing.T) {
	t.Parallel()
	env, _ := testEnv(t)
	var out bytes.Buffer
	env.Out = &out
	a := artifact(t)
	got := process(t, NewShellLocal(func(_ json.RawMessage, env provisioners.Env) (provisioners.Provisioner, error) {
		return localCommands{env}, nil
	}), `{}`, env, a)
	if out.String() != "ran for debian" || len(got.Files) != len(a.Files) {
		t.Errorf("%q, %+v", out.String(), got)
	}
	broken := errors.New("bad arguments")
	if _, err := tryProcess(t.Context(), NewShellLocal(func(json.RawMessage, provisioners.Env) (provisioners.Provisioner, error) {
		return nil, broken
	}), `{}`, env, a); !errors.Is(err, broken) {
		t.Errorf("error is %v", err)
	}
}

func TestArtifice(t *testing.T) {
	t.Parallel()
	env, dir := testEnv(t)
	put(t, dir, "out/x.BOX", "box")
	put(t, dir, "disk.img", "raw")
	put(t, dir, "debian.txt", "text")
	abs := put(t, t.TempDir(), "image", "QFI\xfb\x00\x00\x00\x03 and more")
	args, _ := json.Marshal(ArtificeArgs{Files: []string{"out/x.BOX", "disk.img", "{{.BuildName}}.txt", abs}})
	got := process(t, NewArtifice, string(args), env, artifact(t))
	want := []hypervisor.Role{hypervisor.RoleBox, hypervisor.RoleDisk, hypervisor.RoleOther, hypervisor.RoleDisk}
	for i, f := range got.Files {
		if f.Role != want[i] || f.Size == 0 {
			t.Errorf("%+v; want role %s", f, want[i])
		}
	}
	if len(got.Files) != 4 || got.Files[0].Name() != "out/x.BOX" || got.Files[3].Format != "qcow2" || got.Files[3].Name() != abs {
		t.Errorf("artifact %+v", got)
	}
	if _, err := tryProcess(t.Context(), NewArtifice, `{"files":["nope","out"]}`, env, artifact(t)); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("error is %v", err)
	}
}
