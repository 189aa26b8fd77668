//go:build !nolibvirt

package libvirt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/hypervisortest"
)

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
			spec := specOf(t, r.install, args, hypervisortest.CountGuest())
			spec.CDs = []string{bootableCD(t, filepath.Dir(spec.Dir), hypervisortest.EchoGuest())}
			m := r.run(t, spec)
			r.serialLen(t, m, 3)
			f, dir := r.freeze(t, m)
			second := spec
			second.CDs = []string{bootableCD(t, openDir(t), hypervisortest.EchoGuest())}
			twins := r.thawTwo(t, f, dir, second)
			r.wantCounting(t, twins)
			r.wantOwnPorts(t, append(twins, m))
			if a, b := genID(t, twins[0]), genID(t, twins[1]); a == "" || a == b {
				t.Errorf("the machines have the generation ids %q and %q; want different ones", a, b)
			}
			if all := r.serialLen(t, m, 30); !strings.HasPrefix(all, hypervisortest.CountReady+alphabet) {
				t.Errorf("the frozen machine wrote %q", all)
			}
		})
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
	spec := specOf(t, r.install, nil, hypervisortest.CountGuest())
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
			spec := specOf(t, r.install, c.args, hypervisortest.NanoGuest())
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
				r.serialHas(t, m, hypervisortest.NanoText)
			}
		})
	}
}

// TestFreezeAtOnce freezes one machine from several goroutines and through two Machines at once. Every one is as good as
// the others.
func TestFreezeAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	spec := specOf(t, r.install, nil, hypervisortest.CountGuest())
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

// TestSwapFails has the second of two disks fail to be swapped: both must be what they were.
func TestSwapFails(t *testing.T) {
	t.Parallel()
	vm, dir := t.TempDir(), t.TempDir()
	z := &freezing{Machine: &Machine{}, dir: dir, meta: metadata{Dir: vm}}
	for i := range 2 {
		d := freezingDisk{
			active: diskMeta{Path: filepath.Join(vm, fmt.Sprint(i))}, frozen: filepath.Join(dir, fmt.Sprint(i)),
			overlay: filepath.Join(vm, fmt.Sprint(overlayPrefix, i)),
		}
		content := fmt.Sprint("disk ", i)
		err := errors.Join(os.WriteFile(d.active.Path, []byte(content), 0o640), os.Link(d.active.Path, d.frozen))
		if i == 0 {
			err = errors.Join(err, os.WriteFile(d.overlay, []byte("overlay"), 0o600))
		}
		if err != nil {
			t.Fatal(err)
		}
		z.disks = append(z.disks, d)
	}
	if err := z.swap(); !errors.Is(err, os.ErrNotExist) || errors.Is(err, hypervisor.ErrCrashed) {
		t.Errorf("swap: %v; want the missing overlay, and a machine that goes on", err)
	}
	if err := z.undo(); err != nil {
		t.Errorf("undo: %v", err)
	}
	for i, d := range z.disks {
		if data, err := os.ReadFile(d.active.Path); err != nil || string(data) != fmt.Sprint("disk ", i) {
			t.Errorf("disk %d is %q, %v", i, data, err)
		}
	}
	for path, want := range map[string]int{vm: 2, dir: 0} {
		if entries, err := os.ReadDir(path); err != nil || len(entries) != want {
			t.Errorf("%s holds %v, %v; want %d files", path, entries, err, want)
		}
	}
}

// TestFreezeCutShort ends a freeze at several points in its course. The guest counts on.
func TestFreezeCutShort(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	m := r.run(t, specOf(t, r.install, nil, hypervisortest.CountGuest()))
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
		if text := r.serialLen(t, m, len(before)+3); strings.Count(text, hypervisortest.CountReady) != 1 {
			t.Errorf("the guest wrote %q", text)
		}
	}
}
