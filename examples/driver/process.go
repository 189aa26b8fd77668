package driver

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/boxkiln/boxkiln/hypervisor"
)

// program is QEMU's.
const program = "qemu-system-x86_64"

// The names of what QEMU makes in a machine's directory.
const (
	pidFile    = "qemu.pid"
	qmpSocket  = "qmp"
	serialFile = "serial.log"
)

// launch runs QEMU in the background. With -daemonize it returns when the machine runs, or tells why it does not; with
// -no-shutdown a machine that powered itself off stays there until somebody has seen that.
func launch(ctx context.Context, r record) error {
	var o options
	if len(r.Spec.Options) > 0 {
		if err := json.Unmarshal(r.Spec.Options, &o); err != nil {
			return err
		}
	}
	cmd := exec.CommandContext(ctx, program, arguments(r, o)...)
	cmd.Dir = r.Handle.Dir // where sockets are made by short names: a path may have 108 bytes only
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", program, err, bytes.TrimSpace(out))
	}
	return nil
}

func arguments(r record, o options) []string {
	s, dir := r.Spec, r.Handle.Dir
	args := []string{
		"-daemonize", "-no-shutdown", "-nodefaults", "-no-user-config", "-display", "none", "-vga", "std",
		"-name", escape(r.Handle.Name), "-uuid", r.Handle.UUID, // by which the process is known as ours
		"-pidfile", filepath.Join(dir, pidFile), "-qmp", "unix:" + qmpSocket + ",server=on,wait=off",
		"-machine", "pc,accel=" + cmp.Or(o.Accelerator, defaultAccelerator), "-m", strconv.Itoa(s.MemoryMiB), "-smp", strconv.Itoa(max(s.CPUs, 1)),
		"-chardev", "file,id=serial,path=" + escape(filepath.Join(dir, serialFile)), "-serial", "chardev:serial",
	}
	for i := range s.Disks {
		args = append(args, "-drive", "format=qcow2,if="+cmp.Or(s.Disks[i].Interface, "ide")+",file="+escape(diskPath(dir, i)))
	}
	for _, cd := range s.CDs {
		args = append(args, "-drive", "media=cdrom,format=raw,readonly=on,file="+escape(cd))
	}
	net := "user,id=net" // the forwards' ports on the host are QEMU's choice: nobody can take them in between
	for _, port := range s.Network.Forward {
		net += fmt.Sprintf(",hostfwd=tcp:127.0.0.1:0-:%d", port)
	}
	return append(args, "-netdev", net, "-device", cmp.Or(s.Network.Model, "e1000")+",netdev=net")
}

// escape writes a value of one of QEMU's options.
func escape(value string) string { return strings.ReplaceAll(value, ",", ",,") }

// runs tells whether a process is QEMU with that machine. The numbers of processes are used again, and a file with one may be
// years old: only the UUID among its arguments makes it ours.
func runs(pid int, h hypervisor.Handle) bool {
	args, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)) // empty once it has ended
	return err == nil && bytes.Contains(args, []byte("\x00-uuid\x00"+h.UUID+"\x00"))
}

// process returns the machine's process by its pid file; 0 if there is none.
func process(h hypervisor.Handle) int {
	text, err := os.ReadFile(filepath.Join(h.Dir, pidFile))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || !runs(pid, h) {
		return 0
	}
	return pid
}

// processes looks through all processes for the machine's, also for one whose pid file is not written yet.
func processes(h hypervisor.Handle) (pids []int) {
	paths, _ := filepath.Glob("/proc/[0-9]*") // the pattern is a good one
	for _, path := range paths {
		if pid, err := strconv.Atoi(filepath.Base(path)); err == nil && runs(pid, h) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// end sends a signal to the machine's processes until there is none.
func end(ctx context.Context, h hypervisor.Handle, s syscall.Signal, poll time.Duration) error {
	for {
		pids := processes(h)
		if len(pids) == 0 {
			return nil
		}
		for _, pid := range pids {
			_ = syscall.Kill(pid, s) // one that has just ended is looked for again
		}
		if err := pause(ctx, poll); err != nil {
			return fmt.Errorf("end QEMU, process %v: %w", pids, err)
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
