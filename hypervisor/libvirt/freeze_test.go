//go:build !nolibvirt

package libvirt

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/boxkiln/boxkiln/hypervisor"
)

// twin is a spec for another machine like that of spec, in a directory of its own.
func (r rig) twin(t *testing.T, spec hypervisor.Spec) hypervisor.Spec {
	t.Helper()
	spec.Name = "bk-test-" + uuid.NewString()[:8]
	spec.Dir = filepath.Join(openDir(t), "vm")
	if err := os.Mkdir(spec.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return spec
}

// frozenDir is a directory for a frozen machine as the checkpoint store makes them.
func frozenDir(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(openDir(t), "frozen")
	if err := os.Mkdir(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	return dir
}

// freeze freezes a machine and, at the end of the test, checks that the frozen files did not change.
func (r rig) freeze(t *testing.T, m *Machine) (hypervisor.Frozen, string) {
	t.Helper()
	dir := frozenDir(t)
	begin := time.Now()
	f, err := m.Freeze(r.ctx, dir)
	if err != nil {
		t.Fatalf("Freeze: %v", err)
	}
	t.Logf("frozen in %s: %+v", time.Since(begin), f.Host)
	before := sums(t, dir)
	t.Cleanup(func() {
		for name, sum := range sums(t, dir) {
			if before[name] != sum {
				t.Errorf("the frozen %s was %s and is %s", name, before[name], sum)
			}
		}
	})
	return f, dir
}

// sums are digest, owner and mode of every file in dir.
func sums(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		st := info.Sys().(*syscall.Stat_t)
		out[e.Name()] = fmt.Sprintf("%x %v %d:%d", sha256.Sum256(data), info.Mode(), st.Uid, st.Gid)
	}
	return out
}

// thaw makes a machine that ends with the test.
func (r rig) thaw(t *testing.T, f hypervisor.Frozen, dir string, spec hypervisor.Spec) *Machine {
	t.Helper()
	if err := r.Fits(r.ctx, f, spec); err != nil {
		t.Fatalf("Fits: %v", err)
	}
	begin := time.Now()
	m, err := r.Thaw(r.ctx, f, dir, spec)
	if err != nil {
		t.Fatalf("Thaw: %v", err)
	}
	t.Logf("thawed in %s", time.Since(begin))
	r.endWith(t, m, spec)
	return m.(*Machine)
}

// serialLen waits until the guest has written n bytes to its serial port, and returns what it wrote.
func (r rig) serialLen(t *testing.T, m *Machine, n int) string {
	t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		data, err := os.ReadFile(m.SerialLog())
		if err != nil {
			t.Fatal(err)
		}
		if len(data) >= n {
			return string(data)
		}
		select {
		case <-r.ctx.Done():
			t.Fatalf("the guest wrote %q; want %d bytes", data, n)
		case <-ticker.C:
		}
	}
}

const alphabet = "abcdefghijklmnopqrstuvwxyz"

// counts tells whether text goes on counting where the letter last left off.
func counts(last byte, text string) bool {
	endless := strings.Repeat(alphabet, len(text)/len(alphabet)+2)
	return strings.HasPrefix(endless[strings.IndexByte(alphabet, last)+1:], text)
}

// TestFreezeRunning freezes a counting guest, thaws two at once that go on counting where it was, while it goes on itself,
// and freezes one of them again.
func TestFreezeRunning(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for name, args := range map[string]map[string]any{
		"pc":  {},
		"q35": {"machine_type": "q35", "disk_interface": "sata"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spec := specOf(t, r.install, args, countGuest())
			m := r.run(t, spec)
			r.serialLen(t, m, 3)
			f, dir := r.freeze(t, m)
			all := r.serialLen(t, m, 40)
			if !strings.HasPrefix(all, countReady+alphabet) {
				t.Errorf("the frozen machine wrote %q", all)
			}
			clones := []*Machine{r.thaw(t, f, dir, r.twin(t, spec)), r.thaw(t, f, dir, r.twin(t, spec))}
			starts := ""
			for _, c := range clones {
				text := r.serialLen(t, c, 10)
				starts += text[:1]
				if !counts(text[0]-1, text) && text[0] != 'a' {
					t.Errorf("the thawed machine wrote %q", text)
				}
			}
			if starts[0] != starts[1] || strings.Contains(starts, countReady) {
				t.Errorf("the two start with %q", starts)
			}
			f2, dir2 := r.freeze(t, clones[0])
			if err := clones[0].Destroy(r.ctx); err != nil {
				t.Fatal(err)
			}
			again := r.thaw(t, f2, dir2, r.twin(t, spec))
			if text := r.serialLen(t, again, 10); strings.Contains(text, countReady) {
				t.Errorf("thawed again it wrote %q", text)
			}
		})
	}
}
