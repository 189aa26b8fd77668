// Package power is the simulator's vmware-vmx: the process behind each machine that runs.
//
// vmrun ends when a machine has been powered on, so [Start] leaves a process behind, which is the same program once more.
// It locks the machine's files, writes into its VMX what VMware writes there, boots the guest under QEMU, appends the
// lease of its card, and follows it to its end. Then it does what VMware does late: a second or so after the machine has
// vanished from the list it writes the VMX again, and only then it lets the files go. A client that touches them in
// between loses what it wrote.
package power

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/boxkiln/boxkiln/test/sim/qemu"
	"github.com/boxkiln/boxkiln/test/sim/vmware/host"
	"github.com/boxkiln/boxkiln/test/sim/vmware/vmdk"
	"github.com/boxkiln/boxkiln/test/sim/vmware/vmx"
)

// Error is a message of vmrun, in its own words.
type Error string

func (e Error) Error() string { return string(e) }

// The messages. Those that end with a colon are followed by the path of the VMX.
const (
	ErrNotRunning   Error = "The virtual machine is not powered on:"
	ErrNotFound     Error = "The virtual machine cannot be found"
	ErrUnreadable   Error = "Cannot read the virtual machine configuration file"
	ErrInUse        Error = "The file is already in use"
	ErrCanceled     Error = "The operation was canceled"
	ErrUnknown      Error = "Unknown error"
	ErrToolsDown    Error = "The VMware Tools are not running in the virtual machine:"
	ErrPoweredOn    Error = "The virtual machine should not be powered on. It is already running."
	ErrNoPermission Error = "Insufficient permissions in the host operating system"
)

// errOpen is the message about a VMX that cannot be opened.
func errOpen(path string, why Error) Error { return "Cannot open VM: " + Error(path) + ", " + why }

// Open reads the VMX of a machine and refuses what VMware refuses.
func Open(path string) (*vmx.File, error) {
	f, err := vmx.Read(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, errOpen(path, ErrNotFound)
	case errors.Is(err, fs.ErrPermission):
		return nil, ErrNoPermission
	case err != nil || f.Check() != nil:
		return nil, errOpen(path, ErrUnreadable)
	}
	return f, nil
}

// Config is the VMX of a machine as VMware has it: while the machine runs that is not the file, which is written again
// when it ends.
func Config(home host.Home, path string) (*vmx.File, error) {
	if !Running(home, path) {
		return Open(path)
	}
	return vmx.Read(runtimeFile(home, path))
}

// SetConfig changes the VMX of a running machine.
func SetConfig(home host.Home, path string, f *vmx.File) error {
	return f.Write(runtimeFile(home, path))
}

// runtimeFile stands for the memory of a machine's process.
func runtimeFile(home host.Home, path string) string {
	return filepath.Join(home.Machine(path), "runtime.vmx")
}

// Running tells whether the guest of a machine runs, or is paused.
func Running(home host.Home, path string) bool {
	if _, ok := home.Get(path); !ok {
		return false
	}
	status, err := qemu.Look(home.Machine(path))
	return err == nil && status.State.Alive()
}

// Start powers a machine on. It returns when its guest runs.
func Start(ctx context.Context, home host.Home, faults host.Faults, path string) error {
	f, err := Open(path)
	if err != nil {
		return err
	}
	if host.InUse(path) {
		return ErrInUse
	}
	log := openLog(path)
	defer log.Close()
	log.printf("VMX starting %s", f.Describe())
	if faults.Has(host.Canceled) {
		log.post("msg.sim.canceled", "The simulator was asked to refuse this.")
		return ErrCanceled
	}
	if faults.Has(host.UnknownError) {
		return ErrUnknown
	}
	if err := checkDisks(ctx, f, path, log); err != nil {
		return err
	}
	return spawn(ctx, home, path)
}

// checkDisks refuses disks that are not there and those that no machine can run from.
func checkDisks(ctx context.Context, f *vmx.File, path string, log *logFile) error {
	for _, d := range f.Disks(filepath.Dir(path)) {
		chain, err := vmdk.Chain(ctx, d.File)
		if err == nil {
			var info vmdk.Info
			if info, err = vmdk.Inspect(ctx, chain[0]); err == nil && info.CreateType == "streamOptimized" {
				err = fmt.Errorf("%s: disk type 7 is unsupported", d.File)
			}
		}
		if err != nil {
			log.post("msg.disk.noBackEnd", "Cannot open the disk '%s' or one of the snapshot disks it depends on: %v", d.File, err)
			return Error("Cannot open the disk '" + d.File + "' or one of the snapshot disks it depends on.")
		}
	}
	return nil
}

// envPower makes the program the process of the machine whose VMX it names.
const envPower = "BOXKILN_SIM_VMWARE_VMX"

// spawn starts that process and waits until it says how the start went.
func spawn(ctx context.Context, home host.Home, path string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(home.Machine(path), 0o755); err != nil {
		return err
	}
	out, err := os.Create(filepath.Join(home.Machine(path), "vmware-vmx.log"))
	if err != nil {
		return err
	}
	defer out.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), envPower+"="+path, host.EnvHome+"="+home.Dir)
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = out, out, []*os.File{w}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	w.Close()
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { r.Close() })
	defer stop()
	line, err := bufio.NewReader(r).ReadString('\n')
	switch line = strings.TrimSpace(line); {
	case line == "ok":
		return cmd.Process.Release()
	case ctx.Err() != nil:
		return ctx.Err()
	case line == "":
		return fmt.Errorf("the process of the machine ended without a word (%w): see %s", err, out.Name())
	}
	return errors.Join(errors.New(line), cmd.Process.Release())
}

// Guest connects to a running machine. ErrNotRunning says that there is none.
func Guest(ctx context.Context, home host.Home, path string) (*qemu.Guest, error) {
	g, err := qemu.Connect(ctx, home.Machine(path))
	if !Running(home, path) || errors.Is(err, qemu.ErrNotRunning) || errors.Is(err, fs.ErrNotExist) {
		if g != nil {
			g.Close()
		}
		return nil, fmt.Errorf("%w %s", ErrNotRunning, path)
	}
	return g, err
}
