package qemu

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/boxkiln/boxkiln/internal/fsx"
)

// Supervise makes the process the supervisor of a machine if it was started by [Start], and then never returns. Programs that
// start machines call it before anything else; test binaries from TestMain.
func Supervise() {
	dir := os.Getenv(envSupervise)
	if dir == "" {
		return
	}
	os.Unsetenv(envSupervise)
	if err := supervise(dir, os.NewFile(3, "answer")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// supervise holds the session of a directory for the life of its machine. It says "ok" on answer when QEMU runs, or else why
// not, when the session is over.
func supervise(dir string, answer *os.File) error {
	lock, err := hold(dir)
	if err != nil {
		fmt.Fprintln(answer, err)
		return err
	}
	defer lock.Close()
	s, err := readSpec(dir)
	if err != nil {
		fmt.Fprintln(answer, err)
		return err
	}
	// The guest dies with its supervisor, as it would with the process of a real hypervisor. The signal is tied to the thread.
	runtime.LockOSThread()
	v, err := launch(dir, s)
	if err != nil {
		undo := errors.Join(writeRecord(dir, record{State: Crashed, Since: time.Now(), Reason: err.Error()}), removeAll(s.RemoveAtEnd), lock.Close())
		fmt.Fprintln(answer, err)
		return errors.Join(err, undo)
	}
	fmt.Fprintln(answer, "ok")
	answer.Close()
	err = v.watch()
	time.Sleep(s.Linger)
	return errors.Join(err, removeAll(s.RemoveAtEnd))
}

func hold(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = ErrLocked
		}
		return nil, err
	}
	return f, nil
}

func readSpec(dir string) (Spec, error) {
	var s Spec
	data, err := os.ReadFile(filepath.Join(dir, specFile))
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(data, &s)
}

func removeAll(paths []string) error {
	var errs []error
	for _, p := range paths {
		errs = append(errs, os.RemoveAll(p))
	}
	return errors.Join(errs...)
}

// supervisor is a running QEMU as its supervisor sees it: by the monitor on its standard input and output.
type supervisor struct {
	dir    string
	cmd    *exec.Cmd
	now    record
	events *bufio.Scanner
	input  io.WriteCloser
}

// launch starts QEMU and waits until it answers.
func launch(dir string, s Spec) (*supervisor, error) {
	if err := prepareNVRAM(s); err != nil {
		return nil, err
	}
	args, err := arguments(s)
	if err != nil {
		return nil, err
	}
	if err := os.Remove(filepath.Join(dir, qmpSocket)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	log, err := os.Create(filepath.Join(dir, logFile))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	v := &supervisor{dir: dir, cmd: exec.Command(program(), args...)}
	v.cmd.Dir = dir
	v.cmd.Stderr = log
	v.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if v.input, err = v.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := v.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	v.events = bufio.NewScanner(out)
	if err := v.cmd.Start(); err != nil {
		return nil, err
	}
	if err := v.greet(s); err != nil {
		v.cmd.Process.Kill()
		v.cmd.Wait()
		return nil, err
	}
	return v, v.enter(Running, "")
}

// greet opens the monitor for events and does what has no argument: the viewers' password and missing cables.
func (v *supervisor) greet(s Spec) error {
	commands := `{"execute":"qmp_capabilities"}`
	if s.VNC != nil && s.VNC.Password != "" {
		password, err := json.Marshal(s.VNC.Password)
		if err != nil {
			return err
		}
		commands += fmt.Sprintf(`{"execute":"set_password","arguments":{"protocol":"vnc","password":%s}}`, password)
	}
	for i, n := range s.NICs {
		if n.Unplugged {
			commands += fmt.Sprintf(`{"execute":"set_link","arguments":{"name":"nic%d","up":false}}`, i)
		}
	}
	if _, err := io.WriteString(v.input, commands+`{"execute":"query-status"}`); err != nil {
		return v.lastWords(err)
	}
	for v.events.Scan() {
		var m struct {
			Return *struct{ Status string }
			Error  *qmpError
		}
		if err := json.Unmarshal(v.events.Bytes(), &m); err == nil && m.Error != nil {
			return m.Error
		} else if err == nil && m.Return != nil && m.Return.Status != "" {
			return nil
		}
	}
	return v.lastWords(io.ErrUnexpectedEOF)
}

// lastWords is what QEMU said before it ended.
func (v *supervisor) lastWords(err error) error {
	v.cmd.Wait()
	if text := lastLine(filepath.Join(v.dir, logFile)); text != "" {
		return errors.New(text)
	}
	return fmt.Errorf("QEMU ended: %w", err)
}

func (v *supervisor) enter(s State, reason string) error {
	v.now = record{State: s, Since: time.Now(), Reason: reason, PID: v.cmd.Process.Pid, Holder: os.Getpid()}
	return writeRecord(v.dir, v.now)
}

// watch follows the machine to its end.
func (v *supervisor) watch() error {
	reason := ""
	for v.events.Scan() {
		var e struct {
			Event string
			Data  struct{ Reason string }
		}
		if json.Unmarshal(v.events.Bytes(), &e) != nil {
			continue
		}
		switch e.Event {
		case "STOP":
			v.enter(Paused, "") // the next state is written whether or not this one could be
		case "RESUME":
			v.enter(Running, "")
		case "SHUTDOWN":
			reason = e.Data.Reason
		}
	}
	if err := v.cmd.Wait(); err != nil || reason == "" {
		return v.enter(Crashed, fmt.Sprintf("QEMU: %v", v.cmd.ProcessState))
	}
	return v.enter(Off, reason)
}

// prepareNVRAM gives a machine that has none a file of empty UEFI variables.
func prepareNVRAM(s Spec) error {
	if s.Firmware != UEFI {
		return nil
	}
	if s.NVRAM == "" {
		return errors.New("a machine with UEFI needs a file for its variables: Spec.NVRAM")
	}
	if _, err := os.Stat(s.NVRAM); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	_, vars, err := firmwareFiles()
	if err != nil {
		return err
	}
	data, err := os.ReadFile(vars)
	if err != nil {
		return err
	}
	return fsx.WriteFile(s.NVRAM, data, 0o600)
}
