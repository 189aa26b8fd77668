package power

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/boxkiln/boxkiln/test/sim/qemu"
	"github.com/boxkiln/boxkiln/test/sim/vmware/host"
	"github.com/boxkiln/boxkiln/test/sim/vmware/vmdk"
	"github.com/boxkiln/boxkiln/test/sim/vmware/vmx"
)

// linger is how long after a machine's end VMware still holds its files.
const linger = 1500 * time.Millisecond

// Process makes the program the process of a machine if [Start] started it, and then never returns. A program that
// starts machines calls it before anything else, after qemu.Supervise.
func Process() {
	path := os.Getenv(envPower)
	if path == "" {
		return
	}
	os.Unsetenv(envPower) // qemu.Start runs the program once more
	answer := os.NewFile(3, "answer")
	if err := live(context.Background(), path, answer); err != nil {
		fmt.Fprintln(answer, err)
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// process is a machine from its start to the moment when its files are let go.
type process struct {
	home   host.Home
	faults host.Faults
	path   string // of the VMX
	log    *logFile
	locked []string // files
}

// live runs a machine, and says ok on answer when its guest runs.
func live(ctx context.Context, path string, answer *os.File) error {
	home, err := host.Open()
	if err != nil {
		return err
	}
	faults, err := host.ReadFaults()
	if err != nil {
		return err
	}
	p := &process{home: home, faults: faults, path: path, log: openLog(path)}
	defer p.log.Close()
	if err := p.on(ctx); err != nil {
		p.log.post("msg.poweron.failed", "%v", err)
		return errors.Join(err, host.Unlock(p.locked...), home.Forget(path))
	}
	fmt.Fprintln(answer, "ok")
	answer.Close()
	return p.follow(ctx)
}

// on powers the machine on.
func (p *process) on(ctx context.Context) error {
	f, err := Open(p.path)
	if err != nil {
		return err
	}
	if err := p.lock(ctx, f); err != nil {
		return err
	}
	poweredOn(f, p.path)
	if err := p.files(f); err != nil {
		return err
	}
	if err := errors.Join(f.Write(p.path), f.Write(runtimeFile(p.home, p.path))); err != nil {
		return err
	}
	if err := p.clear(ctx); err != nil {
		return err
	}
	address, err := p.boot(ctx, f)
	if err != nil {
		return err
	}
	if cards := f.NICs(); address != "" && cards[0].Type != "bridged" {
		if err := p.home.Leased(cards[0].MAC, address, time.Now(), p.faults); err != nil {
			return err
		}
	}
	p.log.printf("PowerOn: the guest runs")
	return p.home.Put(host.Record{VMX: p.path, PID: os.Getpid(), Address: address})
}

// boot starts the guest, and returns the address of its first card, empty without one. Until QEMU has taken the address
// no other machine may look for one.
func (p *process) boot(ctx context.Context, f *vmx.File) (address string, err error) {
	ports, err := host.Ports()
	if err != nil {
		return "", err
	}
	unlock, err := p.home.Exclusive()
	if err != nil {
		return "", err
	}
	defer unlock()
	if cards := f.NICs(); len(cards) > 0 {
		if address, err = p.home.Address(ctx, cards[0].MAC, ports); err != nil {
			return "", err
		}
	}
	spec := hardware(f, p.path, address, ports)
	spec.VNC = p.screen(ctx, f)
	return address, qemu.Start(ctx, p.home.Machine(p.path), spec)
}

// lock locks the VMX, its disks, and the disks under those.
func (p *process) lock(ctx context.Context, f *vmx.File) error {
	files := []string{p.path}
	for _, d := range f.Disks(filepath.Dir(p.path)) {
		chain, err := vmdk.Chain(ctx, d.File)
		if err != nil {
			return err
		}
		files = append(files, chain[0])
	}
	if err := host.Lock(os.Getpid(), files...); errors.Is(err, host.ErrInUse) {
		p.log.printf("%v", err)
		return ErrInUse
	} else if err != nil {
		return err
	}
	p.locked = files
	return nil
}

// files makes the files that VMware puts beside a VMX, if they are missing. The content of those for BIOS and of
// .vmxf is nothing that a client may look at.
func (p *process) files(f *vmx.File) error {
	dir := filepath.Dir(p.path)
	made := map[string]string{
		filepath.Join(dir, vmx.Base(p.path)+".vmsd"):   ".encoding = \"UTF-8\"\n",
		vmx.Absolute(dir, f.Get("extendedConfigFile")): "<?xml version=\"1.0\"?>\n<Foundry><VM><VMId type=\"string\"></VMId></VM></Foundry>\n",
	}
	if !f.EFI() {
		made[f.NVRAM(p.path)] = "MRVN" + string(make([]byte, 8680))
	}
	for path, text := range made {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

// screen is the VNC server of the machine. Where its port is taken the machine starts without, and only the log says so.
func (p *process) screen(ctx context.Context, f *vmx.File) *qemu.VNC {
	v := screen(f, p.faults)
	if v == nil {
		return nil
	}
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", net.JoinHostPort(v.Host, strconv.Itoa(v.Port)))
	if err != nil {
		p.log.printf("VNCSERVE Failed to bind to port %d: %v", v.Port, err)
		return nil
	}
	l.Close()
	return v
}

// follow waits for the guest's end and does what is left to do then.
func (p *process) follow(ctx context.Context) error {
	dir := p.home.Machine(p.path)
	if delay := p.faults.Delay(host.Vanish, time.Second); delay > 0 {
		time.AfterFunc(delay, func() {
			if pid, ok := qemu.PID(dir); ok {
				syscall.Kill(pid, syscall.SIGKILL)
			}
		})
	}
	if err := qemu.WaitEnd(ctx, dir); err != nil {
		return err
	}
	status, err := qemu.Look(dir)
	if err != nil {
		return err
	}
	p.log.printf("PowerOff: %s %s", status.State, status.Reason)
	if status.State == qemu.Crashed { // as after kill -9: the VMX and the locks stay as they are
		return nil
	}
	time.Sleep(linger)
	if err := p.off(status.Reason == "guest-shutdown"); err != nil {
		return err
	}
	if p.faults.Has(host.StaleLock) {
		return p.home.Forget(p.path)
	}
	time.Sleep(p.faults.Delay(host.LockHeld, 20*time.Second))
	disks := slices.Clone(p.locked[1:])
	return errors.Join(host.Unlock(disks...), p.home.Forget(p.path), host.Unlock(p.path))
}

// clear ends a guest that goes on although the process of its machine was killed.
func (p *process) clear(ctx context.Context) error {
	dir := p.home.Machine(p.path)
	g, err := qemu.Connect(ctx, dir)
	if errors.Is(err, qemu.ErrNotRunning) {
		return nil
	} else if err != nil {
		return err
	}
	defer g.Close()
	return errors.Join(g.Quit(ctx), qemu.WaitUnlocked(ctx, dir))
}

// off writes the VMX for the last time, over whatever somebody has put there. One that was deleted stays away.
func (p *process) off(soft bool) error {
	if _, err := os.Stat(p.path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	f, err := vmx.Read(runtimeFile(p.home, p.path))
	if err != nil {
		return err
	}
	poweredOff(f, soft)
	return f.Write(p.path)
}
