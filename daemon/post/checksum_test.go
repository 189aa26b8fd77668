package post

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/hypervisor"
)

const (
	helloMD5    = "5d41402abc4b2a76b9719d911017c592"
	helloSHA256 = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
)

func TestChecksumDefaults(t *testing.T) {
	t.Parallel()
	env, dir := testEnv(t)
	a := process(t, NewChecksum, `{}`, env, artifact(t))
	if len(a.Files) != 3 || a.Files[2].Name() != "packer_debian_qemu_md5.checksum" || a.Files[2].Size == 0 {
		t.Errorf("artifact %+v", a)
	}
	text := read(t, filepath.Join(dir, "packer_debian_qemu_md5.checksum"))
	if !strings.HasPrefix(text, helloMD5+"\ta\n") || strings.Count(text, "\n") != 2 {
		t.Errorf("check sums %q", text)
	}
}

func TestChecksumTypesAndTool(t *testing.T) {
	t.Parallel()
	env, dir := testEnv(t)
	a := artifact(t)
	got := process(t, NewChecksum, `{"checksum_types":["sha256","sha512","sha1"],"output":"sums/{{.ChecksumType}}.txt"}`, env, a)
	if len(got.Files) != 5 {
		t.Errorf("artifact %+v", got)
	}
	for typ, tool := range map[string]string{"sha256": "sha256sum", "sha512": "sha512sum", "sha1": "sha1sum"} {
		cmd := exec.CommandContext(t.Context(), tool, "-c", filepath.Join(dir, "sums", typ+".txt"))
		cmd.Dir = filepath.Dir(a.Files[0].Path)
		if out, err := cmd.CombinedOutput(); err != nil && !errors.Is(err, exec.ErrNotFound) {
			t.Errorf("%s: %v %s", tool, err, out)
		}
	}
}

// TestChecksumShared: several builds and repeated runs may write into one file.
func TestChecksumShared(t *testing.T) {
	t.Parallel()
	env, dir := testEnv(t)
	put(t, dir, "SUMS", "0123\tother.box\nffff\ta\n")
	for range 2 {
		process(t, NewChecksum, `{"checksum_types":["md5","sha256"],"output":"SUMS"}`, env, artifact(t))
	}
	text := read(t, filepath.Join(dir, "SUMS"))
	if strings.Count(text, "\n") != 5 || !strings.HasPrefix(text, "0123\tother.box\n") || strings.Contains(text, "ffff\ta") ||
		!strings.Contains(text, helloMD5+"\ta\n") || !strings.Contains(text, helloSHA256+"\ta\n") {
		t.Errorf("check sums %q", text)
	}
}

type manifestView struct {
	Builds []manifestEntry `json:"builds"`
	Last   string          `json:"last_run_uuid"`
}

func TestManifest(t *testing.T) {
	t.Parallel()
	env, dir := testEnv(t)
	put(t, dir, "packer-manifest.json", `{"builds":[{"name":"old","extra":{"kept":true}}],"last_run_uuid":"run-0"}`)
	p, err := NewManifest(json.RawMessage(`{"custom_data":{"by":"{{ build_name }}"}}`), env)
	if err != nil {
		t.Fatal(err)
	}
	p.(*manifest).now = func() time.Time { return time.Unix(1700000000, 0) }
	a := artifact(t)
	if _, err := p.Process(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	text := read(t, filepath.Join(dir, "packer-manifest.json"))
	var m manifestView
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		t.Fatal(err)
	}
	want := manifestEntry{Name: "debian", BuilderType: "qemu", BuildTime: 1700000000, ArtifactID: "VM", RunUUID: "run-1",
		CustomData: map[string]string{"by": "debian"}, Files: []listedFile{{"output/a", 5, helloSHA256}, m.Builds[1].Files[1]}}
	if diff := cmp.Diff(want, m.Builds[1]); diff != "" || m.Last != "run-1" {
		t.Error(diff, m.Last)
	}
	if !strings.Contains(text, `"kept": true`) {
		t.Errorf("an older entry lost something: %s", text)
	}
}

func TestManifestStripped(t *testing.T) {
	t.Parallel()
	env, dir := testEnv(t)
	a := artifact(t)
	a.Files = []hypervisor.File{{Path: a.Files[0].Path, Dest: "x/y.box", Role: hypervisor.RoleBox, Format: "libvirt", SHA256: "known"}}
	process(t, NewManifest, `{"strip_path":true,"strip_time":true,"output":"m/{{.BuildName}}.json"}`, env, a)
	text := strings.Join(strings.Fields(read(t, filepath.Join(dir, "m/debian.json"))), "")
	want := `{"builds":[{"name":"debian","builder_type":"qemu","files":[{"name":"y.box","size":5,"sha256":"known"}],"artifact_id":"libvirt","packer_run_uuid":"run-1","custom_data":null}],"last_run_uuid":"run-1"}`
	if text != want {
		t.Errorf("manifest %s", text)
	}
}

// TestManifestTogether: builds that end at the same time lose no entry.
func TestManifestTogether(t *testing.T) {
	t.Parallel()
	env, dir := testEnv(t)
	const builds = 12
	var all sync.WaitGroup
	for i := range builds {
		env, a := env, artifact(t)
		env.Vars.BuildName = fmt.Sprint("b", i)
		all.Go(func() {
			if _, err := tryProcess(t.Context(), NewManifest, `{}`, env, a); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	var m manifestView
	if err := json.Unmarshal([]byte(read(t, filepath.Join(dir, "packer-manifest.json"))), &m); err != nil || len(m.Builds) != builds {
		t.Errorf("%d entries, %v", len(m.Builds), err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

func TestManifestOfSomethingElse(t *testing.T) {
	t.Parallel()
	env, dir := testEnv(t)
	put(t, dir, "packer-manifest.json", "not JSON")
	if _, err := tryProcess(t.Context(), NewManifest, `{}`, env, artifact(t)); err == nil || !strings.Contains(err.Error(), "move it away") {
		t.Errorf("error is %v", err)
	}
	if text := read(t, filepath.Join(dir, "packer-manifest.json")); text != "not JSON" {
		t.Errorf("the file was changed to %q", text)
	}
}

func TestArtifactID(t *testing.T) {
	t.Parallel()
	a := hypervisor.Artifact{IDs: []hypervisor.RemoteID{{Region: "us-east-1", ID: "ami-2"}, {Region: "eu-west-1", ID: "ami-1"}}}
	if got := artifactID(a); got != "eu-west-1:ami-1,us-east-1:ami-2" {
		t.Error(got)
	}
}
