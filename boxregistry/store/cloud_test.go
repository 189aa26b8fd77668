package store

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/boxkiln/boxkiln/boxregistry"
)

// must fails the test on an error.
func (b *bundle) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func TestDeclareThenPublish(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, deb, one := t.Context(), name("ops/deb"), version("1.0")
	b.must(b.CreateBox(ctx, boxregistry.Box{Name: deb, ShortDescription: "short", Private: true}))
	if err := b.CreateBox(ctx, boxregistry.Box{Name: deb}); !errors.Is(err, boxregistry.ErrExists) {
		t.Errorf("a second box of that name: %v", err)
	}
	b.must(b.CreateVersion(ctx, deb, one, "notes"))
	if err := b.CreateVersion(ctx, deb, version("1.0.0"), ""); !errors.Is(err, boxregistry.ErrExists) {
		t.Errorf("an equal version: %v", err)
	}
	declared := boxregistry.File{Provider: "libvirt", Architecture: "amd64"}
	b.must(b.Declare(ctx, deb, one, declared))
	b.must(b.Declare(ctx, deb, one, boxregistry.File{Provider: "libvirt", Architecture: "arm64"}))
	if err := b.Release(ctx, deb, one); !errors.Is(err, boxregistry.ErrIncomplete) {
		t.Errorf("released without bytes: %v", err)
	}
	b.add("ops/deb 1.0 libvirt/arm64", "bytes")
	b.must(b.Release(ctx, deb, one))
	box := b.box("ops/deb")
	files := box.Releases[0].Files
	if len(files) != 1 || files[0].Architecture != "arm64" || !files[0].Default || files[0].Created.After(files[0].Published) {
		t.Errorf("what never came must go, and the default with it: %+v", files)
	}
	if !box.Private || box.ShortDescription != "short" || box.Releases[0].Description != "notes" {
		t.Errorf("%+v", box)
	}
	if err := b.Declare(ctx, deb, one, declared); !errors.Is(err, boxregistry.ErrImmutable) {
		t.Errorf("declared in a released version: %v", err)
	}
}

func TestDeclaredBytesMustCome(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.upload("ops/deb 1.0 libvirt/amd64", "bytes")
	b.must(b.CreateBox(t.Context(), boxregistry.Box{Name: p.Box}))
	b.must(b.CreateVersion(t.Context(), p.Box, p.Version, ""))
	other := boxregistry.File{Provider: "libvirt", Architecture: "amd64", Declared: boxregistry.Checksum{Type: "sha256", Hex: "00"}}
	b.must(b.Declare(t.Context(), p.Box, p.Version, other))
	if err := b.Publish(t.Context(), p); !errors.Is(err, boxregistry.ErrChecksum) {
		t.Errorf("other bytes: %v", err)
	}
}

func TestEditAndDeleteFiles(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, deb, one := t.Context(), name("ops/deb"), version("1.0")
	b.add("ops/deb 1.0 libvirt/amd64", "a")
	b.add("ops/deb 1.0 libvirt/arm64", "b")
	b.must(b.EditFile(ctx, deb, one, "libvirt", "arm64", func(f *boxregistry.File) error {
		f.Architecture, f.Default = "riscv64", true
		return nil
	}))
	err := b.EditFile(ctx, deb, one, "libvirt", "amd64", func(f *boxregistry.File) error {
		f.Architecture = "riscv64"
		return nil
	})
	if !errors.Is(err, boxregistry.ErrExists) {
		t.Errorf("onto another file: %v", err)
	}
	files := b.box("ops/deb").Releases[0].Files
	if len(files) != 2 || files[1].Architecture != "riscv64" || !files[1].Default || files[0].Default {
		t.Errorf("%+v", files)
	}
	// What was declared without an architecture goes to the one that its bytes name.
	b.must(b.Declare(ctx, deb, one, boxregistry.File{Provider: "virtualbox", Architecture: boxregistry.UnknownArchitecture}))
	b.must(b.EditFile(ctx, deb, one, "virtualbox", boxregistry.UnknownArchitecture, func(f *boxregistry.File) error {
		f.Architecture = "amd64"
		return nil
	}))
	b.must(b.DeleteFile(ctx, deb, one, "virtualbox", "amd64"))
	b.must(b.DeleteFile(ctx, deb, one, "libvirt", "riscv64"))
	if files := b.box("ops/deb").Releases[0].Files; len(files) != 1 || !files[0].Default {
		t.Errorf("the default must go on: %+v", files)
	}
	b.must(b.EditFile(ctx, deb, one, "libvirt", "amd64", func(f *boxregistry.File) error {
		f.URL = "https://elsewhere.example/a.box"
		return nil
	}))
	if f := b.box("ops/deb").Releases[0].Files[0]; f.Digest != "" || !f.Complete() {
		t.Errorf("%+v", f)
	}
}

func TestChannels(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, deb := t.Context(), name("ops/deb")
	b.released("ops/deb 1.0 libvirt/amd64", "one")
	b.add("ops/deb 2.0 libvirt/amd64", "two")
	b.must(b.Release(ctx, deb, version("2.0"), boxregistry.Candidate))
	visible := func(c boxregistry.Channel) (numbers []string) {
		for _, r := range b.box("ops/deb").VisibleIn(c) {
			numbers = append(numbers, r.Version.String())
		}
		return numbers
	}
	if got := visible(boxregistry.Stable); !slices.Equal(got, []string{"1.0"}) {
		t.Errorf("stable has %v", got)
	}
	if got := visible(boxregistry.Candidate); !slices.Equal(got, []string{"2.0", "1.0"}) {
		t.Errorf("candidate has %v", got)
	}
	b.must(b.Promote(ctx, deb, version("2.0"), boxregistry.Stable))
	if got := visible(boxregistry.Stable); !slices.Equal(got, []string{"2.0", "1.0"}) {
		t.Errorf("after the promotion stable has %v", got)
	}
	b.must(b.Demote(ctx, deb, version("2.0"), boxregistry.Candidate))
	if err := b.Demote(ctx, deb, version("2.0"), boxregistry.Stable); !errors.Is(err, boxregistry.ErrLastChannel) {
		t.Errorf("out of the last channel: %v", err)
	}
	b.add("ops/deb 3.0 libvirt/amd64", "three")
	if err := b.Promote(ctx, deb, version("3.0"), boxregistry.Stable); !errors.Is(err, boxregistry.ErrNotReleased) {
		t.Errorf("a draft: %v", err)
	}
}

func TestDeleteRestorePurge(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, deb, one := t.Context(), name("ops/deb"), version("1.0")
	b.released("ops/deb 1.0 libvirt/amd64", "one")
	b.must(b.DeleteVersion(ctx, deb, one))
	if len(b.box("ops/deb").Visible()) != 0 {
		t.Error("a deleted version is visible")
	}
	b.must(b.RestoreVersion(ctx, deb, one))
	if len(b.box("ops/deb").Visible()) != 1 {
		t.Error("a restored version is not visible")
	}
	b.must(b.DeleteBox(ctx, deb))
	if _, err := b.Box(ctx, deb); !errors.Is(err, boxregistry.ErrNotFound) {
		t.Errorf("a deleted box: %v", err)
	}
	if err := b.Publish(ctx, b.upload("ops/deb 2.0 libvirt/amd64", "two")); !errors.Is(err, boxregistry.ErrDeleted) {
		t.Errorf("into a deleted box: %v", err)
	}
	if list, err := b.Trash(ctx); err != nil || len(list) != 1 || list[0].Name != deb {
		t.Errorf("trash: %v, %v", list, err)
	}
	if n, err := b.Purge(ctx, time.Hour); n != 0 || err != nil {
		t.Errorf("purged %d within the grace period, %v", n, err)
	}
	b.must(b.RestoreBox(ctx, deb))
	b.must(b.DeleteBox(ctx, deb))
	if n, err := b.Purge(ctx, 0); n != 1 || err != nil {
		t.Errorf("purged %d, %v", n, err)
	}
	if err := b.RestoreBox(ctx, deb); !errors.Is(err, boxregistry.ErrNotFound) {
		t.Errorf("restored what is gone: %v", err)
	}
	b.add("ops/deb 2.0 libvirt/amd64", "two")
	if err := b.Publish(ctx, b.upload("ops/deb 1.0 libvirt/amd64", "one")); !errors.Is(err, boxregistry.ErrImmutable) {
		t.Errorf("the number of a purged version was used again: %v", err)
	}
	if n := len(b.box("ops/deb").Releases); n != 1 {
		t.Errorf("%d versions, want the new one alone", n)
	}
}

func TestDeletedDraftMakesRoom(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.add("ops/deb 1.0 libvirt/amd64", "one")
	b.must(b.DeleteVersion(t.Context(), name("ops/deb"), version("1.0")))
	b.add("ops/deb 1.0.0 libvirt/amd64", "another")
	if r := b.box("ops/deb").Releases; len(r) != 1 || r[0].Version.String() != "1.0.0" {
		t.Errorf("%+v", r)
	}
}

func TestRetention(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, deb := t.Context(), name("ops/deb")
	for _, v := range []string{"1", "2", "3", "4", "5"} {
		b.released("ops/deb "+v+" libvirt/amd64", v)
	}
	b.must(b.Pin(ctx, deb, version("1"), true))
	b.must(b.Downloaded(ctx, []boxregistry.Download{{Box: deb, Version: version("2"), Provider: "libvirt", Architecture: "amd64", Client: "ada", Count: 2, At: b.now()}}))
	b.must(b.EditBox(ctx, deb, func(box *boxregistry.Box) error { box.Retention.KeepLast = 2; return nil }))
	gone, err := b.Expire(ctx)
	if err != nil || len(gone[deb]) != 1 || gone[deb][0].String() != "3" {
		t.Errorf("expired %v, %v; want 3: 4 and 5 are the last, 2 is used, 1 is pinned", gone, err)
	}
	who, err := b.Downloads(ctx, deb, version("2"))
	if err != nil || len(who) != 1 || who[0].Client != "ada" || who[0].Count != 2 || b.box("ops/deb").Downloads != 2 {
		t.Errorf("%+v, %v", who, err)
	}
}

func TestListSeesPrivateBoxes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.released("lab/open 1.0 libvirt/amd64", "x")
	b.must(b.CreateBox(t.Context(), boxregistry.Box{Name: name("ops/secret"), Private: true}))
	for _, c := range []struct {
		seen boxregistry.Sight
		want int
	}{{boxregistry.Sight{}, 1}, {boxregistry.Sight{Orgs: []string{"ops"}}, 2}, {boxregistry.Sight{All: true}, 2}, {boxregistry.Sight{Orgs: []string{"lab"}}, 1}} {
		if _, total, err := b.List(t.Context(), boxregistry.ListQuery{Seen: c.seen, Limit: 10}); err != nil || total != c.want {
			t.Errorf("%+v sees %d, %v; want %d", c.seen, total, err, c.want)
		}
		for _, deleted := range []bool{false, true} {
			if deleted {
				b.must(b.DeleteBox(t.Context(), name("ops/secret")))
			}
			if hidden, err := b.Hidden(t.Context(), c.seen); err != nil || len(hidden) != 2-c.want || len(hidden) == 1 && hidden[0] != name("ops/secret") {
				t.Errorf("from %+v is hidden: %v, %v", c.seen, hidden, err)
			}
		}
		b.must(b.RestoreBox(t.Context(), name("ops/secret")))
	}
}

func TestRename(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.released("ops/deb 1.0 libvirt/amd64", "one")
	b.released("ops/alma 1.0 libvirt/amd64", "two")
	to := func(s string) error {
		return b.EditBox(t.Context(), name("ops/deb"), func(box *boxregistry.Box) error { box.Name = name(s); return nil })
	}
	if err := to("ops/alma"); !errors.Is(err, boxregistry.ErrExists) {
		t.Errorf("onto another box: %v", err)
	}
	b.must(to("ops/Deb"))
	if _, err := b.Box(context.WithoutCancel(t.Context()), name("ops/Deb")); err != nil {
		t.Error(err)
	}
}

func TestRenumber(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.add("ops/deb 1.0 libvirt/amd64", "one")
	b.must(b.Renumber(t.Context(), name("ops/deb"), version("1.0"), version("1.1")))
	r := b.box("ops/deb").Releases
	if len(r) != 1 || r[0].Version.String() != "1.1" || len(r[0].Files) != 1 {
		t.Errorf("%+v", r)
	}
	b.must(b.Release(t.Context(), name("ops/deb"), version("1.1")))
	if err := b.Renumber(t.Context(), name("ops/deb"), version("1.1"), version("1.2")); !errors.Is(err, boxregistry.ErrImmutable) {
		t.Errorf("a released one: %v", err)
	}
}
