package iso

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/boxkiln/boxkiln/internal/fsx"
)

// ChecksumError reports a medium whose bytes are not the declared ones.
type ChecksumError struct {
	Name string // URL without credentials, or path
	Want Digest
	Got  Digest
}

// Error names both digests and what to do.
func (e *ChecksumError) Error() string {
	return fmt.Sprintf("%s: wrong checksum: expected %s, got %s: correct iso_checksum if the medium was replaced on purpose, "+
		"otherwise the copy is damaged: use another iso_url", e.Name, e.Want, e.Got)
}

// identity is what is looked at to tell whether a file is still the one that was hashed. The time of the last status
// change is left out on purpose: libvirt changes the owner of a medium at every start of a machine.
type identity struct {
	Size    int64  `json:"size"`
	ModTime int64  `json:"mtime_ns"`
	Inode   uint64 `json:"inode"`
}

func identify(info fs.FileInfo) identity {
	id := identity{Size: info.Size(), ModTime: info.ModTime().UnixNano()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		id.Inode = st.Ino
	}
	return id
}

// seal remembers the digests of a file, so that it need not be read again.
type seal struct {
	identity
	Digests    map[Algorithm]string `json:"digests"`
	Validators validators           `json:"validators,omitzero"` // of the download, to ask the server for news
}

func (s seal) file(path string, loc location, want Digest, cached bool) File {
	f := File{Path: path, Size: s.Size, Cached: cached, URL: loc.String(), Digest: want}
	f.SHA256 = Digest{Algorithm: SHA256, Hex: s.Digests[SHA256]}
	if want.Hex == "" {
		f.Digest = f.SHA256
	}
	return f
}

// check compares the sealed digest with the declared one; no declaration is always right.
func (s seal) check(name string, want Digest) error {
	if got := s.Digests[want.Algorithm]; want.Hex != "" && got != want.Hex {
		return &ChecksumError{Name: name, Want: want, Got: Digest{Algorithm: want.Algorithm, Hex: got}}
	}
	return nil
}

// sealer keeps the seals of all files in one directory, named after the file's path.
type sealer struct {
	dir string
	now func() time.Time
}

func (s sealer) path(file string) string { return filepath.Join(s.dir, nameFor(file)+".json") }

// load returns the seal of a file if it holds: same size, time and inode.
func (s sealer) load(path string) (seal, bool) {
	data, err := os.ReadFile(s.path(path))
	if err != nil {
		return seal{}, false
	}
	info, err := os.Stat(path)
	if err != nil {
		return seal{}, false
	}
	var sealed seal
	err = json.Unmarshal(data, &sealed) // a damaged seal is no seal
	return sealed, err == nil && sealed.identity == identify(info) && sealed.Digests[SHA256] != ""
}

// store seals a file whose digests are known.
func (s sealer) store(path string, sealed seal) error {
	data, err := json.Marshal(sealed)
	if err != nil {
		return err
	}
	return fsx.WriteFile(s.path(path), data, 0o644)
}

// settled is how old a file's last change must be before it is sealed: a write that follows within the granularity
// of the file system's clock would not show in the time.
const settled = time.Second

// verify compares a file with the declared digest. It reads the file only if no seal speaks for it, and then seals
// it, right or wrong, so that a wrong file is told fast the next time too. cached reports that nothing was read.
func (s sealer) verify(ctx context.Context, path string, want Digest, progress func(done int64)) (sealed seal, cached bool, err error) {
	sealed, ok := s.load(path)
	if ok && (want.Hex == "" || sealed.Digests[want.Algorithm] != "") {
		return sealed, true, sealed.check(path, want)
	}
	sealed, err = hashFile(ctx, path, want.Algorithm, progress)
	if err != nil {
		return seal{}, false, err
	}
	if s.now().Sub(time.Unix(0, sealed.ModTime)) > settled {
		if err := s.store(path, sealed); err != nil {
			return seal{}, false, fmt.Errorf("remember the checksum of %s: %w", path, err)
		}
	}
	return sealed, false, sealed.check(path, want)
}

// hashFile reads a whole file once and fails if it changes meanwhile.
func hashFile(ctx context.Context, path string, also Algorithm, progress func(done int64)) (seal, error) {
	f, err := os.Open(path)
	if err != nil {
		return seal{}, err
	}
	defer f.Close()
	before, err := f.Stat()
	if err != nil {
		return seal{}, err
	}
	h := newHashes(also)
	if _, err := io.Copy(h, &meter{ctx: ctx, r: f, tell: progress}); err != nil {
		return seal{}, fmt.Errorf("read %s: %w", path, err)
	}
	after, err := os.Stat(path)
	if err != nil {
		return seal{}, err
	}
	if identify(before) != identify(after) {
		return seal{}, fmt.Errorf("%s changed while it was verified: try again when it is complete", path)
	}
	return seal{identity: identify(after), Digests: h.digests()}, nil
}

// hashes computes sha256 and at most one other digest in one pass.
type hashes struct {
	io.Writer
	byName map[Algorithm]hash.Hash
}

func newHashes(also Algorithm) hashes {
	h := hashes{byName: map[Algorithm]hash.Hash{SHA256: sha256.New()}}
	h.Writer = h.byName[SHA256]
	if also != "" && also != SHA256 {
		h.byName[also] = also.New()
		h.Writer = io.MultiWriter(h.byName[SHA256], h.byName[also])
	}
	return h
}

func (h hashes) digests() map[Algorithm]string {
	out := make(map[Algorithm]string, len(h.byName))
	for a, x := range h.byName {
		out[a] = hex.EncodeToString(x.Sum(nil))
	}
	return out
}

// meter passes bytes on, tells how many there were, and stops when its context ends.
type meter struct {
	ctx  context.Context
	r    io.Reader
	done int64
	tell func(done int64)
}

func (m *meter) Read(p []byte) (int, error) {
	if m.ctx.Err() != nil {
		return 0, context.Cause(m.ctx)
	}
	n, err := m.r.Read(p)
	m.done += int64(n)
	m.tell(m.done)
	return n, err
}

// nameFor makes a file name of any key.
func nameFor(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:20])
}

// cause drops the path from a file error whose message names the path already.
func cause(err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}
