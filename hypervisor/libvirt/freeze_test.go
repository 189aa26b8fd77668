//go:build !nolibvirt

package libvirt

import (
	"context"
	"crypto/sha256"
	"encoding/json"
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

// TestFreezeCounting freezes counting guests on many kinds of machines and thaws two at once of each, which have to go on
// counting where it was, reachable at ports of their own, while it goes on itself.
func TestFreezeCounting(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	type machine = map[string]any
	for name, args := range map[string]machine{
		"q35": {"machine_type": "q35", "disk_interface": "sata", "disk_additional_size": []string{"2M", "3M"}},
		"ports": {"vnc_port_min": 5950, "vnc_port_max": 5990, "vnc_password": "secret", "host_port_min": 32200, "host_port_max": 32300, "qemuargs": [][]string{
			{"-netdev", "user,id=user.0,hostfwd=tcp::{{ .SSHHostPort }}-:22"}, {"-device", "usb-tablet"}, {"-device", "virtio-rng-pci"},
			{"-device", "e1000,netdev=user.0"},
			{"-drive", "file={{ .OutputDir }}/{{ .Name }},if=ide,cache=unsafe,format=qcow2"},
		}},
		"raw": {"format": "raw", "disk_interface": "virtio-scsi"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spec := specOf(t, r.install, args, countGuest())
			spec.CDs = []string{bootableCD(t, filepath.Dir(spec.Dir), echoGuest())}
			m := r.run(t, spec)
			r.serialLen(t, m, 3)
			f, dir := r.freeze(t, m)
			second := spec
			second.CDs = []string{bootableCD(t, openDir(t), echoGuest())}
			twins := r.thawTwo(t, f, dir, second)
			r.wantCounting(t, twins)
			r.wantOwnPorts(t, append(twins, m))
			if a, b := genID(t, twins[0]), genID(t, twins[1]); a == "" || a == b {
				t.Errorf("the machines have the generation ids %q and %q; want different ones", a, b)
			}
			if all := r.serialLen(t, m, 30); !strings.HasPrefix(all, countReady+alphabet) {
				t.Errorf("the frozen machine wrote %q", all)
			}
		})
	}
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

// TestFreezeUEFI freezes UEFI firmware at work, which goes on in the machines that are thawed, with variables of their own.
func TestFreezeUEFI(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	spec := specOf(t, r.install, map[string]any{"machine_type": "q35", "efi_boot": true}, nil)
	spec.MemoryMiB, spec.Disks[0].Size = 128, 1<<20
	m := r.run(t, spec)
	r.serialHas(t, m, "BdsDxe")
	f, dir := r.freeze(t, m)
	if f.Vars == "" || !strings.Contains(f.Host.Machine, "q35") {
		t.Errorf("frozen %+v", f)
	}
	for _, m := range r.thawTwo(t, f, dir, spec) {
		if text := r.serialLen(t, m, 20); strings.Contains(text, "BdsDxe: loading Boot0000") {
			t.Errorf("the thawed machine starts from the beginning: %q", text)
		}
		if info, err := os.Stat(filepath.Join(m.meta.Dir, varsFile)); err != nil || info.Size() < 64<<10 {
			t.Errorf("its variables: %v %v", info, err)
		}
	}
	other := r.twin(t, spec)
	other.Firmware.Code = "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd"
	if err := r.Fits(r.ctx, f, other); err == nil || !strings.Contains(err.Error(), "UEFI code") {
		t.Errorf("Fits with other firmware: %v", err)
	}
}

// TestFreezeInClosedFolder freezes and thaws where only root can enter, so that QEMU runs as root.
func TestFreezeInClosedFolder(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	closed := filepath.Join(openDir(t), "closed")
	if err := os.Mkdir(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	spec := specOf(t, r.install, nil, countGuest())
	spec.Dir = filepath.Join(closed, "vm")
	dir := filepath.Join(closed, "frozen")
	for path, mode := range map[string]os.FileMode{spec.Dir: 0o700, dir: 0o711} {
		if err := os.Mkdir(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	m := r.run(t, spec)
	r.serialLen(t, m, 3)
	f := r.freezeInto(t, m, dir)
	r.wantCounting(t, r.thawTwo(t, f, dir, spec)) // their own folders are open, the frozen disk is not
	if note := m.Note(); !strings.Contains(note, "QEMU runs as root") {
		t.Errorf("note %q", note)
	}
}

// TestThawOwnerKilled kills the process that thawed a machine. Libvirt cannot tie a restored machine to its connection as
// it does with others, so it runs on until the next driver finds and removes it.
func TestThawOwnerKilled(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	spec := specOf(t, r.install, nil, countGuest())
	m := r.run(t, spec)
	r.serialLen(t, m, 3)
	f, dir := r.freeze(t, m)
	twin := r.twin(t, spec)
	order, err := json.Marshal(thawOrder{r.install, f, dir, twin})
	if err != nil {
		t.Fatal(err)
	}
	owner := startOwner(t, "TestThawingProcess", thawVariable+"="+string(order))
	if err := owner.Kill(); err != nil {
		t.Fatal(err)
	}
	found, err := r.Open(r.ctx, hypervisor.Handle{Driver: Name, Name: twin.Name, Tag: twin.Tag, Dir: twin.Dir})
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	if s, err := found.State(r.ctx); err != nil || s != hypervisor.Running {
		t.Errorf("State = %v, %v; want it to run", s, err)
	}
	if err := found.Destroy(r.ctx); err != nil {
		t.Fatalf("Destroy: %v", err)
	}
	if left, err := os.ReadDir(twin.Dir); err != nil || len(left) > 0 {
		t.Errorf("left: %v %v", left, err)
	}
}

const thawVariable = "BOXKILN_THAW"

// thawOrder tells TestThawingProcess what to thaw.
type thawOrder struct {
	Install string
	Frozen  hypervisor.Frozen
	Dir     string
	Spec    hypervisor.Spec
}

// TestThawingProcess is the process that TestThawOwnerKilled kills.
func TestThawingProcess(t *testing.T) {
	text := os.Getenv(thawVariable)
	if text == "" {
		t.Skip("runs only for TestThawOwnerKilled")
	}
	var o thawOrder
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		t.Fatal(err)
	}
	d := New(Options{Install: o.Install, URI: os.Getenv(uriVariable)})
	if _, err := d.Thaw(t.Context(), o.Frozen, o.Dir, o.Spec); err != nil {
		t.Fatal(err)
	}
	fmt.Print(ownerReady)
	<-t.Context().Done()
}

// TestHalfThawed leaves what a crash in the middle of a thaw leaves: a definition, a pipe that libvirtd may wait at, and
// files. Destroy removes them, and so does another Thaw.
func TestHalfThawed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	spec := specOf(t, r.install, nil, countGuest())
	m := r.run(t, spec)
	r.serialLen(t, m, 3)
	f, dir := r.freeze(t, m)
	half := func(t *testing.T) hypervisor.Spec {
		t.Helper()
		twin := r.twin(t, spec)
		h, err := r.Create(r.ctx, twin)
		if err != nil {
			t.Fatal(err)
		}
		r.endWith(t, h, twin)
		if err := os.Remove(filepath.Join(twin.Dir, markerFile)); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mkfifo(filepath.Join(twin.Dir, pipeFile), 0o600); err != nil {
			t.Fatal(err)
		}
		return twin
	}
	twin := half(t)
	h, err := r.Open(r.ctx, hypervisor.Handle{Driver: Name, Name: twin.Name, Tag: twin.Tag, Dir: twin.Dir})
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	if err := h.Destroy(r.ctx); err != nil {
		t.Fatalf("Destroy: %v", err)
	}
	twin = half(t)
	again, err := r.Thaw(r.ctx, f, dir, twin)
	if err != nil {
		t.Fatalf("Thaw over a half-thawed machine: %v", err)
	}
	r.endWith(t, again, twin)
	if s, err := again.State(r.ctx); err != nil || s != hypervisor.Running {
		t.Errorf("State = %v, %v; want it to run", s, err)
	}
}

// TestFreezeOff freezes machines that are off: each goes on, and so does what is thawed from it.
func TestFreezeOff(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	type machine = map[string]any
	byHand := func(format string) [][]string {
		return [][]string{
			{"-drive", "if=none,id=d0,format=" + format + ",file={{ .OutputDir }}/{{ .Name }}"}, {"-device", "virtio-blk-pci,drive=d0"},
		}
	}
	for name, c := range map[string]struct {
		args machine
		err  error
	}{
		"raw":         {machine{"format": "raw", "disk_additional_size": []string{"1M"}}, nil},
		"by hand":     {machine{"qemuargs": byHand("qcow2")}, nil},
		"raw by hand": {machine{"format": "raw", "qemuargs": byHand("raw")}, hypervisor.ErrUnsupported},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spec := specOf(t, r.install, c.args, nanoGuest())
			h, err := r.Create(r.ctx, spec)
			if err != nil {
				t.Fatalf("Create: %v", err)
			}
			m := h.(*Machine)
			r.endWith(t, m, spec)
			if c.err != nil {
				if _, err := m.Freeze(r.ctx, frozenDir(t)); !errors.Is(err, c.err) {
					t.Errorf("Freeze: %v; want %v", err, c.err)
				}
				return
			}
			f, dir := r.freeze(t, m)
			twin := r.twin(t, spec)
			thawed, err := r.Thaw(r.ctx, f, dir, twin)
			if err != nil {
				t.Fatalf("Thaw: %v", err)
			}
			r.endWith(t, thawed, twin)
			for _, m := range []*Machine{m, thawed.(*Machine)} {
				if err := m.Start(r.ctx); err != nil {
					t.Fatalf("Start: %v", err)
				}
				if err := m.Wait(r.ctx); err != nil {
					t.Errorf("Wait: %v", err)
				}
				r.serialHas(t, m, nanoText)
			}
		})
	}
}

// TestFreezeAtOnce freezes one machine from several goroutines and through two Machines at once. Every one is as good as
// the others.
func TestFreezeAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	spec := specOf(t, r.install, nil, countGuest())
	m := r.run(t, spec)
	r.serialLen(t, m, 3)
	again, err := r.Open(r.ctx, m.Handle())
	if err != nil {
		t.Fatal(err)
	}
	frozen, errs := make([]hypervisor.Frozen, 3), make([]error, 3)
	var wg sync.WaitGroup
	dirs := []string{frozenDir(t), frozenDir(t), frozenDir(t)}
	for i, m := range []hypervisor.Freezer{m, again.(hypervisor.Freezer), m} {
		wg.Go(func() { frozen[i], errs[i] = m.Freeze(r.ctx, dirs[i]) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatalf("Freeze: %v", err)
	}
	for i, f := range frozen {
		twin := r.twin(t, spec)
		thawed, err := r.Thaw(r.ctx, f, dirs[i], twin)
		if err != nil {
			t.Fatalf("Thaw: %v", err)
		}
		r.endWith(t, thawed, twin)
		r.serialLen(t, thawed.(*Machine), 3)
	}
	if depth := len(frozen); !r.hasDepth(t, m, depth) {
		t.Errorf("the disk of the machine is not an overlay over %d others", depth)
	}
}

// hasDepth tells whether the machine knows that its disk is based on n others.
func (r rig) hasDepth(t *testing.T, m *Machine, n int) bool {
	t.Helper()
	meta, err := m.current(r.ctx)
	if err != nil {
		t.Fatal(err)
	}
	return len(meta.Disks[0].Backing) == n
}

// TestFreezeCutShort ends a freeze at several points in its course. The guest counts on.
func TestFreezeCutShort(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	m := r.run(t, specOf(t, r.install, nil, countGuest()))
	r.serialLen(t, m, 3)
	for _, d := range []time.Duration{5, 20, 40, 60, 80, 100} {
		dir := frozenDir(t)
		ctx, cancel := context.WithTimeout(r.ctx, d*time.Millisecond)
		_, err := m.Freeze(ctx, dir)
		cancel()
		if err == nil {
			continue // it was faster; the machine is based on dir now
		}
		if left, rerr := os.ReadDir(dir); rerr != nil || len(left) > 0 || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Freeze for %v: %v; left are %v, %v", d, err, left, rerr)
		}
		before, err := os.ReadFile(m.SerialLog())
		if err != nil {
			t.Fatal(err)
		}
		if text := r.serialLen(t, m, len(before)+3); strings.Count(text, countReady) != 1 {
			t.Errorf("the guest wrote %q", text)
		}
	}
}
