package qemu

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/boxkiln/boxkiln/internal/fsx"
)

// ErrLocked is the error of [Start] for a machine whose last session has not ended.
var ErrLocked = errors.New("the machine is locked by a session")

// envSupervise makes a program the supervisor of the directory that it names.
const envSupervise = "BOXKILN_SIM_SUPERVISE"

// Start starts the machine in dir, which is created when it is missing, and returns when QEMU runs. The machine outlives the
// caller. It is an error, with QEMU's own words, if QEMU does not take the machine, and [ErrLocked] if one runs already.
func Start(ctx context.Context, dir string, s Spec) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if locked, err := isLocked(dir); err != nil || locked {
		return errors.Join(err, errIf(locked, ErrLocked))
	}
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := fsx.WriteFile(filepath.Join(dir, specFile), data, 0o600); err != nil {
		return err
	}
	answer, err := spawn(dir)
	if err != nil {
		return err
	}
	defer answer.Close()
	stop := context.AfterFunc(ctx, func() { answer.Close() })
	defer stop()
	line, err := bufio.NewReader(answer).ReadString('\n')
	if ctx.Err() != nil {
		return ctx.Err()
	}
	switch line = strings.TrimSpace(line); {
	case line == "ok":
		return nil
	case line == ErrLocked.Error():
		return ErrLocked
	case line == "":
		return fmt.Errorf("the supervisor of %s ended without a word (%w): see %s", dir, err, logFile)
	}
	return errors.New(line)
}

func errIf(is bool, err error) error {
	if is {
		return err
	}
	return nil
}

// spawn starts the supervisor, in a session of its own and with nothing of the caller's open, and returns where it will say
// how the start went.
func spawn(dir string) (*os.File, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	log, err := os.OpenFile(filepath.Join(dir, logFile), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), envSupervise+"="+dir)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{w}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		r.Close()
		return nil, err
	}
	return r, cmd.Process.Release()
}

// lastLine returns the last line of a file that says something.
func lastLine(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	data, _ := io.ReadAll(io.LimitReader(f, 1<<20))
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	return lines[len(lines)-1]
}
