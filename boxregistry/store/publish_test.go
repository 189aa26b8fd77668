package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/blob"
	"github.com/boxkiln/boxkiln/boxregistry/blob/blobtest"
	"github.com/boxkiln/boxkiln/internal/sqlitedb"
)

func TestPublishRoundTrip(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w, err := b.OpenWriter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if _, err := io.WriteString(w, "a box"); err != nil {
		t.Fatal(err)
	}
	info, err := w.Commit(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	p := pub("ops/deb 1.2.0 libvirt/amd64")
	p.BoxDescription, p.VersionDescription = "Debian 12", "first one"
	p.File.Digest, p.File.Size = info.Digest, info.Size
	p.File.UnpackedSize, p.File.VirtualSize, p.File.Firmware = 10, 20<<30, "uefi"
	p.File.Provenance = json.RawMessage(`{"build":"42"}`)
	if err := b.Publish(t.Context(), p); err != nil {
		t.Fatal(err)
	}

	box := b.box("ops/deb")
	file := p.File
	file.Default = true
	want := boxregistry.Box{Name: p.Box, Description: "Debian 12", Releases: []boxregistry.Release{{
		Version: p.Version, State: boxregistry.Draft, Description: "first one", Files: []boxregistry.File{file},
	}}}
	ignore := cmp.Options{
		cmpopts.IgnoreFields(boxregistry.Box{}, "Created", "Updated"), cmpopts.IgnoreFields(boxregistry.Release{}, "Created", "Updated"),
		cmpopts.IgnoreFields(boxregistry.File{}, "Created", "Published"), cmp.AllowUnexported(boxregistry.Name{}, boxregistry.Version{}),
	}
	if diff := cmp.Diff(want, box, ignore); diff != "" {
		t.Error(diff)
	}
	if box.Created.IsZero() || box.Releases[0].Created.IsZero() || box.Releases[0].Files[0].Published.IsZero() || box.Releases[0].Updated.IsZero() {
		t.Errorf("a time is missing: %+v", box)
	}
	r, _, err := b.OpenBlob(t.Context(), info.Digest)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, _ := io.ReadAll(r); string(got) != "a box" {
		t.Errorf("the blob holds %q", got)
	}
}

func TestPublishRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what string
		pub  string
		want error
		says []string
	}{
		{"released version", "ops/deb 1.0.0 libvirt/amd64", boxregistry.ErrImmutable, []string{"1.0.0", "released", "above 3.0"}},
		{"another provider of a released version", "ops/deb 1.0.0 virtualbox/amd64", boxregistry.ErrImmutable, []string{"1.0.0"}},
		{"equal to a released version", "ops/deb 1.0 libvirt/amd64", boxregistry.ErrImmutable, []string{"1.0.0"}},
		{"revoked version", "ops/deb 2.0 libvirt/amd64", boxregistry.ErrImmutable, []string{"2.0", "revoked"}},
		{"taken place in a draft", "ops/deb 3.0 libvirt/amd64", boxregistry.ErrExists, []string{"draft 3.0", "libvirt/amd64", "replace"}},
		{"equal to a draft", "ops/deb 3.0.0 virtualbox/amd64", boxregistry.ErrExists, []string{"3.0.0", "as 3.0 "}},
		{"another case", "Ops/DEB 4.0 libvirt/amd64", boxregistry.ErrExists, []string{"ops/deb"}},
		{"unknown among known architectures", "ops/deb 4.0 libvirt/unknown", boxregistry.ErrArchitectureMix, []string{"amd64"}},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.released("ops/deb 1.0.0 libvirt/amd64", "one")
			b.released("ops/deb 2.0 libvirt/amd64", "two")
			if err := b.Revoke(t.Context(), name("ops/deb"), version("2.0"), ""); err != nil {
				t.Fatal(err)
			}
			b.add("ops/deb 3.0 libvirt/amd64", "three")
			before := b.box("ops/deb")

			p := pub(c.pub)
			checked := b.Check(t.Context(), p)
			info, err := blob.Copy(t.Context(), b.blobs, strings.NewReader("other"), "")
			if err != nil {
				t.Fatal(err)
			}
			p.File.Digest, p.File.Size = info.Digest, info.Size
			published := b.Publish(t.Context(), p)
			for _, err := range []error{checked, published} {
				if !errors.Is(err, c.want) {
					t.Fatalf("got %v, want %v", err, c.want)
				}
				for _, s := range c.says {
					if !strings.Contains(err.Error(), s) {
						t.Errorf("%q does not say %q", err, s)
					}
				}
			}
			if diff := cmp.Diff(before, b.box("ops/deb"), cmp.AllowUnexported(boxregistry.Name{}, boxregistry.Version{})); diff != "" {
				t.Errorf("something changed: %s", diff)
			}
		})
	}
}

func TestPublishChecksItsInput(t *testing.T) {
	t.Parallel()
	b := setup(t)
	err := b.Publish(t.Context(), boxregistry.Publication{File: boxregistry.File{
		Provider: "Lib Virt", Architecture: "x86_64", Digest: "no", Provenance: json.RawMessage("{"),
	}})
	for _, s := range []string{"box name", "version", "Lib Virt", `"amd64"`, `digest "no"`, "size 0", "provenance"} {
		if err == nil || !strings.Contains(err.Error(), s) {
			t.Errorf("%v does not say %q", err, s)
		}
	}
	p := pub("ops/deb 1.0 libvirt/amd64")
	p.File.Digest, p.File.Size = blobtest.DigestOf("never stored"), 12
	if err := b.Publish(t.Context(), p); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("got %v, want blob.ErrNotFound", err)
	}
	info, err := blob.Copy(t.Context(), b.blobs, strings.NewReader("short"), "")
	if err != nil {
		t.Fatal(err)
	}
	p.File.Digest, p.File.Size = info.Digest, 1000
	if err := b.Publish(t.Context(), p); err == nil || !strings.Contains(err.Error(), "5 bytes") {
		t.Errorf("got %v, want an error about the size", err)
	}
	if _, err := b.Box(t.Context(), p.Box); !errors.Is(err, boxregistry.ErrNotFound) {
		t.Errorf("a refused publication left a box behind: %v", err)
	}
}

func TestDraftsCanBeCompletedRepeatedAndReplaced(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.add("ops/deb 1.0 libvirt/amd64", "one")
	b.add("ops/deb 1.0 virtualbox/amd64", "two")
	same := pub("ops/deb 1.0 libvirt/amd64")
	same.File.Digest, same.File.Size = blobtest.DigestOf("one"), 3
	if err := b.Publish(t.Context(), same); err != nil {
		t.Errorf("the same file again: %v", err)
	}
	if err := b.SetSmoke(t.Context(), same.Box, same.Version, "libvirt", "amd64", boxregistry.Smoke{At: b.now()}); err != nil {
		t.Fatal(err)
	}
	other := pub("ops/deb 1.0 libvirt/amd64")
	other.Replace = true
	if _, err := b.Add(t.Context(), other, strings.NewReader("better")); err != nil {
		t.Fatal(err)
	}
	files := b.box("ops/deb").Releases[0].Files
	if len(files) != 2 || files[0].Digest != blobtest.DigestOf("better") || !files[0].Default || files[0].Smoke.Tried() {
		t.Errorf("after replacing: %+v", files)
	}
}

func TestDefaultArchitecture(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.add("ops/deb 1.0 libvirt/arm64", "1")
	b.add("ops/deb 1.0 libvirt/amd64", "2")
	b.add("ops/deb 1.0 virtualbox/amd64", "3")
	layout := func() string {
		var out []string
		for _, f := range b.box("ops/deb").Releases[0].Files {
			s := fmt.Sprintf("%s/%s", f.Provider, f.Architecture)
			if f.Default {
				s += "*"
			}
			out = append(out, s)
		}
		return strings.Join(out, " ")
	}
	if got, want := layout(), "libvirt/amd64 libvirt/arm64* virtualbox/amd64*"; got != want {
		t.Errorf("first one is the default: %s, want %s", got, want)
	}
	p := pub("ops/deb 1.0 libvirt/amd64")
	p.File.Default, p.Replace = true, true
	if _, err := b.Add(t.Context(), p, strings.NewReader("4")); err != nil {
		t.Fatal(err)
	}
	if got, want := layout(), "libvirt/arm64 libvirt/amd64* virtualbox/amd64*"; got != want {
		t.Errorf("the mark moved: %s, want %s", got, want)
	}
}

func TestFiftyPublishersOneWins(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var won atomic.Int32
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			_, err := b.Add(t.Context(), pub("ops/deb 1.0 libvirt/amd64"), strings.NewReader(fmt.Sprint("content ", i)))
			switch {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, boxregistry.ErrExists):
				t.Errorf("publisher %d: %v, want ErrExists", i, err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 || len(b.box("ops/deb").Releases) != 1 || len(b.box("ops/deb").Releases[0].Files) != 1 {
		t.Errorf("%d publishers won: %+v", won.Load(), b.box("ops/deb"))
	}
}

func TestAddRefusesBeforeReading(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.released("ops/deb 1.0 libvirt/amd64", "one")
	src := strings.NewReader("gigabytes")
	if _, err := b.Add(t.Context(), pub("ops/deb 1.0 libvirt/amd64"), src); !errors.Is(err, boxregistry.ErrImmutable) || src.Len() != 9 {
		t.Errorf("got %v with %d bytes unread, want ErrImmutable with 9", err, src.Len())
	}
	p := pub("ops/deb 2.0 libvirt/amd64")
	p.File.Digest = blobtest.DigestOf("announced")
	if _, err := b.Add(t.Context(), p, strings.NewReader("received")); !errors.Is(err, blob.ErrDigestMismatch) {
		t.Errorf("got %v, want ErrDigestMismatch", err)
	}
}

func TestFullDatabaseDisk(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if _, err := b.db.W.Exec("PRAGMA max_page_count = 1"); err != nil { // it cannot shrink: no more pages from here on
		t.Fatal(err)
	}
	p := pub("ops/deb 1.0 libvirt/amd64")
	p.BoxDescription = strings.Repeat("x", 1<<20)
	_, err := b.Add(t.Context(), p, strings.NewReader("one"))
	if !errors.Is(err, sqlitedb.ErrDiskFull) {
		t.Errorf("got %v, want ErrDiskFull", err)
	}
	if _, err := b.Box(t.Context(), p.Box); !errors.Is(err, boxregistry.ErrNotFound) {
		t.Errorf("half a publication was kept: %v", err)
	}
}

func TestCancelledPublisherLeavesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Add(ctx, pub("ops/deb 1.0 libvirt/amd64"), strings.NewReader("one")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	if _, err := b.Box(t.Context(), name("ops/deb")); !errors.Is(err, boxregistry.ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
}
