package steps

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"hash"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/blob"
	"github.com/boxkiln/boxkiln/boxregistry/blob/mem"
	"github.com/boxkiln/boxkiln/boxregistry/provenance"
	"github.com/boxkiln/boxkiln/boxregistry/signing"
	boxstore "github.com/boxkiln/boxkiln/boxregistry/store"
	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/internal/sqlitedb"
	"github.com/boxkiln/boxkiln/iso"
)

// press is a set of steps over a registry in memory.
func press(t *testing.T) *Set {
	t.Helper()
	db, err := sqlitedb.Open(t.Context(), filepath.Join(t.TempDir(), "boxkiln.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	registry, err := boxstore.New(t.Context(), db, &mem.Store{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	key, err := signing.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return &Set{Registry: registry, Signer: key, Version: "1.0.0", Now: func() time.Time { return time.Date(2026, 11, 20, 12, 0, 9, 5, time.UTC) }, History: history{}}
}

// history is that of a build in its second attempt, which publishes just now.
type history struct{}

func (history) Steps(context.Context, build.ID) ([]build.StepRecord, error) {
	began := build.Stamp(time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC))
	return []build.StepRecord{{Name: "fetch-media", Attempt: 1, Phase: build.StepFailed, Seconds: 1}, {Name: "fetch-media", Attempt: 2, Phase: build.StepCached, Began: began},
		{Name: "export", Attempt: 2, Phase: build.StepDone, Began: began, Seconds: 2.5}, {Name: "publish", Attempt: 2, Phase: build.StepBegan, Began: began}}, nil
}

// described is a session about which there is much to say, some of it secret.
func described() *build.Session {
	s, _ := sessionWith(nil)
	s.Attempt, s.Tag = 2, hypervisor.Tag{Install: "b0c5"}
	s.Media = iso.File{URL: "https://me:hunter2@mirror.example.org/debian.iso?sig=abc", SHA256: iso.Digest{Hex: strings.Repeat("2", 64)}}
	s.Plan = &build.Plan{
		Label: "qemu.debian", Driver: "libvirt", Template: "t/debian.pkr.hcl", TemplateDir: "/home/me/t", Cwd: "/home/me", Secrets: []string{"s3cret-name"},
		Inputs: []build.Input{{Path: "/home/me/t/http", Mode: fs.ModeDir | 0o755}, {Path: "/home/me/t/http/ks.cfg", Digest: strings.Repeat("3", 64)}, {Path: "/etc/s3cret-name", Digest: strings.Repeat("4", 64)}},
		Origin: build.Origin{Files: []build.Input{{Path: "/home/me/t/debian.pkr.hcl", Digest: strings.Repeat("1", 64)}, {Path: "/home/me/secret.pkrvars.hcl"}},
			Checkout: &build.Checkout{Remote: "https://example.org/t.git", Commit: strings.Repeat("c", 40), Modified: true}},
	}
	return s
}

// published stores content as a box of a session and attests it.
func published(t *testing.T, set *Set, s *build.Session, version, content string) boxregistry.File {
	t.Helper()
	name, nameErr := boxregistry.ParseName("ops/deb")
	v, versionErr := boxregistry.ParseVersion(version)
	if err := errors.Join(nameErr, versionErr); err != nil {
		t.Fatal(err)
	}
	pub := boxregistry.Publication{Box: name, Version: v, File: boxregistry.File{Provider: "libvirt", Architecture: "amd64", Firmware: "bios",
		Smoke: boxregistry.Smoke{Passed: true, Detail: "logged in", At: set.Now()}}}
	var h hash.Hash
	w, err := set.openWriter(t.Context(), s.Box, &h)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for chunk := range bytes.SplitAfterSeq([]byte(content), []byte(" ")) {
		if _, err := w.Write(chunk); err != nil {
			t.Fatal(err)
		}
	}
	info, err := w.Commit(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	pub.File.Digest, pub.File.Size = info.Digest, info.Size
	if err := errors.Join(set.attest(t.Context(), s, &pub, h), set.Registry.Publish(t.Context(), pub)); err != nil {
		t.Fatal(err)
	}
	return pub.File
}

func TestAttest(t *testing.T) {
	t.Parallel()
	set, s := press(t), described()
	s.Packages = []byte(`{"bomFormat":"CycloneDX","specVersion":"1.6","components":[]}`)
	f := published(t, set, s, "1.0", "the bytes of a box")
	got, err := provenance.Parse(f.Provenance)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, r := range got.Predicate.BuildDefinition.Resolved {
		lines = append(lines, strings.Join([]string{string(r.Annotations.Role), r.Name + r.URI, r.Digest.SHA256 + r.Digest.GitCommit}, " "))
	}
	want := []string{"source git+https://example.org/t.git " + strings.Repeat("c", 40), "template debian.pkr.hcl " + strings.Repeat("1", 64), "template secret.pkrvars.hcl ",
		"medium https://mirror.example.org/debian.iso " + strings.Repeat("2", 64), "input http/ks.cfg " + strings.Repeat("3", 64)}
	for i, line := range want {
		if i >= len(lines) || lines[i] != line {
			t.Fatalf("dependencies\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
		}
	}
	for _, secret := range []string{"hunter2", "s3cret", "sig=abc", "/home/me"} {
		if strings.Contains(string(f.Provenance), secret) {
			t.Errorf("the provenance tells %q", secret)
		}
	}
	m := got.Predicate.RunDetails.Metadata
	if m.StartedOn.IsZero() || m.Attempt != 2 || len(m.Steps) != 2 || m.Steps[1] != (provenance.Step{Name: "export", Phase: "done", Seconds: 2.5}) || m.Smoke == nil || !m.Smoke.Passed {
		t.Errorf("metadata %+v", m)
	}
	if made, ok := got.Byproduct("sbom.cdx.json"); !ok || len(made.Digest.SHA256) != 64 {
		t.Errorf("packages %+v", made)
	}
	if packages, err := set.Registry.(*boxstore.Registry).Packages(t.Context(), f.Digest); err != nil || !bytes.Equal(packages, s.Packages) {
		t.Errorf("packages %s, %v", packages, err)
	}
	check(t, set, f.Digest, "the bytes of a box", "ops/deb 1.0 libvirt amd64 sha256:"+string(f.Digest))
}

// check holds a box to have a signature with a comment.
func check(t *testing.T, set *Set, d blob.Digest, content, comment string) {
	t.Helper()
	files, err := set.Registry.Signatures(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	found := signing.Find(files, comment)
	if len(found) == 0 {
		t.Fatalf("no signature says %q among\n%s", comment, files)
	}
	if _, err := set.Signer.Public().Check(strings.NewReader(content), []byte(found[0])); err != nil {
		t.Error(err)
	}
}

// A box that is published again unchanged is signed without being hashed again; one that has become another is read once more.
func TestSignAgain(t *testing.T) {
	t.Parallel()
	set, s := press(t), described()
	first := published(t, set, s, "1.0", "a box")
	s.Box = &hypervisor.File{SHA256: string(first.Digest)}
	var h hash.Hash
	w, err := set.openWriter(t.Context(), s.Box, &h)
	if err != nil || h != nil {
		t.Errorf("a box that is signed is hashed: %v, %v", h, err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	published(t, set, s, "1.1", "a box")
	for _, version := range []string{"1.0", "1.1"} {
		check(t, set, first.Digest, "a box", "ops/deb "+version+" libvirt amd64 sha256:"+string(first.Digest))
	}
	other := published(t, set, s, "1.2", "what somebody put in its place")
	check(t, set, other.Digest, "what somebody put in its place", "ops/deb 1.2 libvirt amd64 sha256:"+string(other.Digest))
}

func TestAttestUnsigned(t *testing.T) {
	t.Parallel()
	set, s := press(t), described()
	set.Signer, set.History, s.BaseBox = nil, nil, "box://ops/base?architecture=amd64&version=1.2.0"
	f := published(t, set, s, "1.0", "a box")
	if text, err := set.Registry.Signatures(t.Context(), f.Digest); !errors.Is(err, boxregistry.ErrNotFound) {
		t.Errorf("it is signed: %s, %v", text, err)
	}
	got, err := provenance.Parse(f.Provenance)
	if err != nil {
		t.Fatal(err)
	}
	if base := got.With(provenance.RoleBaseBox); len(base) != 1 || base[0].URI != s.BaseBox || len(got.With(provenance.RoleMedium)) != 0 {
		t.Errorf("base box %+v", base)
	}
}

func TestPublic(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"https://u:p@h/a.iso?sig=1#x": "https://h/a.iso", "/srv/iso/a.iso": "a.iso", "file:///srv/a.iso": "a.iso", "a.iso": "a.iso", "": "",
	} {
		if got := public(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

// TestPackagingIsTold: what keeps a guest from running elsewhere is in the statement of each of its boxes, and survives in the
// folder of a kept artifact.
func TestPackagingIsTold(t *testing.T) {
	t.Parallel()
	set, s := press(t), described()
	s.Plan.Packages.Package = []string{"virtualbox"}
	s.Packaging = build.Packaging{Guest: json.RawMessage(`{"os":"debian"}`), Warnings: []string{"virtualbox: no driver on s3cret-name"}}
	dir := t.TempDir()
	if err := keepPackaging(s, dir); err != nil {
		t.Fatal(err)
	}
	kept, err := keptPackaging(dir)
	if diff := cmp.Diff(s.Packaging, kept); diff != "" || err != nil {
		t.Errorf("kept: %s; %v", diff, err)
	}
	got, err := provenance.Parse(published(t, set, s, "1.0", "the bytes of a box").Provenance)
	if err != nil {
		t.Fatal(err)
	}
	told := got.Predicate.RunDetails.Metadata.Packaging
	if told == nil || string(told.Guest) != `{"os":"debian"}` || len(told.Warnings) != 1 || !strings.HasPrefix(told.Warnings[0], "virtualbox: no driver on ") {
		t.Errorf("told is %+v", told)
	}
	if told != nil && strings.Contains(strings.Join(told.Warnings, ""), "s3cret-name") {
		t.Errorf("a secret is told: %q", told.Warnings)
	}
	plain := described()
	if got, err := provenance.Parse(published(t, set, plain, "1.1", "another").Provenance); err != nil || got.Predicate.RunDetails.Metadata.Packaging != nil {
		t.Errorf("a box without packages tells of them (%v)", err)
	}
	if p, err := keptPackaging(t.TempDir()); err != nil || p.Guest != nil {
		t.Errorf("%+v, %v", p, err)
	}
}
