package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/boxregistry/blob"
	"github.com/boxkiln/boxkiln/boxregistry/blob/blobtest"
	"github.com/boxkiln/boxkiln/boxregistry/blob/mem"
)

// fsck runs a check and returns its findings, each as a line.
func (b *bundle) fsck(o FsckOptions) (lines []string, report FsckReport) {
	b.t.Helper()
	last := FsckStep{}
	report, err := b.Fsck(b.t.Context(), o, func(s FsckStep) error {
		if s.Done < last.Done || s.Done > s.Total {
			b.t.Errorf("%d of %d bytes after %d", s.Done, s.Total, last.Done)
		}
		last = s
		if f := s.Finding; f != nil {
			lines = append(lines, fmt.Sprintf("%s %s %v quarantined=%v", f.Kind, f.Digest.Short(), f.Files, f.Quarantined))
		}
		return nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
	if last.Done != last.Total {
		b.t.Errorf("ended at %d of %d bytes", last.Done, last.Total)
	}
	slices.Sort(lines)
	return lines, report
}

func TestFsck(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if lines, report := b.fsck(FsckOptions{Repair: true}); lines != nil || report.Blobs != 0 {
		t.Errorf("an empty store: %v %+v", lines, report)
	}
	b.released("ops/deb 1.0 libvirt/amd64", "good")
	bad := b.released("ops/deb 1.1 libvirt/amd64", "to be damaged")
	b.add("ops/deb 1.2 libvirt/amd64", "to be damaged") // the same bytes
	gone := b.released("ops/deb 1.3 libvirt/amd64", "to be lost")
	spare := b.upload("ops/deb 2.0 libvirt/amd64", "not published").File.Digest
	b.blobs.Damage(bad, []byte("flipped bits"))
	if err := b.blobs.Delete(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	damaged := "damaged " + bad.Short() + " [ops/deb 1.1 libvirt/amd64 ops/deb 1.2 libvirt/amd64] quarantined="
	missing := "missing " + gone.Short() + " [ops/deb 1.3 libvirt/amd64] quarantined=false"
	unused := "unreferenced " + spare.Short() + " [] quarantined=false"

	lines, report := b.fsck(FsckOptions{})
	if d := cmp.Diff([]string{damaged + "false", missing, unused}, lines); d != "" {
		t.Error(d)
	}
	if report.Blobs != 3 || report.Counts[FsckDamaged] != 1 {
		t.Errorf("%+v", report)
	}
	if lines, _ = b.fsck(FsckOptions{Repair: true}); !slices.Contains(lines, damaged+"true") {
		t.Errorf("repaired: %v", lines)
	}
	if _, _, err := b.OpenBlob(t.Context(), bad); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("a quarantined blob is served: %v", err)
	}
	if lines, _ = b.fsck(FsckOptions{Repair: true}); !slices.Contains(lines, "missing "+bad.Short()+" [ops/deb 1.1 libvirt/amd64 ops/deb 1.2 libvirt/amd64] quarantined=false") {
		t.Errorf("after the repair: %v", lines)
	}
	b.upload("any/box 1 libvirt/amd64", "to be damaged")
	b.upload("any/box 1 libvirt/amd64", "to be lost")
	if lines, _ = b.fsck(FsckOptions{}); !slices.Equal(lines, []string{unused}) {
		t.Errorf("after the files came again: %v", lines)
	}
}

// brittle has blobs that cannot be read to their end.
type brittle struct {
	blob.Store
	bad blob.Digest
}

func (s brittle) Open(ctx context.Context, d blob.Digest) (io.ReadSeekCloser, blob.Info, error) {
	r, info, err := s.Store.Open(ctx, d)
	if d == s.bad && err == nil {
		return brittleReader{r}, info, nil
	}
	return r, info, err
}

type brittleReader struct{ io.ReadSeekCloser }

func (brittleReader) Read([]byte) (int, error) { return 0, errors.New("input/output error") }

func TestFsckGoesOnAfterWhatItCannotRead(t *testing.T) {
	t.Parallel()
	b := setup(t)
	bad := b.released("ops/deb 1.0 libvirt/amd64", "on a bad sector")
	b.released("ops/deb 1.1 libvirt/amd64", "fine")
	b.Registry.blobs = brittle{b.blobs, bad}
	lines, _ := b.fsck(FsckOptions{Repair: true})
	if want := "unreadable " + bad.Short() + " [ops/deb 1.0 libvirt/amd64] quarantined=false"; len(lines) != 1 || lines[0] != want {
		t.Errorf("%v, want %s", lines, want)
	}
}

// mended is a store into which somebody uploads the right bytes while a check holds the wrong ones.
type mended struct {
	*mem.Store
	t *testing.T
}

func (s mended) Quarantine(ctx context.Context, seen blob.Info) (bool, error) {
	if _, err := blob.Copy(ctx, s.Store, strings.NewReader("the right bytes"), seen.Digest); err != nil {
		s.t.Error(err)
	}
	return s.Store.Quarantine(ctx, seen)
}

func TestFsckLeavesWhatWasMendedMeanwhile(t *testing.T) {
	t.Parallel()
	b := setup(t)
	d := b.released("ops/deb 1.0 libvirt/amd64", "the right bytes")
	b.blobs.Damage(d, []byte("wrong"))
	b.Registry.blobs = mended{b.blobs, t}
	if lines, _ := b.fsck(FsckOptions{Repair: true}); lines != nil {
		t.Errorf("found %v", lines)
	}
	if _, err := b.blobs.Stat(t.Context(), d); err != nil {
		t.Error(err)
	}
}

func TestFsckEnds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.released("ops/deb 1.0 libvirt/amd64", "one")
	enough := errors.New("the reader left")
	for after := range 3 {
		calls := 0
		_, err := b.Fsck(t.Context(), FsckOptions{}, func(FsckStep) error {
			if calls++; calls > after {
				return enough
			}
			if _, err := b.Fsck(t.Context(), FsckOptions{}, nil); !errors.Is(err, ErrFsckRuns) {
				t.Errorf("a second check: %v", err)
			}
			return nil
		})
		if !errors.Is(err, enough) {
			t.Errorf("after %d steps: %v", after, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := b.Fsck(ctx, FsckOptions{}, func(FsckStep) error { cancel(); return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

func TestFsckPace(t *testing.T) {
	t.Parallel()
	content := strings.Repeat("0123456789abcdef", 4*fsckRead/16)
	synctest.Test(t, func(t *testing.T) {
		blobs := &mem.Store{}
		if _, err := blob.Copy(t.Context(), blobs, strings.NewReader(content), blobtest.DigestOf(content)); err != nil {
			t.Fatal(err)
		}
		c := newCheck(&Registry{blobs: blobs}, FsckOptions{Rate: fsckRead / 10}, func(FsckStep) error { return nil })
		began := time.Now()
		if _, got, err := c.hash(t.Context(), blobtest.DigestOf(content)); got != blobtest.DigestOf(content) || err != nil {
			t.Fatal(got, err)
		}
		if took := time.Since(began).Seconds(); took < 29 || took > 31 { // the first piece is free
			t.Errorf("took %.1f s, want 30", took)
		}
	})
}
