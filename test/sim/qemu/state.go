package qemu

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/boxkiln/boxkiln/internal/fsx"
)

// The files of a machine's directory.
const (
	lockFile  = "session.lock" // flock'ed by the supervisor
	specFile  = "spec.json"
	stateFile = "state.json"
	logFile   = "qemu.log" // what QEMU says on its standard error
	qmpSocket = "qmp.sock"
)

// record is what the supervisor writes down.
type record struct {
	State  State
	Since  time.Time
	Reason string
	PID    int // QEMU's
	Holder int // the supervisor's
}

// Look tells how the machine of a directory is. It asks nobody: a status is a few milliseconds old.
func Look(dir string) (Status, error) {
	locked, err := isLocked(dir)
	if err != nil {
		return Status{}, err
	}
	// The lock is looked at first: a supervisor writes its last state before it lets go.
	r, err := readRecord(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return Status{State: Off, Locked: locked}, nil
	}
	if err != nil {
		return Status{}, err
	}
	s := Status{State: r.State, Since: r.Since, Reason: r.Reason, Locked: locked}
	if !locked && r.State != Off && r.State != Crashed {
		s.State, s.Reason = Crashed, "its supervisor was killed"
	}
	return s, nil
}

// pollEvery is how often those who wait look again.
const pollEvery = 5 * time.Millisecond

// WaitEnd waits until the machine of a directory does not run any more. Its session may linger.
func WaitEnd(ctx context.Context, dir string) error {
	return waitFor(ctx, dir, func(s Status) bool { return !s.State.Alive() && s.State != Starting })
}

// WaitUnlocked waits until the session of a directory has ended too.
func WaitUnlocked(ctx context.Context, dir string) error {
	return waitFor(ctx, dir, func(s Status) bool { return !s.Locked })
}

func waitFor(ctx context.Context, dir string, done func(Status) bool) error {
	for {
		s, err := Look(dir)
		if err != nil || done(s) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pollEvery):
		}
	}
}

// EndSession kills the supervisor of a directory, and its machine if that runs, for tests that do not want to wait.
func EndSession(dir string) error {
	locked, err := isLocked(dir)
	if err != nil || !locked {
		return err
	}
	r, err := readRecord(dir)
	if err != nil {
		return err
	}
	return syscall.Kill(r.Holder, syscall.SIGKILL)
}

// PID returns the process of QEMU, for tests that kill it; false while there is none.
func PID(dir string) (int, bool) {
	r, err := readRecord(dir)
	return r.PID, err == nil && r.State.Alive()
}

func readRecord(dir string) (record, error) {
	var r record
	data, err := os.ReadFile(filepath.Join(dir, stateFile))
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return r, fmt.Errorf("%s: %w", filepath.Join(dir, stateFile), err)
	}
	return r, nil
}

func writeRecord(dir string, r record) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return fsx.WriteFile(filepath.Join(dir, stateFile), data, 0o600)
}

// isLocked tells if a supervisor holds the directory.
func isLocked(dir string) (bool, error) {
	f, err := os.Open(filepath.Join(dir, lockFile))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return true, nil
	}
	return false, err
}
