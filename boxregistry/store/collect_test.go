package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/blob"
	"github.com/boxkiln/boxkiln/boxregistry/blob/mem"
)

// slow is a store elsewhere: between the decision to delete and the deletion others get on with their work.
type slow struct {
	*mem.Store
	during func(blob.Info) // called while a deletion is under way
}

func (s slow) Expire(ctx context.Context, seen blob.Info) (bool, error) {
	s.during(seen)
	return s.Store.Expire(ctx, seen)
}

// TestPublishDuringADeletion publishes what is being deleted, and something else, which need not wait.
func TestPublishDuringADeletion(t *testing.T) {
	t.Parallel()
	b := setup(t)
	orphan := b.upload("ops/deb 1.0 libvirt/amd64", "nobody names me")
	other := b.upload("ops/deb 1.1 libvirt/amd64", "somebody will")
	published := make(chan error, 1)
	b.Registry.blobs = slow{b.blobs, func(seen blob.Info) {
		if seen.Digest != orphan.File.Digest {
			return
		}
		go func() { published <- b.Publish(context.WithoutCancel(t.Context()), orphan) }()
		if err := b.Publish(t.Context(), other); err != nil {
			t.Errorf("the publication of another blob: %v", err)
		}
	}}
	if _, err := b.collectOne(t.Context(), blobInfo(t, b, orphan.File.Digest)); err != nil {
		t.Fatal(err)
	}
	if err := <-published; !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("published what was being deleted: %v, want ErrNotFound", err)
	}
	if err := b.Publish(t.Context(), b.upload("ops/deb 1.0 libvirt/amd64", "nobody names me")); err != nil {
		t.Errorf("uploaded again: %v", err)
	}
}

func blobInfo(t *testing.T, b *bundle, d blob.Digest) blob.Info {
	t.Helper()
	info, err := b.blobs.Stat(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// TestCollectLosesNothing uploads, publishes, deletes and collects a few contents at once, without any grace. Whatever a
// publisher was told is published has its bytes until it is deleted, and in the end nothing else is left.
func TestCollectLosesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Registry.blobs = slow{b.blobs, func(blob.Info) {
		for range rand.IntN(20) {
			runtime.Gosched()
		}
	}}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var work, collecting sync.WaitGroup
	for n := range 6 {
		work.Go(func() { b.churn(ctx, n) })
	}
	stop, stopped := context.WithCancel(ctx)
	for range 2 {
		collecting.Go(func() {
			for stop.Err() == nil {
				if _, err := b.Collect(stop, 0); err != nil && stop.Err() == nil {
					t.Error(err)
					return
				}
			}
		})
	}
	work.Wait()
	stopped()
	collecting.Wait()
	if _, err := b.Collect(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if lines, _ := b.fsck(FsckOptions{}); lines != nil {
		t.Errorf("in the end: %v", lines)
	}
}

// churn is one of several publishers, whose contents are the same as those of the others.
func (b *bundle) churn(ctx context.Context, n int) {
	r := rand.New(rand.NewPCG(uint64(n), 1))
	for i := range 60 {
		content := fmt.Sprintf("content %d", r.IntN(3))
		p := pub(fmt.Sprintf("ops/deb-%d 1.%d libvirt/amd64", n, i))
		w, err := b.OpenWriter(ctx)
		if err != nil {
			b.t.Error(err)
			return
		}
		_, writeErr := strings.NewReader(content).WriteTo(w)
		info, err := w.Commit(ctx, "")
		if err := errors.Join(writeErr, err, w.Close()); err != nil {
			b.t.Error(err)
			return
		}
		p.File.Digest, p.File.Size = info.Digest, info.Size
		err = b.Publish(ctx, p)
		if errors.Is(err, blob.ErrNotFound) {
			continue // without a grace it may be collected before it is named
		}
		if err != nil {
			b.t.Error(err)
			return
		}
		b.mustHave(ctx, p)
		if r.IntN(3) > 0 {
			b.drop(ctx, p)
		}
	}
}

func (b *bundle) mustHave(ctx context.Context, p boxregistry.Publication) {
	for range 5 {
		if _, err := b.blobs.Stat(ctx, p.File.Digest); err != nil {
			b.t.Errorf("%s %s is published and its bytes are gone: %v", p.Box, p.Version, err)
			return
		}
		runtime.Gosched()
	}
}

func (b *bundle) drop(ctx context.Context, p boxregistry.Publication) {
	if err := b.DeleteFile(ctx, p.Box, p.Version, p.File.Provider, p.File.Architecture); err != nil {
		b.t.Error(err)
	}
}

func TestCollectForgetsWhatWasKnown(t *testing.T) {
	t.Parallel()
	b := setup(t)
	used := b.released("ops/deb 1.0 libvirt/amd64", "used")
	for _, d := range []blob.Digest{used, "gone"} {
		for _, q := range []string{
			`INSERT INTO blob_contents (digest, summary, created_at) VALUES (?, '{}', 1)`,
			`INSERT INTO blob_packages (digest, sbom, created_at) VALUES (?, '{}', 1)`,
			`INSERT INTO blob_signatures (digest, signature, created_at) VALUES (?, '', 1)`,
		} {
			if _, err := b.db.W.ExecContext(t.Context(), q, string(d)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := b.Collect(t.Context(), time.Hour); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"blob_contents", "blob_packages", "blob_signatures"} {
		var left string
		if err := b.db.R.QueryRowContext(t.Context(), `SELECT group_concat(digest) FROM `+table).Scan(&left); err != nil || left != string(used) {
			t.Errorf("%s: %q, %v", table, left, err)
		}
	}
}

// sweeping counts how often it was swept.
type sweeping struct {
	*mem.Store
	swept *int
}

func (s sweeping) Sweep(context.Context) error { *s.swept++; return nil }

func TestCollectSweeps(t *testing.T) {
	t.Parallel()
	b := setup(t)
	swept := 0
	b.Registry.blobs = sweeping{b.blobs, &swept}
	if _, err := b.Collect(t.Context(), time.Hour); err != nil || swept != 1 {
		t.Errorf("swept %d times, %v", swept, err)
	}
}
