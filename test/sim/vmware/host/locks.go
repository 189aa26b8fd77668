package host

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// ErrInUse is returned for a file whose lock a living process holds.
var ErrInUse = errors.New("the file is already in use")

// lockDir is the folder beside a file that locks it.
func lockDir(path string) string { return path + ".lck" }

// Lock locks files for a process, taking over what a dead one left. If one is in use, none is locked. The first of paths is
// that of the machine, for which several processes may want the lock at once.
func Lock(pid int, paths ...string) error {
	leave, err := alone(filepath.Dir(paths[0]))
	if err != nil {
		return err
	}
	defer leave()
	for i, path := range paths {
		err := ErrInUse
		if !InUse(path) {
			err = lock(pid, path)
		}
		if err != nil {
			return errors.Join(fmt.Errorf("%s: %w", path, err), Unlock(paths[:i]...))
		}
	}
	return nil
}

// Exclusive waits until nobody else is in what it guards, one for an installation, and returns how to leave it.
func (h Home) Exclusive() (leave func(), err error) { return alone(h.Dir) }

// alone waits for the lock of a folder, which the kernel takes away from those who die.
func alone(dir string) (leave func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}

func lock(pid int, path string) error {
	if err := os.RemoveAll(lockDir(path)); err != nil {
		return err
	}
	if err := os.Mkdir(lockDir(path), 0o755); err != nil {
		return err
	}
	name := fmt.Sprintf("M%05d.lck", pid%100000)
	return os.WriteFile(filepath.Join(lockDir(path), name), []byte(strconv.Itoa(pid)+"\n"), 0o644)
}

// Unlock removes locks.
func Unlock(paths ...string) error {
	var err error
	for _, path := range paths {
		err = errors.Join(err, os.RemoveAll(lockDir(path)))
	}
	return err
}

// InUse tells whether a living process has locked a file.
func InUse(path string) bool {
	locks, err := filepath.Glob(filepath.Join(lockDir(path), "M*.lck"))
	if err != nil {
		return false
	}
	for _, lock := range locks {
		data, err := os.ReadFile(lock)
		if errors.Is(err, fs.ErrNotExist) {
			continue // unlocked since
		}
		if pid, err := strconv.Atoi(strings.TrimSpace(string(data))); err == nil && alive(pid) {
			return true
		}
	}
	return false
}

// alive tells whether a process runs. One that has ended and that its parent has not asked about yet does not.
func alive(pid int) bool {
	if pid <= 0 || errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist)
	}
	_, state, ok := bytes.Cut(stat, []byte(") "))
	return !ok || len(state) == 0 || state[0] != 'Z' && state[0] != 'X'
}
