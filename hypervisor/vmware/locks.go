package vmware

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/boxkiln/boxkiln/internal/netx"
)

// lockSuffix ends the names of VMware's locks: a folder NAME.lck beside the file NAME, with a file M12345.lck in it for each
// holder (open-vm-tools lib/file/fileLockPrimitive.c). The second word of that file is the holder, written as
// "PID-STARTED(PROGRAM)".
const lockSuffix = ".lck"

// lock is what is known of a lock folder.
type lock struct {
	path string
	// pid is a holder that lives, 0 if there is none. unknown says that a holder could not be read, so the lock may be held.
	pid     int
	unknown bool
}

// stale tells a lock that nobody holds.
func (l lock) stale() bool { return l.pid == 0 && !l.unknown }

// locksIn lists the locks of a folder.
func locksIn(dir string) ([]lock, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var locks []lock
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), lockSuffix) {
			if l, there := readLock(filepath.Join(dir, e.Name())); there {
				locks = append(locks, l)
			}
		}
	}
	return locks, err
}

// lockOf is the lock of a file; false if there is none.
func lockOf(file string) (lock, bool) { return readLock(file + lockSuffix) }

func readLock(path string) (lock, bool) {
	l := lock{path: path}
	entries, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return l, false
	}
	if err != nil { // not a folder, as other versions have it
		l.unknown = true
		return l, true
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), lockSuffix) {
			continue // D and E files come and go while somebody tries to get the lock
		}
		text, err := os.ReadFile(filepath.Join(path, e.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		switch pid, ok := holder(string(text)); {
		case err != nil || !ok:
			l.unknown = true
		case alive(pid):
			l.pid = pid
		}
	}
	return l, true
}

// holder reads the process out of a lock file. One number alone is taken for the process, too.
func holder(text string) (pid int, ok bool) {
	words := strings.Fields(text)
	switch {
	case len(words) == 0:
		return 0, false
	case len(words) > 1:
		words = words[1:]
	}
	digits, _, _ := strings.Cut(words[0], "-")
	pid, err := strconv.Atoi(digits)
	return pid, err == nil && pid > 0
}

// alive tells whether a process runs. One of somebody else's does, too; one that has ended and waits for its parent does not.
func alive(pid int) bool {
	p, err := os.FindProcess(pid)
	if err != nil {
		return false
	}
	if err := p.Signal(syscall.Signal(0)); err != nil && !errors.Is(err, os.ErrPermission) {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return true // not Linux
	}
	i := strings.LastIndex(string(stat), ") ") // the program's name can hold anything
	return i < 0 || !strings.HasPrefix(string(stat[i+2:]), "Z")
}

// lockPatience is how long locks may stay after a machine has ended. Packer waits as long.
const lockPatience = 2 * time.Minute

// lockPoll is the first pause between two looks at locks; it doubles up to the last.
const lockPoll, lockPollLast = 50 * time.Millisecond, time.Second

// waitUnlocked waits until nobody holds a lock in the folder, and removes those that a crash left. The machine must not run.
func waitUnlocked(ctx context.Context, dir string, patience time.Duration) error {
	deadline := time.Now().Add(patience)
	for pause := lockPoll; ; pause = min(2*pause, lockPollLast) {
		locks, err := locksIn(dir)
		if err != nil {
			return err
		}
		held, err := breakStale(locks)
		if err != nil || len(held) == 0 {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%w: %s, for more than %s after the machine ended; %s", errInUse, held[0].path, patience, held[0].remedy())
		}
		if err := netx.Pause(ctx, pause); err != nil {
			return err
		}
	}
}

// breakStale removes the locks that nobody holds and returns the others.
func breakStale(locks []lock) (held []lock, err error) {
	var errs []error
	for _, l := range locks {
		if !l.stale() {
			held = append(held, l)
			continue
		}
		errs = append(errs, os.RemoveAll(l.path))
	}
	return held, errors.Join(errs...)
}

func (l lock) remedy() string {
	if l.pid != 0 {
		return fmt.Sprintf("process %d holds it: end that", l.pid)
	}
	return "if no process of VMware uses it, remove that folder"
}
