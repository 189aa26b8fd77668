//go:build !nolibvirt

package libvirt

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// account is the user that QEMU runs as under the system daemon.
type account struct{ uid, gid uint32 }

// reachable checks that QEMU can walk to path, whose own access libvirt arranges. The error names the first folder that
// shuts it out and what to do about it.
func (a account) reachable(path string) error {
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			return err
		}
		if !a.may(info, 1) {
			return &shutOutError{uid: a.uid, folder: dir, mode: info.Mode().Perm(), path: path}
		}
		if dir == filepath.Dir(dir) {
			return nil
		}
	}
}

// shutOutError says that QEMU's account cannot pass through a folder.
type shutOutError struct {
	uid          uint32
	folder, path string
	mode         fs.FileMode
}

func (e *shutOutError) Error() string {
	return fmt.Sprintf("QEMU runs as uid %d and cannot pass through the folder %q (mode %04o) to %q: "+
		"run chmod o+x %q, or keep the data elsewhere with --data DIR", e.uid, e.folder, e.mode, e.path, e.folder)
}

// may tells whether the account has the permission bits (4 read, 2 write, 1 search) by the file's mode, also root: libvirt
// takes QEMU its capabilities away. Access lists are not looked at: with one, libvirt's own answer counts.
func (a account) may(info fs.FileInfo, bits fs.FileMode) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return true
	}
	mode := info.Mode().Perm()
	switch {
	case st.Uid == a.uid:
		return mode>>6&bits == bits
	case st.Gid == a.gid:
		return mode>>3&bits == bits
	}
	return mode&bits == bits
}

// reads tells whether the account can read a file as it stands, parents included.
func (a account) reads(path string) bool {
	info, err := os.Stat(path)
	return err == nil && a.may(info, 4) && a.reachable(path) == nil
}

// open lets the account into a machine's own directory. Nothing else lives there, so searching it gives nothing away.
func (a account) open(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%q is not a directory", dir)
	}
	if !a.may(info, 1) {
		if err := os.Chmod(dir, info.Mode().Perm()|0o001); err != nil {
			return err
		}
	}
	return a.reachable(filepath.Join(dir, "x"))
}

// checkMedia says at once which media cannot be read by QEMU.
func (a account) checkMedia(paths []string) error {
	var errs []error
	for _, path := range paths {
		if _, err := os.Stat(path); err != nil {
			errs = append(errs, err)
			continue
		}
		errs = append(errs, a.reachable(path))
	}
	return errors.Join(errs...)
}

// grant gives the account a file of ours that libvirt does not know of, so that it would not do it.
func (a account) grant(path string) error {
	if os.Getuid() == 0 {
		return os.Chown(path, int(a.uid), int(a.gid))
	}
	return os.Chmod(path, 0o666)
}

// seal makes a frozen disk readable for QEMU, and for nobody else, and writable for none. QEMU as root is let in through
// its group, because libvirt takes root's privileges away from it.
func (a *account) seal(path string) error {
	switch {
	case a == nil:
		return os.Chmod(path, 0o440)
	case os.Getuid() != 0: // the file cannot be given away
		return os.Chmod(path, 0o444)
	}
	return errors.Join(os.Chown(path, int(a.uid), 0), os.Chmod(path, 0o440))
}
