package zseek

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/boxkiln/boxkiln/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// image makes the memory of a machine: zeros, pages that repeat, and noise.
func image(size int) []byte {
	b := make([]byte, size)
	r := rand.NewChaCha8([32]byte{1})
	page := make([]byte, 4096)
	r.Read(page)
	for i := 0; i+4096 <= size; i += 4096 {
		switch (i / 4096) % 8 {
		case 0:
			r.Read(b[i : i+4096])
		case 1, 2:
			copy(b[i:], page)
		case 3:
			for j := range 4096 {
				b[i+j] = byte(j * i >> 12 & 15)
			}
		}
	}
	if size%4096 > 0 {
		r.Read(b[size-size%4096:])
	}
	return b
}

func pack(t testing.TB, plain []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := Compress(t.Context(), &out, bytes.NewReader(plain), 2); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func sink(t testing.TB) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, 4095, FrameSize - 1, FrameSize, FrameSize + 1, 5*FrameSize + 12345} {
		plain := image(size)
		packed := pack(t, plain)
		f, h := sink(t), sha256.New()
		if err := Decompress(t.Context(), f, bytes.NewReader(packed), int64(len(packed)), h, 2); err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		got, err := os.ReadFile(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, plain) {
			t.Errorf("%d bytes came back otherwise", size)
		}
		if want := sha256.Sum256(packed); !bytes.Equal(h.Sum(nil), want[:]) {
			t.Errorf("%d bytes: the tee saw other bytes than the file's", size)
		}
	}
}

func TestZerosBecomeHoles(t *testing.T) {
	t.Parallel()
	var f spy
	packed := pack(t, append(make([]byte, 3*FrameSize), 1))
	if err := Decompress(t.Context(), &f, bytes.NewReader(packed), int64(len(packed)), io.Discard, 2); err != nil {
		t.Fatal(err)
	}
	if f.written != 1 || f.size != 3*FrameSize+1 {
		t.Errorf("%d bytes were written, and the file has %d", f.written, f.size)
	}
}

// spy counts what is written; only one frame is, so there is no race.
type spy struct{ written, size int64 }

func (s *spy) WriteAt(b []byte, _ int64) (int, error) { s.written += int64(len(b)); return len(b), nil }
func (s *spy) Truncate(size int64) error              { s.size = size; return nil }

// The format is not ours: the tool that everybody has reads it.
func TestZstdReadsIt(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("zstd"); err != nil {
		t.Skip("zstd is not installed")
	}
	plain := image(FrameSize + 777)
	cmd := exec.CommandContext(t.Context(), "zstd", "-dc")
	cmd.Stdin = bytes.NewReader(pack(t, plain))
	out, err := cmd.Output()
	if err != nil || !bytes.Equal(out, plain) {
		t.Errorf("zstd gives %d bytes of %d: %v", len(out), len(plain), err)
	}
}

func TestDamageIsFound(t *testing.T) {
	t.Parallel()
	packed := pack(t, image(2*FrameSize+99))
	for name, b := range map[string][]byte{
		"empty":           nil,
		"no table":        packed[:len(packed)-1],
		"one frame less":  packed[FrameSize/8:],
		"a flipped bit":   flip(packed, len(packed)/3),
		"another count":   flip(packed, len(packed)-footerSize),
		"another size":    flip(packed, len(packed)-footerSize-entrySize),
		"not a table":     flip(packed, len(packed)-1),
		"a descriptor":    flip(packed, len(packed)-5),
		"only the footer": packed[len(packed)-footerSize:],
	} {
		if err := Decompress(t.Context(), &spy{}, bytes.NewReader(b), int64(len(b)), io.Discard, 1); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func flip(b []byte, i int) []byte {
	b = bytes.Clone(b)
	b[i] ^= 1
	return b
}

type broken struct{ err error }

func (b broken) Write([]byte) (int, error)          { return 0, b.err }
func (b broken) Read([]byte) (int, error)           { return 0, b.err }
func (b broken) WriteAt([]byte, int64) (int, error) { return 0, b.err }
func (b broken) Truncate(int64) error               { return b.err }

func TestErrorsComeThrough(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	plain := image(9 * FrameSize)
	packed := pack(t, plain)
	src, size := bytes.NewReader(packed), int64(len(packed))
	ended, end := context.WithCancelCause(t.Context())
	end(boom)
	for name, err := range map[string]error{
		"read":   Compress(t.Context(), io.Discard, io.MultiReader(bytes.NewReader(plain), broken{boom}), 2),
		"write":  Compress(t.Context(), broken{boom}, bytes.NewReader(plain), 2),
		"unpack": Decompress(t.Context(), broken{boom}, src, size, io.Discard, 2),
		"tee":    Decompress(t.Context(), &spy{}, src, size, broken{boom}, 2),
	} {
		if !errors.Is(err, boom) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := Compress(ended, io.Discard, bytes.NewReader(plain), 2); !errors.Is(err, context.Canceled) {
		t.Errorf("compress after the end: %v", err)
	}
	if err := Decompress(ended, &spy{}, src, size, io.Discard, 2); !errors.Is(err, context.Canceled) {
		t.Errorf("decompress after the end: %v", err)
	}
}

func FuzzDecompress(f *testing.F) {
	f.Add(pack(f, []byte("hello")))
	f.Add(appendTable(nil, nil))
	f.Add(appendTable(nil, []frame{{1, 1}, {1 << 30, FrameSize}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		err := Decompress(t.Context(), &spy{}, bytes.NewReader(b), int64(len(b)), io.Discard, 1)
		if err != nil && !errors.Is(err, ErrCorrupt) {
			t.Errorf("%v is no ErrCorrupt", err)
		}
	})
}

// A guest's memory of 234 MB.
func BenchmarkDecompress(b *testing.B) {
	const size = 234 << 20
	packed := pack(b, image(size))
	b.SetBytes(size)
	b.ReportMetric(float64(len(packed))/(1<<20), "MiB-packed")
	for b.Loop() {
		f := sink(b)
		if err := Decompress(b.Context(), f, bytes.NewReader(packed), int64(len(packed)), sha256.New(), 2); err != nil {
			b.Fatal(err)
		}
		if err := os.Remove(f.Name()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCompress(b *testing.B) {
	plain := image(234 << 20)
	b.SetBytes(int64(len(plain)))
	for b.Loop() {
		if err := Compress(b.Context(), io.Discard, bytes.NewReader(plain), 2); err != nil {
			b.Fatal(err)
		}
	}
}
