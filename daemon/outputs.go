package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/wire"
	"github.com/boxkiln/boxkiln/internal/fsx"
)

// direct puts outputs where the template wants them: the user of this build is the user of this daemon, on this machine.
// What did not exist before is in the ledger until the build succeeds.
type direct struct {
	cwd    string
	ledger build.Ledger
	row    func(path string) build.Resource

	mu     sync.Mutex
	placed []build.Resource
}

// Create opens a file that comes out of the guest. It stays when the build fails, as with Packer.
func (d *direct) Create(path string) (io.WriteCloser, error) {
	return createOutput(absolute(d.cwd, path))
}

// Place implements build.Outputs.
func (d *direct) Place(dest string) (string, error) {
	path := absolute(d.cwd, dest)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	if _, err := os.Lstat(path); err == nil {
		return path, nil // not ours to remove
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	r := d.row(path)
	if err := d.ledger.Intend(context.Background(), r); err != nil {
		return "", err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.placed = append(d.placed, r)
	return path, nil
}

// handOver makes everything placed the user's.
func (d *direct) handOver(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var errs error
	for _, r := range d.placed {
		errs = errors.Join(errs, d.ledger.Release(ctx, r))
	}
	d.placed = nil
	return errs
}

// staged keeps outputs in the build's folder until the client fetches them: its user or machine is another one.
type staged struct {
	dir, cwd string

	mu    sync.Mutex
	dests []string // wanted paths; the n-th lies under the name n
}

const stagedIndex = "index.json"

// Create implements provisioners.Outputs.
func (s *staged) Create(path string) (io.WriteCloser, error) {
	local, err := s.Place(path)
	if err != nil {
		return nil, err
	}
	return createOutput(local)
}

// Place implements build.Outputs. The same path gets the same place.
func (s *staged) Place(dest string) (string, error) {
	dest = absolute(s.cwd, dest)
	s.mu.Lock()
	defer s.mu.Unlock()
	n := slices.Index(s.dests, dest)
	if n < 0 {
		n = len(s.dests)
		if err := s.index(append(slices.Clip(s.dests), dest)); err != nil {
			return "", err
		}
	}
	return filepath.Join(s.dir, strconv.Itoa(n)), nil
}

// index writes down what lies where, and only then takes it for true.
func (s *staged) index(dests []string) error {
	if err := os.MkdirAll(s.dir, 0o711); err != nil {
		return err
	}
	data, err := json.Marshal(dests)
	if err != nil {
		return err
	}
	if err := fsx.WriteFile(filepath.Join(s.dir, stagedIndex), data, 0o600); err != nil {
		return err
	}
	s.dests = dests
	return nil
}

func (s *staged) handOver(context.Context) error { return nil }

// stagedFile is a file that waits to be fetched.
type stagedFile struct {
	wire.Output
	local string
}

// stagedFiles lists the files below a folder of staged outputs; one placed as a directory counts with all its files.
func stagedFiles(dir string) ([]stagedFile, error) {
	data, err := os.ReadFile(filepath.Join(dir, stagedIndex))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var dests []string
	if err := json.Unmarshal(data, &dests); err != nil {
		return nil, fmt.Errorf("%s: %w", stagedIndex, err)
	}
	var files []stagedFile
	for n, dest := range dests {
		root := filepath.Join(dir, strconv.Itoa(n))
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			out := wire.Output{Path: filepath.Join(dest, rel), Size: info.Size(), Mode: uint32(info.Mode().Perm())}
			files = append(files, stagedFile{out, path})
			return nil
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return files, nil
}

// outputFile is a file that appears under its name when it is closed.
type outputFile struct{ *fsx.File }

func createOutput(path string) (io.WriteCloser, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	f, err := fsx.Create(path, 0o644)
	if err != nil {
		return nil, err
	}
	return outputFile{f}, nil
}

// Close gives the file its name.
func (f outputFile) Close() error { return errors.Join(f.Commit(), f.File.Close()) }

func absolute(cwd, path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(cwd, path)
}
