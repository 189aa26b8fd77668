package store

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/boxkiln/boxkiln/boxregistry"
)

// TestEditKeepsWhatItDoesNotTouch: bytes that stay keep when they came and how they booted, and no provider loses its default.
func TestEditKeepsWhatItDoesNotTouch(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, deb, one := t.Context(), name("ops/deb"), version("1.0")
	b.add("ops/deb 1.0 libvirt/amd64", "a")
	b.add("ops/deb 1.0 libvirt/arm64", "b")
	smoke := boxregistry.Smoke{Passed: true, Detail: "fine", At: time.Unix(5, 0).UTC()}
	b.must(b.SetSmoke(ctx, deb, one, "libvirt", "amd64", smoke))
	was := b.box("ops/deb").Releases[0].Files[1]
	b.must(b.EditFile(ctx, deb, one, "libvirt", "amd64", func(f *boxregistry.File) error { f.Provider = "qemu"; return nil }))
	files := b.box("ops/deb").Releases[0].Files
	if f := files[1]; f.Provider != "qemu" || !f.Published.Equal(was.Published) || f.Smoke != smoke || !f.Created.Equal(was.Created) || !f.Default {
		t.Errorf("moved: %+v", f)
	}
	if !files[0].Default {
		t.Errorf("libvirt has no default: %+v", files[0])
	}
	err := b.EditFile(ctx, deb, one, "qemu", "amd64", func(f *boxregistry.File) error {
		f.Declared = boxregistry.Checksum{Type: "sha256", Hex: "00"}
		return nil
	})
	if !errors.Is(err, boxregistry.ErrChecksum) {
		t.Errorf("another checksum than that of the bytes: %v", err)
	}
}

// TestRepeatingChangesNothing: what is so already is neither touched nor rendered anew.
func TestRepeatingChangesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, deb, one := t.Context(), name("ops/deb"), version("1.0")
	b.released("ops/deb 1.0 libvirt/amd64", "a")
	before, revision := b.box("ops/deb"), b.Revision()
	b.must(b.Release(ctx, deb, one))
	b.must(b.Pin(ctx, deb, one, false))
	b.must(b.DescribeVersion(ctx, deb, one, ""))
	if gone, err := b.Expire(ctx); err != nil || len(gone) != 0 {
		t.Errorf("%v, %v", gone, err)
	}
	if after := b.box("ops/deb"); !after.Updated.Equal(before.Updated) || b.Revision() != revision {
		t.Errorf("updated at %s and then %s", before.Updated, after.Updated)
	}
}

func TestEmptyBoxComesBack(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, deb := t.Context(), name("ops/deb")
	b.must(b.CreateBox(ctx, boxregistry.Box{Name: deb, Description: "text"}))
	b.must(b.DeleteBox(ctx, deb))
	if list, err := b.Trash(ctx); err != nil || len(list) != 1 {
		t.Errorf("trash: %v, %v", list, err)
	}
	if err := b.CreateBox(ctx, boxregistry.Box{Name: deb}); !errors.Is(err, boxregistry.ErrDeleted) {
		t.Errorf("made anew: %v", err)
	}
	b.must(b.RestoreBox(ctx, deb))
	if b.box("ops/deb").Description != "text" {
		t.Error("the description is gone")
	}
}

func TestPurgeNow(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, deb := t.Context(), name("ops/deb")
	b.released("ops/deb 1.0 libvirt/amd64", "one")
	b.add("ops/deb 2.0 libvirt/amd64", "two")
	none := boxregistry.Version{}
	for _, v := range []boxregistry.Version{none, version("1.0"), version("9")} {
		if err := b.PurgeNow(ctx, deb, v); !errors.Is(err, boxregistry.ErrNotFound) {
			t.Errorf("what is not in the trash (%q): %v", v, err)
		}
	}
	b.must(b.DeleteVersion(ctx, deb, version("1.0")))
	b.must(b.PurgeNow(ctx, deb, version("1.0")))
	if r := b.box("ops/deb").Releases; len(r) != 1 || r[0].Version.String() != "2.0" {
		t.Errorf("%+v", r)
	}
	b.must(b.DeleteBox(ctx, deb))
	b.must(b.PurgeNow(ctx, deb, none))
	if _, err := b.Collect(ctx, -1000*time.Hour); err != nil { // the clock of the blobs is another one
		t.Fatal(err)
	}
	for info := range b.blobs.All(ctx) {
		t.Errorf("left: %+v", info)
	}
	if err := b.Publish(ctx, b.upload("ops/deb 1.0 libvirt/amd64", "one")); !errors.Is(err, boxregistry.ErrImmutable) {
		t.Errorf("the number is used again: %v", err)
	}
}

// TestUnknownDeclarations: a client without architectures can declare beside files that have one; its bytes are judged.
func TestUnknownDeclarations(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, deb, two := t.Context(), name("ops/deb"), version("2.0")
	b.released("ops/deb 1.0 libvirt/amd64", "one")
	b.must(b.CreateVersion(ctx, deb, two, ""))
	b.must(b.Declare(ctx, deb, two, boxregistry.File{Provider: "libvirt", Architecture: boxregistry.UnknownArchitecture}))
	if err := b.Publish(ctx, b.upload("ops/deb 2.0 libvirt/unknown", "two")); !errors.Is(err, boxregistry.ErrArchitectureMix) {
		t.Errorf("got %v", err)
	}
	p := b.upload("ops/deb 2.0 libvirt/amd64", "two")
	p.DeclaredAs = boxregistry.UnknownArchitecture
	b.must(b.Publish(ctx, p))
	if files := b.box("ops/deb").Releases[0].Files; len(files) != 1 || files[0].Architecture != "amd64" {
		t.Errorf("%+v", files)
	}
}

func TestReplaceOnlyThat(t *testing.T) {
	t.Parallel()
	b := setup(t)
	one := b.add("ops/deb 1.0 libvirt/amd64", "one")
	p := b.upload("ops/deb 1.0 libvirt/amd64", "two")
	p.Replace, p.Over = true, p.File.Digest[1:]+"0"
	if err := b.Publish(t.Context(), p); !errors.Is(err, boxregistry.ErrExists) {
		t.Errorf("over another file: %v", err)
	}
	p.Over = one
	b.must(b.Publish(t.Context(), p))
}

func TestUploadRows(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	u := boxregistry.Upload{Key: "k", Resumable: true, Publication: pub("ops/deb 1.0 libvirt/amd64"), By: "ci", ByUser: "ada",
		Created: time.UnixMicro(1).UTC(), Expires: time.UnixMicro(2).UTC()}
	u.Over, u.Replace, u.Private, u.BoxDescription, u.File.Size, u.File.Default = "aa", true, true, "text", 7, true
	b.must(b.AddUpload(ctx, u))
	if err := b.AddUpload(ctx, u); !errors.Is(err, boxregistry.ErrExists) {
		t.Errorf("twice: %v", err)
	}
	u.Received, u.Hash, u.Came, u.Expires = 5, []byte{1}, "bb", time.UnixMicro(9).UTC()
	b.must(b.SaveUpload(ctx, u))
	got, err := b.Upload(ctx, "k")
	if err != nil || got.By != "ci" || got.Over != "aa" || !got.Replace || got.Received != 5 || !slices.Equal(got.Hash, u.Hash) || got.Came != "bb" ||
		!got.Expires.Equal(u.Expires) || got.File.Size != 7 || !got.File.Default || got.Box != u.Box || !got.Private {
		t.Errorf("%+v, %v", got, err)
	}
	b.must(b.DropUpload(ctx, "k"))
	b.must(b.DropUpload(ctx, "k"))
	for _, err := range []error{b.SaveUpload(ctx, u), func() error { _, err := b.Upload(ctx, "k"); return err }()} {
		if !errors.Is(err, boxregistry.ErrNotFound) {
			t.Errorf("gone: %v", err)
		}
	}
}
