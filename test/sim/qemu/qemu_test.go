package qemu_test

import (
	"context"
	"errors"
	"fmt"
	"image/png"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/boxkiln/boxkiln/test/sim/qemu"
	"github.com/boxkiln/boxkiln/test/sim/sector"
)

func TestMain(m *testing.M) {
	qemu.Supervise()
	os.Exit(m.Run())
}

// patience is for a machine that others use too.
const patience = time.Minute

// machine is a typewriter guest in a directory of its own.
type machine struct {
	dir, serial string
	spec        qemu.Spec
}

func newMachine(t *testing.T, bus qemu.Bus) machine {
	t.Helper()
	if _, err := exec.LookPath("qemu-system-x86_64"); err != nil {
		if os.Getenv("BOXKILN_REQUIRE_TOOLS") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	dir := t.TempDir()
	disk := filepath.Join(dir, "disk, raw.img") // a comma, as users have them
	if err := os.WriteFile(disk, append(sector.Typewriter(), make([]byte, 1<<20-512)...), 0o600); err != nil {
		t.Fatal(err)
	}
	m := machine{dir: filepath.Join(dir, strings.Repeat("long", 30)), serial: filepath.Join(dir, "serial")}
	m.spec = qemu.Spec{
		Name: "typewriter, number 1", MemoryMB: 64, Serial: []string{m.serial},
		Drives: []qemu.Drive{{ID: "disk", Path: disk, Bus: bus, BootIndex: 1}},
	}
	return m
}

func (m machine) start(t *testing.T) {
	t.Helper()
	if err := qemu.Start(t.Context(), m.dir, m.spec); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // t.Context is over by now
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if g, err := qemu.Connect(ctx, m.dir); err == nil {
			g.Quit(ctx)
			g.Close()
		}
		if err := qemu.WaitUnlocked(ctx, m.dir); err != nil {
			t.Error(err)
		}
	})
}

// with speaks to the machine.
func (m machine) with(t *testing.T, do func(ctx context.Context, g *qemu.Guest) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	g, err := qemu.Connect(ctx, m.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if err := do(ctx, g); err != nil {
		t.Fatal(err)
	}
}

// waitSerial waits until the guest has said text.
func (m machine) waitSerial(t *testing.T, text string) {
	t.Helper()
	var got []byte
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if got, _ = os.ReadFile(m.serial); strings.Contains(string(got), text) {
			return
		}
	}
	t.Fatalf("the guest said %q; want %q", got, text)
}

func (m machine) want(t *testing.T, state qemu.State) qemu.Status {
	t.Helper()
	s, err := qemu.Look(m.dir)
	if err != nil || s.State != state {
		t.Fatalf("status %+v, %v; want %s", s, err, state)
	}
	return s
}

func wait(t *testing.T, dir string, f func(context.Context, string) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := f(ctx, dir); err != nil {
		t.Fatal(err)
	}
}

func press(codes ...int) []qemu.Key {
	var keys []qemu.Key
	for _, c := range codes {
		keys = append(keys, qemu.Key{Code: c, Down: true}, qemu.Key{Code: c})
	}
	return keys
}

const keyEsc = 1

// many are more keys than a keyboard remembers.
var many = slices.Repeat([]int{0x2e}, 60)

// A life: started, typed at, looked at, paused, powered off by its guest; and its session lingers.
func TestLife(t *testing.T) {
	t.Parallel()
	m := newMachine(t, qemu.IDE)
	m.spec.Linger = patience // a session that lingers long enough to be seen, whatever else runs here
	m.want(t, qemu.Off)
	m.start(t)
	if s := m.want(t, qemu.Running); !s.Locked {
		t.Error("a running machine is not locked")
	}
	if err := qemu.Start(t.Context(), m.dir, m.spec); !errors.Is(err, qemu.ErrLocked) {
		t.Errorf("a second start: %v; want ErrLocked", err)
	}
	m.waitSerial(t, sector.Greeting)
	m.with(t, func(ctx context.Context, g *qemu.Guest) error {
		return g.Keys(ctx, append(press(0x1e, 0x30, 0x80|0x48), press(many...)...))
	})
	m.waitSerial(t, sector.Greeting+"abH"+strings.Repeat("c", len(many)))

	shot := filepath.Join(t.TempDir(), "screen.png")
	m.with(t, func(ctx context.Context, g *qemu.Guest) error { return g.Screenshot(ctx, shot) })
	checkPicture(t, shot)

	m.with(t, func(ctx context.Context, g *qemu.Guest) error { return g.Pause(ctx) })
	wait(t, m.dir, func(ctx context.Context, dir string) error { return waitState(ctx, dir, qemu.Paused) })
	m.with(t, func(ctx context.Context, g *qemu.Guest) error { return g.Resume(ctx) })
	wait(t, m.dir, func(ctx context.Context, dir string) error { return waitState(ctx, dir, qemu.Running) })

	m.with(t, func(ctx context.Context, g *qemu.Guest) error { return g.Keys(ctx, press(keyEsc)) })
	wait(t, m.dir, qemu.WaitEnd)
	if s := m.want(t, qemu.Off); s.Reason != "guest-shutdown" || !s.Locked {
		t.Errorf("after power-off: %+v; want a lingering session", s)
	}
	if _, err := qemu.Connect(t.Context(), m.dir); !errors.Is(err, qemu.ErrNotRunning) {
		t.Errorf("Connect: %v; want ErrNotRunning", err)
	}
	if err := qemu.EndSession(m.dir); err != nil {
		t.Fatal(err)
	}
	wait(t, m.dir, qemu.WaitUnlocked)
	m.want(t, qemu.Off)
}

// What is to vanish with a machine does, when its session is over.
func TestRemoveAtEnd(t *testing.T) {
	t.Parallel()
	m := newMachine(t, qemu.IDE)
	lock := filepath.Join(t.TempDir(), "x.lck")
	if err := os.Mkdir(lock, 0o700); err != nil {
		t.Fatal(err)
	}
	m.spec.RemoveAtEnd = []string{lock}
	m.start(t)
	if _, err := os.Stat(lock); err != nil {
		t.Error(err)
	}
	m.with(t, func(ctx context.Context, g *qemu.Guest) error { return g.Quit(ctx) })
	wait(t, m.dir, qemu.WaitUnlocked)
	if _, err := os.Stat(lock); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", lock, err)
	}
}

func waitState(ctx context.Context, dir string, want qemu.State) error {
	for ctx.Err() == nil {
		if s, err := qemu.Look(dir); err != nil || s.State == want {
			return err
		}
		time.Sleep(5 * time.Millisecond)
	}
	return fmt.Errorf("not %s: %w", want, ctx.Err())
}

func checkPicture(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	img, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	if img.Bounds().Dx() < 320 {
		t.Errorf("a screen of %v", img.Bounds())
	}
}

// Every bus that a BIOS boots from.
func TestBuses(t *testing.T) {
	t.Parallel()
	for _, bus := range []qemu.Bus{qemu.AHCI, qemu.LSI, qemu.SAS, qemu.PVSCSI, qemu.VirtioSCSI, qemu.VirtioBlk, qemu.NVMe} {
		t.Run(string(bus), func(t *testing.T) {
			m := newMachine(t, bus)
			m.spec.Drives = append(m.spec.Drives, qemu.Drive{ID: "cd", CD: true, Bus: qemu.IDE, Unit: 3}, qemu.Drive{ID: "fd", Bus: qemu.FloppyBus})
			m.start(t)
			m.waitSerial(t, sector.Greeting)
			m.with(t, func(ctx context.Context, g *qemu.Guest) error { return g.Quit(ctx) })
			if s := m.want(t, qemu.Off); s.Reason != "host-qmp-quit" {
				t.Errorf("after Quit: %+v", s)
			}
		})
	}
}

func TestMedia(t *testing.T) {
	t.Parallel()
	m := newMachine(t, qemu.IDE)
	m.spec.Drives = append(m.spec.Drives,
		qemu.Drive{ID: "cd", CD: true, Bus: qemu.AHCI, Unit: 13, Path: m.spec.Drives[0].Path, ReadOnly: true},
		qemu.Drive{ID: "fd", Bus: qemu.FloppyBus})
	m.spec.Drives[0].ReadOnly = true // two drives share the image
	m.spec.Drives[0].Bus = qemu.VirtioSCSI
	m.start(t)
	iso := filepath.Join(t.TempDir(), "other.iso")
	if err := os.WriteFile(iso, make([]byte, 1<<16), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, drive := range []string{"cd", "fd"} {
		for _, path := range []string{iso, "", iso} {
			m.with(t, func(ctx context.Context, g *qemu.Guest) error { return g.ChangeMedium(ctx, drive, path) })
		}
	}
	ctx := t.Context()
	g, err := qemu.Connect(ctx, m.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if err := g.ChangeMedium(ctx, "cd", "/nowhere.iso"); err == nil || !strings.Contains(err.Error(), "No such file") {
		t.Errorf("a medium that is not there: %v", err)
	}
}

// Ports lead in from the start, or later, until they are closed; a taken one is an error.
func TestForwards(t *testing.T) {
	t.Parallel()
	m := newMachine(t, qemu.IDE)
	first := qemu.Forward{Host: "127.0.0.1", HostPort: freePort(t), GuestPort: 22}
	later := qemu.Forward{Host: "127.0.0.1", HostPort: freePort(t), GuestPort: 80}
	m.spec.NICs = []qemu.NIC{{Model: "e1000", MAC: "08:00:27:00:00:01", Forwards: []qemu.Forward{first}, Isolated: true}}
	m.start(t)
	wantDial(t, first, true)
	wantDial(t, later, false)
	m.with(t, func(ctx context.Context, g *qemu.Guest) error { return g.AddForward(ctx, 0, later) })
	wantDial(t, later, true)
	m.with(t, func(ctx context.Context, g *qemu.Guest) error {
		if err := g.AddForward(ctx, 0, later); err == nil {
			t.Error("a port was forwarded twice")
		}
		return g.RemoveForward(ctx, 0, later)
	})
	wantDial(t, later, false)
	m.with(t, func(ctx context.Context, g *qemu.Guest) error {
		if err := g.RemoveForward(ctx, 0, later); err == nil {
			t.Error("a forward was removed twice")
		}
		return g.Link(ctx, 0, false)
	})
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func wantDial(t *testing.T, f qemu.Forward, open bool) {
	t.Helper()
	conn, err := net.Dial("tcp", net.JoinHostPort(f.Host, strconv.Itoa(f.HostPort)))
	if err == nil {
		conn.Close()
	}
	if (err == nil) != open {
		t.Errorf("port %d of the host: %v; want open %t", f.HostPort, err, open)
	}
}

func TestUEFI(t *testing.T) {
	t.Parallel()
	m := newMachine(t, qemu.AHCI)
	m.spec.Firmware = qemu.UEFI
	m.spec.MemoryMB = 256
	m.spec.NVRAM = filepath.Join(t.TempDir(), "vm.nvram")
	if _, err := os.Stat("/usr/share/OVMF"); err != nil && os.Getenv("BOXKILN_REQUIRE_TOOLS") != "1" {
		t.Skip(err)
	}
	m.start(t)
	if info, err := os.Stat(m.spec.NVRAM); err != nil || info.Size() < 100_000 {
		t.Errorf("UEFI variables: %v, %v", info, err)
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	m := newMachine(t, qemu.IDE)
	m.spec.Drives[0].Path = "/nowhere/disk.vdi"
	err := qemu.Start(t.Context(), m.dir, m.spec)
	if err == nil || !strings.Contains(err.Error(), "/nowhere/disk.vdi") {
		t.Errorf("a disk that is not there: %v", err)
	}
	if s := m.want(t, qemu.Crashed); s.Locked {
		t.Error("the session of a machine that did not start goes on")
	}
}

func TestKilled(t *testing.T) {
	t.Parallel()
	m := newMachine(t, qemu.IDE)
	m.start(t)
	pid, ok := qemu.PID(m.dir)
	if !ok {
		t.Fatal("no process")
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	wait(t, m.dir, qemu.WaitEnd)
	m.want(t, qemu.Crashed)
}

func TestVNC(t *testing.T) {
	t.Parallel()
	m := newMachine(t, qemu.IDE)
	port := freePort(t)
	m.spec.VNC = &qemu.VNC{Host: "127.0.0.1", Port: port, Password: "s3cret"}
	m.start(t)
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	hello := make([]byte, 12)
	if _, err := conn.Read(hello); err != nil || !strings.HasPrefix(string(hello), "RFB 003.") {
		t.Errorf("the screen says %q, %v", hello, err)
	}
	m.with(t, func(ctx context.Context, g *qemu.Guest) error { return g.SetVNCPassword(ctx, "other") })
}
