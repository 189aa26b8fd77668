package delta

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"
)

// noise is n bytes that do not repeat.
func noise(seed uint64, n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	_, _ = r.Read(b) // never fails
	return b
}

func encode(t testing.TB, base, target []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := Encode(t.Context(), &out, bytes.NewReader(base), bytes.NewReader(target)); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func decode(t testing.TB, base, delta []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := Decode(t.Context(), &out, bytes.NewReader(base), bytes.NewReader(delta)); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// pages is a memory as QEMU writes it: the head of a page is its address.
func pages(content func(page int) []byte, n int) []byte {
	var b []byte
	for i := range n {
		b = append(b, 0, 0, 0, 0, byte(i>>16), byte(i>>8), byte(i), 8)
		b = append(b, content(i)...)
	}
	return b
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	base := noise(1, 3<<20)
	for name, target := range map[string][]byte{
		"empty": nil, "equal": base, "other": noise(2, 2<<20), "cut": base[:1<<20+17], "shifted": base[12345:],
		"longer": append(bytes.Clone(base), noise(3, 70000)...), "small": base[5:900], "twice": append(bytes.Clone(base), base...),
		"zeros": make([]byte, 3<<20), "reversed halves": append(bytes.Clone(base[1<<20:]), base[:1<<20]...),
	} {
		for _, b := range [][]byte{base, nil, target} {
			if got := decode(t, b, encode(t, b, target)); !bytes.Equal(got, target) {
				t.Errorf("%s: %d bytes become %d others", name, len(target), len(got))
			}
		}
	}
}

// A memory in which few pages have changed, and one more was written early on, is described by little more than those.
func TestSmallChangesAreSmall(t *testing.T) {
	t.Parallel()
	const n = 2000
	page := func(version int) func(int) []byte {
		return func(i int) []byte {
			if i%100 == 7 {
				return noise(uint64(i+version*n), 4096)
			}
			return noise(uint64(i), 4096)
		}
	}
	base := pages(page(0), n)
	target := append(noise(9, 4104), pages(page(1), n)...)
	d := encode(t, base, target)
	if changed := 21 * 4104; len(d) > 5*changed {
		t.Errorf("%d bytes for %d that changed", len(d), changed)
	}
	if !bytes.Equal(decode(t, base, d), target) {
		t.Error("it is not what it was")
	}
}

func TestCutOffIsFound(t *testing.T) {
	t.Parallel()
	base := noise(1, 100<<10)
	target := append(noise(2, 5000), base[2000:90000]...)
	d := encode(t, base, target)
	for i := 0; i < len(d); i += 1 + len(d)/150 {
		if err := Decode(t.Context(), io.Discard, bytes.NewReader(base), bytes.NewReader(d[:i])); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("cut at %d of %d: %v", i, len(d), err)
		}
	}
	if err := Decode(t.Context(), io.Discard, bytes.NewReader(base[:1000]), bytes.NewReader(d)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a base that is too short: %v", err)
	}
}

func TestErrorsComeThrough(t *testing.T) {
	t.Parallel()
	broken := errors.New("input/output error")
	bad := func() io.Reader { return iotest.ErrReader(broken) }
	some := func() io.Reader { return bytes.NewReader(noise(1, 5000)) }
	if err := Encode(t.Context(), io.Discard, bad(), some()); !errors.Is(err, broken) {
		t.Error(err)
	}
	if err := Encode(t.Context(), io.Discard, some(), bad()); !errors.Is(err, broken) {
		t.Error(err)
	}
	if err := Decode(t.Context(), io.Discard, bytes.NewReader(nil), io.MultiReader(bytes.NewReader([]byte(magic)), bad())); !errors.Is(err, broken) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(broken)
	if err := Encode(ctx, io.Discard, some(), some()); !errors.Is(err, broken) {
		t.Error(err)
	}
	if err := Decode(ctx, io.Discard, bytes.NewReader(nil), bytes.NewReader(encode(t, nil, noise(1, 500)))); !errors.Is(err, broken) {
		t.Error(err)
	}
}

// FuzzDecode: whatever the bytes are, Decode ends, and writes no more than the operations say.
func FuzzDecode(f *testing.F) {
	base := noise(1, 20<<10)
	f.Add(encode(f, base, append(noise(2, 3000), base...)))
	f.Add([]byte(magic + "\x00"))
	f.Fuzz(func(t *testing.T, d []byte) {
		err := Decode(t.Context(), io.Discard, bytes.NewReader(base), bytes.NewReader(d))
		if err != nil && !errors.Is(err, ErrCorrupt) {
			t.Error(err)
		}
	})
}

// FuzzRoundTrip: whatever the files are, the target comes back.
func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte("base"), []byte("target"), uint(3))
	f.Fuzz(func(t *testing.T, base, target []byte, times uint) {
		base = bytes.Repeat(base, int(times%200)+1)
		target = append(bytes.Clone(target), base[len(base)/3:]...)
		if got := decode(t, base, encode(t, base, target)); !bytes.Equal(got, target) {
			t.Errorf("%d bytes become %d", len(target), len(got))
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	base := noise(1, 64<<20)
	target := append(noise(2, 1<<20), base...)
	b.SetBytes(int64(len(base) + len(target)))
	for b.Loop() {
		if err := Encode(b.Context(), io.Discard, bytes.NewReader(base), bytes.NewReader(target)); err != nil {
			b.Fatal(err)
		}
	}
}
