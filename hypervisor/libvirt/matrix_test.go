//go:build !nolibvirt

package libvirt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"libvirt.org/go/libvirt"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/hypervisortest"
)

const guestTimeout = 15 * time.Minute

// rig is a driver with machines that end with the test.
type rig struct {
	*Driver
	install string
	ctx     context.Context
}

func newRig(t *testing.T) rig {
	t.Helper()
	needLibvirt(t)
	ctx, cancel := context.WithTimeout(t.Context(), guestTimeout)
	t.Cleanup(cancel)
	install := "test-" + uuid.NewString()
	return rig{Driver: newDriver(t, install), install: install, ctx: ctx}
}

// run creates and starts a machine.
func (r rig) run(t *testing.T, spec hypervisor.Spec) *Machine {
	t.Helper()
	m, err := r.Create(r.ctx, spec)
	if err != nil {
		t.Fatalf("Create: %v", err)
	}
	r.endWith(t, m, spec)
	if err := m.Start(r.ctx); err != nil {
		t.Fatalf("Start: %v", err)
	}
	return m.(*Machine)
}

// endWith destroys the machine when the test ends.
func (r rig) endWith(t *testing.T, m hypervisor.Machine, spec hypervisor.Spec) {
	t.Helper()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.ctx), guestTimeout)
		defer cancel()
		if err := m.Destroy(ctx); err != nil {
			t.Errorf("Destroy: %v", err)
		}
		if left, err := os.ReadDir(spec.Dir); err != nil || len(left) > 0 {
			t.Errorf("left after Destroy: %v %v", left, err)
		}
	})
}

// serialHas waits until the guest has written text to its serial port.
func (r rig) serialHas(t *testing.T, m *Machine, text string) {
	t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		data, err := os.ReadFile(m.SerialLog())
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(data, []byte(text)) {
			return
		}
		select {
		case <-r.ctx.Done():
			t.Fatalf("the guest wrote %q; want %q", data, text)
		case <-ticker.C:
		}
	}
}

// TestGuestsBoot boots the nano guest from its disk on every bus, and checks that it powers off cleanly after it wrote.
func TestGuestsBoot(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	type machine = map[string]any
	cases := map[string]machine{
		"defaults":         {},
		"several disks":    {"disk_additional_size": []string{"2M", "3M"}, "disk_interface": "sata", "machine_type": "q35"},
		"raw":              {"format": "raw", "disk_cache": "unsafe", "disk_discard": "unmap", "disk_detect_zeroes": "unmap"},
		"topology":         {"sockets": 1, "cores": 2, "threads": 1, "cpu_model": "qemu64,+ssse3"},
		"host cpu":         {"cpu_model": "host", "vga": "virtio"},
		"no screen":        {"vga": "none"},
		"vnc":              {"vnc_port_min": 5950, "vnc_port_max": 5990},
		"a card and disks": {"net_device": "e1000", "disk_additional_size": []string{"1M", "1M", "1M", "1M"}},
		"qemuargs": {"machine_type": "q35", "qemuargs": [][]string{
			{"-m", "48M"}, {"-smp", "2"}, {"-device", "virtio-rng-pci"}, {"-netdev", "user,id=more"},
			{"-device", "e1000,netdev=more"}, {"-device", "usb-tablet"}, {"-device", "usb-kbd,id=k,port=2"}, {"-cpu", "max"}, {"-display", "none"},
			{"-drive", "file={{ .OutputDir }}/{{ .Name }},if=virtio,cache=unsafe,format=qcow2"},
		}},
		"qemuargs on pc": {"qemuargs": [][]string{
			{"-usb"}, {"-usbdevice", "tablet"}, {"-device", "scsi-hd,bus=scsi9.0,drive=n1,lun=3,removable=on"},
			{"-device", "virtio-scsi-pci,id=scsi9"}, {"-drive", "if=none,id=n1,file.driver=null-co,file.size=1M,format=raw"},
			{"-device", "nvme,serial=x,drive=n0"},
			{"-drive", "if=none,id=n0,file.driver=null-co,file.size=1M,format=raw"},
			{"-machine", "type=pc,accel=kvm:tcg,vmport=off"}, {"-boot", "once=d"},
		}},
	}
	cases["our disk by hand"] = machine{"qemuargs": [][]string{
		{"-drive", "if=none,id=d0,format=qcow2,file={{ .OutputDir }}/{{ .Name }}"}, {"-device", "virtio-blk-pci,drive=d0"},
	}}
	for _, chipset := range []string{"pc", "q35"} {
		for _, bus := range diskBuses {
			cases[chipset+" "+bus] = machine{"machine_type": chipset, "disk_interface": bus}
		}
	}
	for name, args := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := r.run(t, specOf(t, r.install, args, hypervisortest.NanoGuest()))
			if err := m.Wait(r.ctx); err != nil {
				t.Fatalf("Wait: %v", err)
			}
			r.serialHas(t, m, hypervisortest.NanoText)
		})
	}
}

// TestBootFromCD has an empty disk first, which has to fall through to the CD on every bus.
func TestBootFromCD(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for name, args := range map[string]map[string]any{
		"pc":             {},
		"q35":            {"machine_type": "q35"},
		"pc virtio-scsi": {"cdrom_interface": "virtio-scsi", "disk_interface": "virtio-scsi"},
		"pc scsi":        {"cdrom_interface": "scsi"},
		"q35 sata":       {"machine_type": "q35", "cdrom_interface": "sata", "disk_interface": "ide"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spec := specOf(t, r.install, args, nil)
			spec.Disks[0].Size = 1 << 20
			dir := filepath.Dir(spec.Dir)
			spec.CDs = []string{bootableCD(t, dir, hypervisortest.NanoGuest()), bootableCD(t, t.TempDir(), hypervisortest.EchoGuest())}
			second := filepath.Join(dir, "second.iso")
			if err := copyFile(second, spec.CDs[1]); err != nil {
				t.Fatal(err)
			}
			spec.CDs[1] = second
			m := r.run(t, spec)
			if err := m.Wait(r.ctx); err != nil {
				t.Fatalf("Wait: %v", err)
			}
			r.serialHas(t, m, hypervisortest.NanoText)
		})
	}
}

func TestBootFromFloppy(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, chipset := range []string{"pc", "q35"} {
		t.Run(chipset, func(t *testing.T) {
			t.Parallel()
			spec := specOf(t, r.install, map[string]any{"machine_type": chipset, "qemuargs": [][]string{{"-boot", "order=a"}}}, nil)
			spec.Disks[0].Size = 1 << 20
			spec.Floppy = hypervisortest.WriteSector(t, filepath.Dir(spec.Dir), hypervisortest.NanoGuest())
			if err := os.Truncate(spec.Floppy, 1440<<10); err != nil {
				t.Fatal(err)
			}
			m := r.run(t, spec)
			if err := m.Wait(r.ctx); err != nil {
				t.Fatalf("Wait: %v", err)
			}
			r.serialHas(t, m, hypervisortest.NanoText)
		})
	}
}

// TestUEFI starts OVMF, which has no disk to boot from and says so on the serial port, and exports its variables.
func TestUEFI(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for name, args := range map[string]map[string]any{
		"q35":         {"machine_type": "q35"},
		"pc":          {},
		"secure boot": {"machine_type": "q35", "efi_firmware_code": "/usr/share/OVMF/OVMF_CODE_4M.ms.fd"},
		"tpm":         {"machine_type": "q35", "vtpm": true, "tpm_device_type": "tpm-crb"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args["efi_boot"] = true
			spec := specOf(t, r.install, args, nil)
			spec.MemoryMiB, spec.Disks[0].Size = 128, 1<<20
			m := r.run(t, spec)
			r.serialHas(t, m, "BdsDxe")
			if err := m.with(r.ctx, func(_ *libvirt.Connect, dom *libvirt.Domain) error { return dom.Destroy() }); err != nil {
				t.Fatal(err)
			}
			out := t.TempDir()
			a, err := m.Export(r.ctx, out, hypervisor.ExportOptions{Format: "qcow2", Name: "golden"})
			if err != nil || !a.UEFI || len(a.Files) != 2 || a.Files[1].Role != hypervisor.RoleNVRAM {
				t.Fatalf("Export = %+v, %v; want a disk and the variables", a, err)
			}
			if a.Files[1].Path != filepath.Join(out, "efivars.fd") || a.Files[1].Size < 64<<10 {
				t.Errorf("variables %+v", a.Files[1])
			}
		})
	}
}

// TestForward reaches a guest's port through the forward that QEMU chose, and through one at a port that we chose.
func TestForward(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	netdev := []string{"-netdev", "user,id=user.0,hostfwd=tcp::{{ .SSHHostPort }}-:22"}
	for name, args := range map[string]map[string]any{
		"chosen by QEMU":     {},
		"winrm":              {"communicator": "winrm"},
		"chosen by us":       {"qemuargs": [][]string{netdev}, "host_port_min": 32000, "host_port_max": 32100},
		"with another card":  {"qemuargs": [][]string{netdev, {"-device", "rtl8139,netdev=user.0"}}},
		"and one more netif": {"qemuargs": [][]string{{"-netdev", "user,id=b"}, {"-device", "virtio-net,netdev=b"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := r.run(t, specOf(t, r.install, args, hypervisortest.EchoGuest()))
			port := 22
			if args["communicator"] == "winrm" {
				port = 5985
			}
			e, err := m.Guest(r.ctx, port)
			if err != nil {
				t.Fatalf("Guest: %v", err)
			}
			c, err := net.Dial("tcp", e.String())
			if err != nil || e.Host != "127.0.0.1" {
				t.Fatalf("dial %v: %v", e, err)
			}
			c.Close()
			if _, err := m.Guest(r.ctx, 4711); err == nil || !strings.Contains(err.Error(), "4711") {
				t.Errorf("Guest of a port without a forward: %v", err)
			}
		})
	}
}

// TestTwoAtOnce runs two machines, whose forwards must not meet.
func TestTwoAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var wg sync.WaitGroup
	ends := make([]hypervisor.Endpoint, 2)
	for i := range ends {
		m := r.run(t, specOf(t, r.install, nil, hypervisortest.EchoGuest()))
		wg.Go(func() {
			var err error
			if ends[i], err = m.Guest(r.ctx, 22); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if ends[0] == ends[1] {
		t.Errorf("both machines answer at %v", ends[0])
	}
}

// TestTypingLosesNothing types at the default pace and compares what the guest read.
func TestTypingLosesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	m := r.run(t, specOf(t, r.install, nil, hypervisortest.EchoGuest()))
	r.serialHas(t, m, hypervisortest.Ready)
	want := strings.Repeat("install auto url http 10 0 2 2 ", 10)
	begin := time.Now()
	if err := m.Type(r.ctx, strokes(want), DefaultKeyPace); err != nil {
		t.Fatalf("Type: %v", err)
	}
	t.Logf("%d characters in %s", len(want), time.Since(begin))
	r.serialHas(t, m, hypervisortest.Ready+want)
}

func strokes(text string) []hypervisor.KeyEvent {
	var out []hypervisor.KeyEvent
	for _, c := range text {
		key := hypervisor.Key(string(c))
		if c == ' ' {
			key = "spc"
		}
		out = append(out, hypervisor.KeyEvent{Key: key, Down: true}, hypervisor.KeyEvent{Key: key})
	}
	return out
}

// TestUnreachableDirectory has a parent that shuts QEMU's account out, as /root does. Then QEMU runs as root, for this
// machine alone, and the machine says so.
func TestUnreachableDirectory(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	spec := specOf(t, r.install, nil, hypervisortest.NanoGuest())
	locked := filepath.Dir(spec.Dir)
	if err := os.Chmod(locked, 0o700); err != nil {
		t.Fatal(err)
	}
	m := r.run(t, spec)
	if err := m.Wait(r.ctx); err != nil {
		t.Errorf("the guest did not power off: %v", err)
	}
	if note := m.Note(); !strings.Contains(note, "QEMU runs as root") || !strings.Contains(note, locked) {
		t.Errorf("note %q does not say why QEMU runs as root", note)
	}
}

// TestOwnerKilled runs a machine in another process, kills that, and expects the guest to be gone at once and the
// definition to be found and removed by the next driver.
func TestOwnerKilled(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	spec := specOf(t, r.install, nil, hypervisortest.EchoGuest())
	owner := startOwner(t, "TestOwnerProcess", "BOXKILN_OWNER="+r.install+"|"+spec.Name+"|"+spec.Dir+"|"+spec.Disks[0].Image)
	pid, err := qemuPID(spec.Name)
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.Kill(); err != nil {
		t.Fatal(err)
	}
	h := hypervisor.Handle{Driver: Name, Name: spec.Name, Tag: spec.Tag, Dir: spec.Dir}
	m, err := r.Open(r.ctx, h)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	if err := m.Wait(r.ctx); !errors.Is(err, hypervisor.ErrCrashed) {
		t.Errorf("Wait: %v; want ErrCrashed", err)
	}
	if err := m.Destroy(r.ctx); err != nil {
		t.Fatalf("Destroy: %v", err)
	}
	if left, err := os.ReadDir(spec.Dir); err != nil || len(left) > 0 {
		t.Errorf("left: %v %v", left, err)
	}
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("QEMU process %d is still there: %v", pid, err)
	}
}

const ownerReady = "ready\n"

// startOwner runs a test of this program in a process of its own, until it says that it is ready.
func startOwner(t *testing.T, test, variable string) *os.Process {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^"+test+"$")
	cmd.Env = append(os.Environ(), "TMPDIR="+openDir(t), variable)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may be dead
		_ = cmd.Wait()
	})
	line := make([]byte, len(ownerReady))
	if _, err := out.Read(line); err != nil || string(line) != ownerReady {
		t.Fatalf("the process of %s says %q, %v", test, line, err)
	}
	return cmd.Process
}

// TestOwnerProcess is the process that TestOwnerKilled kills.
func TestOwnerProcess(t *testing.T) {
	text := os.Getenv("BOXKILN_OWNER")
	if text == "" {
		t.Skip("runs only for TestOwnerKilled")
	}
	part := strings.Split(text, "|")
	spec := specOf(t, part[0], nil, hypervisortest.EchoGuest())
	spec.Name, spec.Dir, spec.Disks[0].Image = part[1], part[2], part[3]
	d := New(Options{Install: part[0], URI: os.Getenv(uriVariable)})
	m, err := d.Create(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	fmt.Print(ownerReady)
	<-t.Context().Done()
}

// TestReconnect cuts the connection between driver and libvirtd; the next call makes a new one, and the machine that the
// old connection held has ended.
func TestReconnect(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	proxy := newProxy(t, "/var/run/libvirt/libvirt-sock")
	d := New(Options{Install: r.install, URI: "qemu+unix:///system?socket=" + proxy.path})
	t.Cleanup(func() { // after the machine is destroyed
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	r.Driver = d
	m := r.run(t, specOf(t, r.install, nil, hypervisortest.EchoGuest()))
	proxy.cut()
	if err := m.Wait(r.ctx); !errors.Is(err, hypervisor.ErrCrashed) {
		t.Errorf("Wait: %v; want ErrCrashed", err)
	}
	if all, err := d.List(r.ctx); err != nil || len(all) != 1 {
		t.Errorf("List over the new connection = %v, %v", all, err)
	}
}
