package store

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/blob"
	"github.com/boxkiln/boxkiln/boxregistry/boxfile"
)

func TestKnown(t *testing.T) {
	t.Parallel()
	b, ctx := setup(t), t.Context()
	d := b.add("ops/deb 1.0 libvirt/amd64", "a box")
	for _, err := range []error{second(b.Contents(ctx, d)), second(b.Packages(ctx, d)), second(b.Signatures(ctx, d))} {
		if !errors.Is(err, boxregistry.ErrNotFound) {
			t.Errorf("before: %v", err)
		}
	}
	sum := boxfile.Summary{Unpacked: 7, VirtualSize: 1 << 30}
	for range 2 { // a second time is no error; signatures are added, of the others the last one counts
		sum.Unpacked++
		if err := errors.Join(b.SetContents(ctx, d, sum), b.SetPackages(ctx, d, json.RawMessage(`{"a": 1}`)), b.AddSignatures(ctx, d, "text\n")); err != nil {
			t.Fatal(err)
		}
	}
	got, err := b.Contents(ctx, d)
	if diff := cmp.Diff(sum, got); err != nil || diff != "" {
		t.Error(err, diff)
	}
	packages, err := b.Packages(ctx, d)
	if err != nil || string(packages) != `{"a": 1}` {
		t.Errorf("%s, %v", packages, err)
	}
	if signature, err := b.Signatures(ctx, d); err != nil || signature != "text\ntext\n" {
		t.Errorf("%q, %v", signature, err)
	}
}

func second[T any](_ T, err error) error { return err }

func TestKnownRefuses(t *testing.T) {
	t.Parallel()
	b, ctx := setup(t), t.Context()
	if err := b.SetPackages(ctx, b.add("ops/deb 1.0 libvirt/amd64", "a box"), json.RawMessage("{")); err == nil {
		t.Error("half a document is taken")
	}
	for _, d := range []blob.Digest{"", "abc"} {
		if err := b.AddSignatures(ctx, d, "x"); err == nil {
			t.Errorf("digest %q is taken", d)
		}
	}
}

func TestKnownGoesWithTheBytes(t *testing.T) {
	t.Parallel()
	b, ctx := setup(t), t.Context()
	b.blobs.Now = func() time.Time { return time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC) } // twelve hours before b.now
	stays, goes := b.add("ops/deb 1.0 libvirt/amd64", "a box"), b.upload("ops/deb 1.1 libvirt/amd64", "nobody's").File.Digest
	for _, d := range []blob.Digest{stays, goes} {
		if err := errors.Join(b.SetContents(ctx, d, boxfile.Summary{}), b.SetPackages(ctx, d, json.RawMessage("{}")), b.AddSignatures(ctx, d, "x")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.Collect(ctx, 0); err != nil {
		t.Fatal(err)
	}
	for d, want := range map[blob.Digest]error{stays: nil, goes: boxregistry.ErrNotFound} {
		for _, err := range []error{second(b.Contents(ctx, d)), second(b.Packages(ctx, d)), second(b.Signatures(ctx, d))} {
			if !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", d.Short(), err, want)
			}
		}
	}
}
