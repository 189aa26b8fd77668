// Package blobtest is the conformance suite of the blob.Store port: Run holds every promise of its comments against
// an implementation.
package blobtest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/boxkiln/boxkiln/boxregistry/blob"
)

// Run tests the stores that open makes; each call of open must give a new, empty one.
func Run(t *testing.T, open func(t *testing.T) blob.Store) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, s blob.Store)
	}{
		{"round trip", roundTrip},
		{"empty blob", emptyBlob},
		{"invisible until commit", invisibleUntilCommit},
		{"wrong digest leaves nothing", wrongDigest},
		{"close after commit does nothing", closeAfterCommit},
		{"commit once", commitOnce},
		{"same bytes kept once", sameBytes},
		{"adopts a file", adopts},
		{"concurrent commits of one digest", concurrentCommits},
		{"reader outlives delete", readerOutlivesDelete},
		{"delete is idempotent", deleteTwice},
		{"missing blob", missing},
		{"cancelled context", cancelled},
		{"all stops early", allStopsEarly},
		{"expire takes what was seen", expire},
		{"quarantine takes what was seen", quarantine},
		{"expire and quarantine take nothing else", seenBefore},
		{"expire never takes a running commit", expireRacesCommit},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t, open(t))
		})
	}
}

// DigestOf is the digest of s.
func DigestOf(s string) blob.Digest {
	sum := sha256.Sum256([]byte(s))
	return blob.Digest(hex.EncodeToString(sum[:]))
}

func put(t *testing.T, s blob.Store, content string) blob.Info {
	t.Helper()
	info, err := blob.Copy(t.Context(), s, strings.NewReader(content), DigestOf(content))
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func create(t *testing.T, s blob.Store, content string) blob.Writer {
	t.Helper()
	w, err := s.Create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	if _, err := io.WriteString(w, content); err != nil {
		t.Fatal(err)
	}
	return w
}

func wantDigests(t *testing.T, s blob.Store, want ...blob.Digest) {
	t.Helper()
	var got []blob.Digest
	for info, err := range s.All(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, info.Digest)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the store holds %v, want %v", got, want)
	}
}

func roundTrip(t *testing.T, s blob.Store) {
	content := strings.Repeat("0123456789", 100_000)
	info := put(t, s, content)
	if info.Digest != DigestOf(content) || info.Size != int64(len(content)) || info.Stored.IsZero() {
		t.Errorf("Commit returned %+v", info)
	}
	if st, err := s.Stat(t.Context(), info.Digest); err != nil || st != info {
		t.Errorf("Stat = %+v, %v; want %+v", st, err, info)
	}
	r, opened, err := s.Open(t.Context(), info.Digest)
	if err != nil || opened != info {
		t.Fatalf("Open = %+v, %v; want %+v", opened, err, info)
	}
	defer r.Close()
	if _, err := r.Seek(500_001, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	var rest bytes.Buffer
	if _, err := rest.ReadFrom(r); err != nil || rest.String() != content[500_001:] {
		t.Errorf("read %d bytes after seeking (%v), want %d", rest.Len(), err, len(content)-500_001)
	}
}

func emptyBlob(t *testing.T, s blob.Store) {
	if info := put(t, s, ""); info.Size != 0 {
		t.Errorf("size %d, want 0", info.Size)
	}
}

func invisibleUntilCommit(t *testing.T, s blob.Store) {
	w := create(t, s, "secret")
	wantDigests(t, s)
	if _, err := s.Stat(t.Context(), DigestOf("secret")); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("Stat before Commit: %v, want ErrNotFound", err)
	}
	if err := errors.Join(w.Close(), w.Close()); err != nil {
		t.Errorf("Close twice: %v", err)
	}
	wantDigests(t, s)
	if _, err := w.Commit(t.Context(), ""); err == nil {
		t.Error("Commit after Close succeeded")
	}
}

func wrongDigest(t *testing.T, s blob.Store) {
	w := create(t, s, "one")
	_, err := w.Commit(t.Context(), DigestOf("two"))
	if !errors.Is(err, blob.ErrDigestMismatch) || !strings.Contains(err.Error(), string(DigestOf("one"))) {
		t.Errorf("got %v, want ErrDigestMismatch that names the digest received", err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	wantDigests(t, s)
}

func closeAfterCommit(t *testing.T, s blob.Store) {
	w := create(t, s, "kept")
	if _, err := w.Commit(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Close(), w.Close()); err != nil {
		t.Errorf("Close after Commit: %v", err)
	}
	wantDigests(t, s, DigestOf("kept"))
}

func commitOnce(t *testing.T, s blob.Store) {
	w := create(t, s, "once")
	if _, err := w.Commit(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Commit(t.Context(), ""); err == nil {
		t.Error("a second Commit succeeded")
	}
	if _, err := io.WriteString(w, "more"); err == nil {
		t.Error("Write after Commit succeeded")
	}
	wantDigests(t, s, DigestOf("once"))
}

func sameBytes(t *testing.T, s blob.Store) {
	put(t, s, "same")
	put(t, s, "same")
	put(t, s, "other")
	wantDigests(t, s, DigestOf("same"), DigestOf("other"))
}

func adopts(t *testing.T, s blob.Store) {
	path := filepath.Join(t.TempDir(), "upload")
	for range 2 { // also what is stored already
		if err := os.WriteFile(path, []byte("adopted"), 0o600); err != nil {
			t.Fatal(err)
		}
		info, err := blob.Adopt(t.Context(), s, path, DigestOf("adopted"))
		if err != nil || info.Digest != DigestOf("adopted") || info.Size != int64(len("adopted")) {
			t.Fatalf("Adopt = %+v, %v", info, err)
		}
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the file is still there: %v", err)
		}
		wantDigests(t, s, DigestOf("adopted"))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := os.WriteFile(path, []byte("too late"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := blob.Adopt(ctx, s, path, DigestOf("too late")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the file must stay after an error: %v", err)
	}
	wantDigests(t, s, DigestOf("adopted"))
}

func concurrentCommits(t *testing.T, s blob.Store) {
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := blob.Copy(t.Context(), s, strings.NewReader("raced"), DigestOf("raced")); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	wantDigests(t, s, DigestOf("raced"))
}

func readerOutlivesDelete(t *testing.T, s blob.Store) {
	info := put(t, s, "still here")
	r, _, err := s.Open(t.Context(), info.Digest)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := s.Delete(t.Context(), info.Digest); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || string(got) != "still here" {
		t.Errorf("read %q, %v after Delete", got, err)
	}
}

func deleteTwice(t *testing.T, s blob.Store) {
	info := put(t, s, "gone")
	if err := errors.Join(s.Delete(t.Context(), info.Digest), s.Delete(t.Context(), info.Digest)); err != nil {
		t.Error(err)
	}
	wantDigests(t, s)
}

func missing(t *testing.T, s blob.Store) {
	d := DigestOf("never stored")
	if _, err := s.Stat(t.Context(), d); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("Stat: %v, want ErrNotFound", err)
	}
	if _, _, err := s.Open(t.Context(), d); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("Open: %v, want ErrNotFound", err)
	}
}

func cancelled(t *testing.T, s blob.Store) {
	kept := put(t, s, "kept")
	ctx, cancel := context.WithCancel(t.Context())
	w := create(t, s, "too late")
	cancel()
	if _, err := w.Commit(ctx, ""); !errors.Is(err, context.Canceled) {
		t.Errorf("Commit: %v, want context.Canceled", err)
	}
	_, createErr := s.Create(ctx)
	_, statErr := s.Stat(ctx, kept.Digest)
	_, _, openErr := s.Open(ctx, kept.Digest)
	_, copyErr := blob.Copy(ctx, s, strings.NewReader("x"), "")
	for name, err := range map[string]error{
		"Create": createErr, "Stat": statErr, "Open": openErr, "Copy": copyErr, "Delete": s.Delete(ctx, kept.Digest),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v, want context.Canceled", name, err)
		}
	}
	for _, err := range s.All(ctx) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("All: %v, want context.Canceled", err)
		}
	}
	wantDigests(t, s, kept.Digest)
}

func allStopsEarly(t *testing.T, s blob.Store) {
	put(t, s, "one")
	put(t, s, "two")
	n := 0
	for range s.All(t.Context()) {
		n++
		break
	}
	if n != 1 {
		t.Errorf("went round %d times", n)
	}
}

func expire(t *testing.T, s blob.Store) {
	info := put(t, s, "unused")
	put(t, s, "used")
	for _, want := range []bool{true, false} {
		if done, err := s.Expire(t.Context(), info); done != want || err != nil {
			t.Errorf("Expire = %v, %v; want %v", done, err, want)
		}
		wantDigests(t, s, DigestOf("used"))
	}
}

func quarantine(t *testing.T, s blob.Store) {
	info := put(t, s, "damaged")
	for _, want := range []bool{true, false} {
		if done, err := s.Quarantine(t.Context(), info); done != want || err != nil {
			t.Errorf("Quarantine = %v, %v; want %v", done, err, want)
		}
		wantDigests(t, s)
		if _, _, err := s.Open(t.Context(), info.Digest); !errors.Is(err, blob.ErrNotFound) {
			t.Errorf("Open: %v, want ErrNotFound", err)
		}
	}
	put(t, s, "damaged") // the right bytes again
	wantDigests(t, s, info.Digest)
}

// seenBefore looks at a blob as somebody does who saw it earlier, before its bytes were stored again.
func seenBefore(t *testing.T, s blob.Store) {
	info := put(t, s, "stored again")
	longer, older := info, info
	longer.Size++
	older.Stored = older.Stored.Add(-time.Hour)
	ctx, cancel := context.WithCancel(t.Context())
	for _, seen := range []blob.Info{longer, older, {Digest: DigestOf("never stored")}} {
		for name, take := range map[string]func(context.Context, blob.Info) (bool, error){"Expire": s.Expire, "Quarantine": s.Quarantine} {
			if done, err := take(ctx, seen); done || err != nil {
				t.Errorf("%s(%+v) = %v, %v; want false", name, seen, done, err)
			}
		}
	}
	cancel()
	_, expireErr := s.Expire(ctx, info)
	_, quarantineErr := s.Quarantine(ctx, info)
	if !errors.Is(expireErr, context.Canceled) || !errors.Is(quarantineErr, context.Canceled) {
		t.Errorf("with a cancelled context: %v, %v", expireErr, quarantineErr)
	}
	wantDigests(t, s, info.Digest)
}

// expireRacesCommit expires a blob while the same bytes are committed. Whoever comes last decides; bytes whose Commit saw
// another time than the one that was expired are there.
func expireRacesCommit(t *testing.T, s blob.Store) {
	seen := put(t, s, "contended")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := s.Expire(t.Context(), seen); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			info, err := blob.Copy(t.Context(), s, strings.NewReader("contended"), "")
			if err != nil {
				t.Error(err)
			} else if _, err := s.Stat(t.Context(), info.Digest); err != nil && !info.Stored.Equal(seen.Stored) {
				t.Errorf("committed and not there: %v", err)
			}
		})
	}
	wg.Wait()
}
