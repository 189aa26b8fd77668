package fake

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/internal/fsx"
)

// system is what the first disk of a frozen machine holds beside the guest's files.
type system struct {
	Ready   bool   `json:"ready"`
	HostKey []byte `json:"host_key"`
}

// The first frozen disk is a tar archive: the guest's files below treeDir, and then, so that a cut archive is noticed,
// the system as JSON in systemFile.
const (
	treeDir    = "root"
	systemFile = "system.json"
)

// pack writes the guest's files and its system into an archive, which full may end with an error.
func pack(to, root string, s system, full func() error) error {
	f, err := fsx.Create(to, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	w := tar.NewWriter(f)
	if err := addTree(w, root); err != nil {
		return err
	}
	if err := full(); err != nil {
		return fmt.Errorf("write %s: %w", to, err)
	}
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := w.WriteHeader(&tar.Header{Name: systemFile, Mode: 0o600, Size: int64(len(data))}); err != nil {
		return err
	}
	if _, err := w.Write(data); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return f.Commit()
}

// addTree adds the files below root. A machine that never ran has none, and a running guest may remove some meanwhile.
func addTree(w *tar.Writer, root string) error {
	return filepath.WalkDir(root, func(name string, e fs.DirEntry, err error) error {
		if err == nil {
			err = addFile(w, root, name, e)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
}

// addFile adds a folder, file or link. Sockets and pipes end with their processes.
func addFile(w *tar.Writer, root, name string, e fs.DirEntry) error {
	info, err := e.Info()
	if err != nil {
		return err
	}
	rel, err := filepath.Rel(root, name)
	if err != nil {
		return err
	}
	var link string
	var data []byte
	switch info.Mode().Type() {
	case 0:
		data, err = os.ReadFile(name) // at once, because its size may change
	case fs.ModeSymlink:
		link, err = os.Readlink(name)
	case fs.ModeDir:
	default:
		return nil
	}
	if err != nil {
		return err
	}
	h, err := tar.FileInfoHeader(info, link)
	if err != nil {
		return err
	}
	h.Name, h.Size = path.Join(treeDir, filepath.ToSlash(rel)), int64(len(data))
	if err := w.WriteHeader(h); err != nil {
		return err
	}
	_, err = w.Write(data)
	return err
}

// unpack restores the guest's files from an archive and returns its system.
func unpack(from string, spec hypervisor.Spec) (system, error) {
	f, err := os.Open(from)
	if err != nil {
		return system{}, err
	}
	defer f.Close()
	if err := os.MkdirAll(guestRoot(spec), 0o755); err != nil {
		return system{}, err
	}
	root, err := os.OpenRoot(filepath.Dir(guestRoot(spec))) // nothing in the archive leads out of it
	if err != nil {
		return system{}, err
	}
	defer root.Close()
	s, err := extract(root, tar.NewReader(f))
	if err != nil {
		return system{}, fmt.Errorf("frozen disk %s: %w", from, err)
	}
	return s, nil
}

func extract(root *os.Root, r *tar.Reader) (system, error) {
	var s system
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return s, errors.New("the archive is cut")
		}
		if err != nil {
			return s, err
		}
		if h.Name == systemFile {
			return s, json.NewDecoder(r).Decode(&s)
		}
		if err := extractFile(root, h, r); err != nil {
			return s, err
		}
	}
}

func extractFile(root *os.Root, h *tar.Header, r io.Reader) error {
	mode := h.FileInfo().Mode().Perm()
	switch h.Typeflag {
	case tar.TypeDir:
		if err := root.MkdirAll(path.Clean(h.Name), 0o755); err != nil {
			return err
		}
		return root.Chmod(path.Clean(h.Name), mode|0o700) // its files are still to come
	case tar.TypeSymlink:
		return root.Symlink(h.Linkname, h.Name)
	case tar.TypeReg:
		f, err := root.OpenFile(h.Name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, r)
		return errors.Join(err, f.Chmod(mode), f.Close()) // the umask does not count
	}
	return fmt.Errorf("%q is of an unknown type %q", h.Name, h.Typeflag)
}
