//go:build !nolibvirt

package libvirt

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

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
	return r.freezeInto(t, m, dir), dir
}

func (r rig) freezeInto(t *testing.T, m *Machine, dir string) hypervisor.Frozen {
	t.Helper()
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
	return f
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

// thawTwo thaws two machines at once.
func (r rig) thawTwo(t *testing.T, f hypervisor.Frozen, dir string, spec hypervisor.Spec) []*Machine {
	t.Helper()
	var wg sync.WaitGroup
	machines, errs := make([]*Machine, 2), make([]error, 2)
	for i := range machines {
		twin := r.twin(t, spec)
		if err := r.Fits(r.ctx, f, twin); err != nil {
			t.Errorf("Fits: %v", err)
		}
		wg.Go(func() {
			begin := time.Now()
			m, err := r.Thaw(r.ctx, f, dir, twin)
			if errs[i] = err; err == nil {
				t.Logf("thawed in %s", time.Since(begin))
				r.endWith(t, m, twin)
				machines[i] = m.(*Machine)
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatalf("Thaw: %v", err)
	}
	return machines
}

// genID is the id that tells a guest that it is a copy.
func genID(t *testing.T, m *Machine) string {
	t.Helper()
	id, err := askDomain(t.Context(), m, func(_ *libvirt.Connect, dom *libvirt.Domain) (string, error) {
		text, err := dom.GetXMLDesc(0)
		if err != nil {
			return "", err
		}
		var x libvirtxml.Domain
		if err := x.Unmarshal(text); err != nil || x.GenID == nil {
			return "", err
		}
		return x.GenID.Value, nil
	})
	if err != nil {
		t.Error(err)
	}
	return id
}

// wantCounting checks that both machines go on from the same letter.
func (r rig) wantCounting(t *testing.T, twins []*Machine) {
	t.Helper()
	var starts [2]byte
	for i, m := range twins {
		text := r.serialLen(t, m, 5)
		at := strings.IndexByte(alphabet, text[0])
		if at < 0 || !strings.HasPrefix(strings.Repeat(alphabet, len(text)/len(alphabet)+2)[at:], text) {
			t.Errorf("the thawed machine wrote %q; want it to go on counting", text)
		}
		starts[i] = text[0]
	}
	if starts[0] != starts[1] {
		t.Errorf("the machines start with %q and %q; want the same", starts[0], starts[1])
	}
}

func (r rig) wantOwnPorts(t *testing.T, machines []*Machine) {
	t.Helper()
	seen := map[string]bool{}
	for _, m := range machines {
		e, err := m.Guest(r.ctx, 22)
		if err != nil || seen[e.String()] {
			t.Errorf("Guest = %v, %v; want an endpoint of its own", e, err)
			continue
		}
		seen[e.String()] = true
		c, err := net.Dial("tcp", e.String())
		if err != nil {
			t.Error(err)
			continue
		}
		c.Close()
	}
}
