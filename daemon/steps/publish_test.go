package steps

import (
	"bytes"
	"encoding/json"
	"errors"
	"hash"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/blob"
	"github.com/boxkiln/boxkiln/boxregistry/boxfile"
	boxstore "github.com/boxkiln/boxkiln/boxregistry/store"
	"github.com/boxkiln/boxkiln/hypervisor"
)

// packed is a box that our packer made.
func packed(t *testing.T, m boxfile.Metadata) *hypervisor.File {
	t.Helper()
	var b bytes.Buffer
	c := boxfile.Contents{Metadata: m, Vagrantfile: "# ours\n", Info: map[string]string{"a": "b"}}
	sum, writeErr := boxfile.Write(t.Context(), &b, c, boxfile.Options{})
	said, jsonErr := json.Marshal(sum)
	path := filepath.Join(t.TempDir(), "x.box")
	if err := errors.Join(writeErr, jsonErr, os.WriteFile(path, b.Bytes(), 0o600)); err != nil {
		t.Fatal(err)
	}
	return &hypervisor.File{Path: path, Role: hypervisor.RoleBox, SHA256: sum.SHA256, Box: said}
}

// TestStoreBoxKeepsContents: whoever made a box, and whatever was said of it, the registry knows what is in it.
func TestStoreBoxKeepsContents(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*hypervisor.File){
		"as it was packed": func(*hypervisor.File) {},
		"by a stranger":    func(f *hypervisor.File) { f.Box, f.SHA256 = nil, "" },
		"kept before summaries were": func(f *hypervisor.File) {
			f.Box = json.RawMessage(`{"provider":"qemu","architecture":"arm64","unpacked":99}`)
		},
		"said illegibly": func(f *hypervisor.File) { f.Box = json.RawMessage(`{"metadata":3}`) },
		"changed since": func(f *hypervisor.File) {
			f.Path = packed(t, boxfile.Metadata{Provider: "utm"}).Path
		},
	} {
		set, s := press(t), described()
		s.Box = packed(t, boxfile.Metadata{Provider: "qemu", Architecture: "arm64"})
		change(s.Box)
		box, readErr := os.ReadFile(s.Box.Path)
		want, inspectErr := boxfile.Inspect(t.Context(), bytes.NewReader(box), boxfile.Limits{})
		if err := errors.Join(readErr, inspectErr); err != nil {
			t.Fatal(err)
		}
		pub := boxregistry.Publication{File: boxregistry.File{Provider: "libvirt", Architecture: "amd64"}}
		var h hash.Hash
		if err := set.storeBox(t.Context(), s, parcel{box: s.Box}, &pub, &h); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, err := set.Registry.(*boxstore.Registry).Contents(t.Context(), blob.Digest(want.SHA256))
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: inspected and known: %s; %v", name, diff, err)
		}
		if f := pub.File; string(f.Digest) != want.SHA256 || f.Size != want.Size || f.UnpackedSize != want.Unpacked || string(f.Provider) != want.Metadata.Provider {
			t.Errorf("%s: published as %+v", name, f)
		}
	}
}
