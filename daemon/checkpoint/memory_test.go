package checkpoint

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// memory is what a build gets of a checkpoint's memory.
func (k *kiln) memory(t *testing.T, id ID) ([]byte, error) {
	t.Helper()
	l, err := k.Acquire(t.Context(), id, "reader")
	if err != nil {
		return nil, err
	}
	defer k.release(t, "reader")
	return readMemory(t.Context(), l, t.TempDir())
}

// readMemory is the whole memory of a lease.
func readMemory(ctx context.Context, l *Lease, dir string) ([]byte, error) {
	r, err := l.Memory(ctx, dir)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(r)
	return data, errors.Join(err, r.Close())
}

// flip changes a byte in the middle of a file.
func flip(t *testing.T, path string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func (k *kiln) packed(id ID) string { return filepath.Join(k.dir, string(id), memoryFile) }

// Memories of descendants are differences from that of the first, also when that is only a layer, and come back as they were.
func TestMemoriesAreDifferences(t *testing.T) {
	t.Parallel()
	k := newKiln(t, Options{})
	var ids []ID
	parent := ID("")
	for i := range byte(3) {
		e := k.keepGuest(t, parent, i, 4096)
		parent = e.ID
		ids = append(ids, e.ID)
		if i > 0 && e.MemoryBase != ids[0] {
			t.Errorf("the memory of %d is a difference from %q, want %q", i, e.MemoryBase, ids[0])
		}
	}
	first, err := os.Stat(k.packed(ids[0]))
	if err != nil {
		t.Fatal(err)
	}
	if last, err := os.Stat(k.packed(ids[2])); err != nil || last.Size() > first.Size()*2/3 {
		t.Errorf("the first takes %d bytes and the last %d (%v)", first.Size(), last.Size(), err)
	}
	k.release(t, "b1")
	if err := k.Remove(t.Context(), ids[0], false); err != nil {
		t.Fatal(err)
	}
	for i, id := range ids[1:] {
		got, err := k.memory(t, id)
		if err != nil || !bytes.Equal(got, memoryOf(byte(i+1), guestMemory*scale)) {
			t.Errorf("the memory of %d is another one: %d bytes, %v", i+1, len(got), err)
		}
	}
	if left := k.files(t); len(left) == 0 {
		t.Error("nothing is left")
	}
}

// A damaged difference drops its checkpoint, a damaged base all whose memories depend on it; disks stay for who needs them.
func TestDamagedMemories(t *testing.T) {
	t.Parallel()
	for _, at := range []int{0, 1} {
		k := newKiln(t, Options{})
		base := k.keepGuest(t, "", 0, 4096)
		one := k.keepGuest(t, base.ID, 1, 4096)
		two := k.keepGuest(t, one.ID, 2, 4096)
		flip(t, k.packed([]ID{base.ID, one.ID}[at]))
		k.plains.forget("") // what this process has at hand is not damaged
		if _, err := k.memory(t, one.ID); !errors.Is(err, ErrDamaged) {
			t.Errorf("damage at %d: %v", at, err)
		}
		_, err := k.memory(t, two.ID)
		if at == 0 && !errors.Is(err, ErrGone) || at == 1 && err != nil {
			t.Errorf("damage at %d, the memory of the last: %v", at, err)
		}
		if found := k.lookup(t, one.Fingerprint); found != nil {
			t.Errorf("damage at %d: %v is still found", at, found)
		}
	}
}

// Who does not read a memory to its end leaves nothing behind.
func TestMemoryIsClosedEarly(t *testing.T) {
	t.Parallel()
	k := newKiln(t, Options{})
	base := k.keepGuest(t, "", 0, 4096)
	one := k.keepGuest(t, base.ID, 1, 4096)
	for _, id := range []ID{base.ID, one.ID} {
		dir := t.TempDir()
		r, err := k.acquire(t, id, "reader").Memory(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Read(make([]byte, 10)); err != nil {
			t.Error(err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
			t.Errorf("left: %v (%v)", left, err)
		}
	}
}

// The memory that was used last is at hand until another one is, or its checkpoint goes; who reads it is not disturbed.
func TestPlainMemoryIsKept(t *testing.T) {
	t.Parallel()
	k := newKiln(t, Options{})
	one := k.keepGuest(t, "", 0, 4096)
	made := 0
	k.fault = func(string) error { return nil }
	take := func(id ID) *plain {
		p, err := k.plains.take(t.Context(), id, func() (*os.File, error) { made++; return scratch(t.TempDir()) })
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	p := take(one.ID)
	if made != 0 {
		t.Error("what was just compressed is not at hand")
	}
	other := take("other")
	if made != 1 || !p.stale {
		t.Errorf("%d made, stale: %v", made, p.stale)
	}
	if _, err := p.reader().Read(make([]byte, 1)); err != nil {
		t.Errorf("its reader was disturbed: %v", err)
	}
	for _, q := range []*plain{p, other, take("other")} {
		if err := k.plains.give(q); err != nil {
			t.Error(err)
		}
	}
	if _, err := p.f.Stat(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("the first is open still: %v", err)
	}
	k.forget("other")
	if _, err := other.f.Stat(); !errors.Is(err, os.ErrClosed) || made != 1 {
		t.Errorf("what was forgotten is open still: %v; %d made", err, made)
	}
}
