package checkpoint

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/boxkiln/boxkiln/internal/fsx"
	"github.com/boxkiln/boxkiln/internal/layout"
)

// Names of the store's own files in a checkpoint's directory.
const (
	memoryFile   = "memory.zst"
	keyFile      = "key.sealed"
	manifestFile = "manifest.json"
)

// ours tells whether a file of that name is the store's own.
func ours(name string) bool {
	return name == memoryFile || name == keyFile || name == manifestFile
}

// manifest describes the files of a checkpoint; it is the last one that is written.
type manifest struct {
	Version int    `json:"version"`
	ID      ID     `json:"id"`
	Meta    Meta   `json:"meta"`
	Files   []file `json:"files"`
}

const manifestVersion = 1

// role says who needs a file, and so what becomes of it when the checkpoint becomes a layer.
type role string

const (
	// roleDisk: overlays stand on it. It stays.
	roleDisk role = "disk"
	// roleBase: a memory that is kept whole. Those of descendants are kept as differences from it. It stays.
	roleBase role = "base"
	// roleOther: needed by nobody else. It goes.
	roleOther role = "other"
)

// file is one file of a checkpoint.
type file struct {
	Name   string `json:"name"`
	Role   role   `json:"role"`
	Size   int64  `json:"size"`  // bytes
	Space  int64  `json:"space"` // bytes allocated on disk
	SHA256 string `json:"sha256"`
	seen   signature
}

// disks are the names of the files that overlays may stand on.
func (m Meta) disks() []string {
	var names []string
	if m.Machine != nil {
		for _, d := range m.Machine.Disks {
			names = append(names, d.Name)
		}
	}
	return names
}

// stays are the names of the files that a layer keeps for its children.
func (m Meta) stays() []string {
	if m.Kind == KindMemory && m.MemoryBase == "" {
		return append(m.disks(), memoryFile)
	}
	return m.disks()
}

func (m Meta) role(name string) role {
	switch {
	case slices.Contains(m.disks(), name):
		return roleDisk
	case slices.Contains(m.stays(), name):
		return roleBase
	}
	return roleOther
}

// scan makes the manifest of a directory: it syncs and checksums each file, and misses none that m names.
func scan(ctx context.Context, dir string, id ID, m Meta) (manifest, error) {
	man := manifest{Version: manifestVersion, ID: id, Meta: m}
	missing := map[string]bool{}
	for _, n := range m.disks() {
		missing[n] = true
	}
	if m.Artifact != nil {
		for _, n := range artifactNames(m) {
			missing[n] = true
		}
	}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() {
			return fsx.SyncDir(path) // others have made the names in it
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		f, err := scanFile(ctx, path, name)
		f.Role = m.role(name)
		delete(missing, name)
		man.Files = append(man.Files, f)
		return err
	})
	for n := range missing {
		err = errors.Join(err, fmt.Errorf("%s is not in %s", n, dir))
	}
	return man, err
}

func scanFile(ctx context.Context, path, name string) (file, error) {
	f := file{Name: name}
	r, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return f, err
	}
	defer r.Close()
	info, err := r.Stat()
	if err != nil {
		return f, err
	}
	if !info.Mode().IsRegular() {
		return f, fmt.Errorf("%s is no regular file", path)
	}
	if err := r.Sync(); err != nil { // QEMU does not always
		return f, err
	}
	if f.SHA256, err = sum(ctx, r); err != nil {
		return f, err
	}
	f.seen, err = look(path)
	f.Size, f.Space = f.seen.size, f.seen.space
	return f, err
}

// sum is the sha256 of r in hex.
func sum(ctx context.Context, r io.Reader) (string, error) {
	h := sha256.New()
	if _, err := io.CopyBuffer(h, &stoppable{ctx, r}, make([]byte, 1<<20)); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// stoppable is a reader that ends with its context.
type stoppable struct {
	ctx context.Context
	r   io.Reader
}

func (s *stoppable) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.r.Read(p)
}

// signature is what the file system says of a file: as long as it is the same, the content is taken to be so too.
type signature struct {
	size, space  int64
	inode        uint64
	mtime, ctime int64 // nanoseconds
}

func look(path string) (signature, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return signature{}, &fs.PathError{Op: "lstat", Path: path, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return signature{}, fmt.Errorf("%w: %s is no regular file", ErrDamaged, path)
	}
	const block = 512 // st_blocks counts these, whatever the file system's own are (stat(2))
	return signature{st.Size, st.Blocks * block, uint64(st.Ino), st.Mtim.Nano(), st.Ctim.Nano()}, nil
}

// write makes the manifest a file of dir and returns its sha256.
func (m manifest) write(dir string) (string, error) {
	data, err := json.MarshalIndent(m, "", "\t")
	if err != nil {
		return "", err
	}
	digest := sha256.Sum256(data)
	return hex.EncodeToString(digest[:]), fsx.WriteFile(filepath.Join(dir, manifestFile), data, layout.SecretMode)
}

// space is what the directory takes, and what it does as a layer, in bytes.
func (m manifest) space(dir string) (all, layer int64, err error) {
	own, err := look(filepath.Join(dir, manifestFile))
	all, layer = own.space, own.space
	for _, f := range m.Files {
		all += f.Space
		if f.Role != roleOther {
			layer += f.Space
		}
	}
	return all, layer, err
}

// readManifest reads the manifest of dir, which must have the given sha256.
func readManifest(dir, digest string) (m manifest, err error) {
	data, err := os.ReadFile(filepath.Join(dir, manifestFile))
	if errors.Is(err, fs.ErrNotExist) {
		return m, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if err != nil {
		return m, err
	}
	if have := sha256.Sum256(data); hex.EncodeToString(have[:]) != digest {
		return m, fmt.Errorf("%w: %s is not as it was written", ErrDamaged, filepath.Join(dir, manifestFile))
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return m, fmt.Errorf("%w: %s: %w", ErrDamaged, filepath.Join(dir, manifestFile), err)
	}
	if m.Version != manifestVersion {
		return m, fmt.Errorf("%w: %s has version %d and this boxkiln knows %d", ErrDamaged, filepath.Join(dir, manifestFile), m.Version, manifestVersion)
	}
	return m, nil
}

// sizes checks that the files of some roles are there and as long as they were.
func (m manifest) sizes(dir string, roles ...role) error {
	for _, f := range m.Files {
		if !slices.Contains(roles, f.Role) {
			continue
		}
		if _, err := f.look(dir); err != nil {
			return err
		}
	}
	return nil
}

// look finds the file as long as it was.
func (f file) look(dir string) (signature, error) {
	path := filepath.Join(dir, f.Name)
	sig, err := look(path)
	if errors.Is(err, fs.ErrNotExist) {
		return sig, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if err == nil && sig.size != f.Size {
		err = fmt.Errorf("%w: %s has %d bytes instead of %d", ErrDamaged, path, sig.size, f.Size)
	}
	return sig, err
}

// verify reads the file and compares its sha256.
func (f file) verify(ctx context.Context, dir string) error {
	path := filepath.Join(dir, f.Name)
	r, err := os.Open(path)
	if err != nil {
		return err
	}
	defer r.Close()
	have, err := sum(ctx, r)
	switch {
	case errors.Is(err, syscall.EIO):
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	case err != nil:
		return err
	case have != f.SHA256:
		return fmt.Errorf("%w: %s has the sha256 %s instead of %s", ErrDamaged, path, have, f.SHA256)
	}
	return nil
}
