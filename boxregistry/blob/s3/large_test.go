package s3

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/boxkiln/boxkiln/boxregistry/blob"
	"github.com/boxkiln/boxkiln/boxregistry/blob/s3/s3test"
)

// noise is n bytes that are the same in every run.
func noise(n int) []byte {
	data := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(data) // never fails
	return data
}

func digestOf(data []byte) blob.Digest {
	sum := sha256.Sum256(data)
	return blob.Digest(hex.EncodeToString(sum[:]))
}

// large makes every blob above 5 MiB go in parts, also when it is copied.
func large(t *testing.T, service s3test.Service, prefix string) *Store {
	s := open(t, configFor(service, prefix))
	s.firstPart, s.maxCopy, s.copyPart = minPart, minPart, minPart
	return s
}

// left counts what unfinished work left in the bucket.
func left(t *testing.T, s *Store) (n int) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	for u, err := range s.uploads(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("unfinished upload %s", *u.Key)
		n++
	}
	for o, err := range s.objects(ctx, s.prefix+"staging/") {
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("staging object %s", *o.Key)
		n++
	}
	return n
}

func TestUploadInParts(t *testing.T) {
	t.Parallel()
	services(t, func(t *testing.T, service s3test.Service) {
		s := open(t, configFor(service, "parts"))
		s.firstPart = minPart
		data := noise(3*minPart + 12345)
		info, err := blob.Copy(t.Context(), s, bytes.NewReader(data), digestOf(data))
		if err != nil || info.Size != int64(len(data)) {
			t.Fatal(info, err)
		}
		wantContent(t, s, data)
		if n := left(t, s); n != 0 || len(s.live) != 0 {
			t.Errorf("%d things left, live %v", n, s.live)
		}
	})
}

// TestCopyInParts runs on the gateway alone: gofakes3 copies no parts.
func TestCopyInParts(t *testing.T) {
	t.Parallel()
	s := large(t, s3test.Gateway(t), "copies")
	data := noise(2*minPart + 1)
	if _, err := blob.Copy(t.Context(), s, bytes.NewReader(data), digestOf(data)); err != nil {
		t.Fatal(err)
	}
	wantContent(t, s, data)
	info, err := s.Stat(t.Context(), digestOf(data))
	if err != nil {
		t.Fatal(err)
	}
	if done, err := s.Quarantine(t.Context(), info); !done || err != nil {
		t.Fatal(done, err)
	}
	for o, err := range s.objects(t.Context(), s.prefix+"quarantine/") {
		if err != nil || *o.Size != int64(len(data)) || !strings.Contains(*o.Key, string(info.Digest)) {
			t.Errorf("%+v, %v", o, err)
		}
	}
	if n := left(t, s); n != 0 || len(s.live) != 0 {
		t.Errorf("%d things left, live %v", n, s.live)
	}
}

func wantContent(t *testing.T, s *Store, data []byte) {
	t.Helper()
	r, _, err := s.Open(t.Context(), digestOf(data))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, data) {
		t.Fatalf("read %d bytes, %v; want the %d that were written", len(got), err, len(data))
	}
	for _, at := range []int64{int64(len(data)) - 7, 3, 1000, minPart - 1, int64(len(data)), 0} {
		if _, err := r.Seek(at, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		want := data[at:min(at+100, int64(len(data)))]
		got := make([]byte, len(want))
		if _, err := io.ReadFull(r, got); err != nil || !bytes.Equal(got, want) {
			t.Errorf("at %d: %v", at, err)
		}
	}
	if _, err := r.Seek(-1, io.SeekStart); err == nil {
		t.Error("sought before the beginning")
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		t.Error(err)
	}
	if _, err := r.Read(make([]byte, 1)); err == nil {
		t.Error("a closed reader reads")
	}
}

func TestUnfinishedUploadsLeaveNothing(t *testing.T) {
	t.Parallel()
	services(t, func(t *testing.T, service s3test.Service) {
		s := large(t, service, "unfinished")
		data := noise(2*minPart + 1)
		ctx, cancel := context.WithCancel(t.Context())
		for name, end := range map[string]func(w blob.Writer) error{
			"closed":   func(w blob.Writer) error { return w.Close() },
			"mismatch": func(w blob.Writer) error { _, err := w.Commit(ctx, digestOf(nil)); return errors.Join(err, w.Close()) },
			"cancelled commit": func(w blob.Writer) error {
				cancelled, cancel := context.WithCancel(ctx)
				cancel()
				_, err := w.Commit(cancelled, "")
				return errors.Join(err, w.Close())
			},
			"cancelled writer": func(w blob.Writer) error {
				cancel()
				_, err := w.Write(data)
				_, commitErr := w.Commit(t.Context(), "")
				return errors.Join(err, commitErr, w.Close())
			},
		} {
			if ctx.Err() != nil {
				ctx, cancel = context.WithCancel(t.Context())
			}
			w, err := s.Create(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write(data); err != nil {
				t.Fatal(err)
			}
			if err := end(w); (err == nil) != (name == "closed") {
				t.Errorf("%s: %v", name, err)
			}
			if n := left(t, s); n != 0 || len(s.live) != 0 {
				t.Errorf("%s: %d things left, live %v", name, n, s.live)
			}
		}
		for info, err := range s.All(t.Context()) {
			t.Errorf("visible: %v, %v", info, err)
		}
		cancel()
	})
}

// TestOpenSweeps leaves a writer as a kill -9 does, and one more beside it that goes on.
func TestOpenSweeps(t *testing.T) {
	t.Parallel()
	services(t, func(t *testing.T, service s3test.Service) {
		dead := large(t, service, "swept")
		data := noise(minPart + 1)
		for range 2 {
			w, err := dead.Create(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write(data); err != nil {
				t.Fatal(err)
			}
			if err := w.(*writer).upload.group.Wait(); err != nil {
				t.Fatal(err)
			}
		}
		if n := left(t, dead); n != 2 {
			t.Fatalf("%d uploads begun, want 2", n)
		}
		if err := dead.Sweep(t.Context()); err != nil || left(t, dead) != 2 {
			t.Fatalf("uploads of its own were swept: %v", err)
		}
		if s := large(t, service, "swept"); left(t, s) != 0 {
			t.Error("an upload of an earlier run was not swept")
		}
	})
}

func TestPartSizes(t *testing.T) {
	t.Parallel()
	const largest = 5 << 40 // of an object
	for _, first := range []int64{minPart, defaultPart, maxFirst} {
		total := int64(0)
		for n := int32(1); n <= 10000; n++ {
			size := partSize(first, n)
			if size < minPart || size > maxPart {
				t.Fatalf("part %d has %d bytes", n, size)
			}
			total += size
		}
		if total < largest && first >= defaultPart {
			t.Errorf("parts of %d bytes at first hold %d in all, want 5 TiB", first, total)
		}
	}
}

func TestLargePartsWaitInAFile(t *testing.T) {
	t.Parallel()
	s := &Store{spool: t.TempDir()}
	for _, size := range []int64{100, memoryPart + 1} {
		p, err := s.newPart(size)
		if err != nil {
			t.Fatal(err)
		}
		if (p.file != nil) != (size > memoryPart) {
			t.Errorf("%d bytes: file %v", size, p.file)
		}
		if n, err := p.Write(noise(60)); n != 60 || err != nil || p.full() {
			t.Error(n, err, p.full())
		}
		for range 2 { // a request that is tried again reads again
			if got, err := io.ReadAll(p.reader()); err != nil || !bytes.Equal(got, noise(60)) {
				t.Errorf("read %d bytes, %v", len(got), err)
			}
		}
		if n, err := p.Write(noise(int(size))); n != int(size-60) || err != nil || !p.full() {
			t.Error(n, err, p.full())
		}
		p.free()
	}
	if names, err := os.ReadDir(s.spool); err != nil || len(names) != 0 {
		t.Errorf("left %v, %v", names, err)
	}
}
