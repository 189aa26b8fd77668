// Package fs is the blob store in a directory: DIR/ab/<sha256>, one read-only file for each blob.
//
// A new blob grows in a staging directory on the same file system, where nobody looks for blobs. Commit syncs it,
// compares its digest, renames it to its final name and syncs the directory that holds the name; a crash at any point
// leaves either no blob or a whole one, and at most a staging file, which [Open] removes. Damaged blobs are put aside in
// DIR/quarantine/<sha256>-<time stored, in microseconds since 1970>.
package fs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"syscall"

	"github.com/boxkiln/boxkiln/boxregistry/blob"
	"github.com/boxkiln/boxkiln/internal/fsx"
)

// Store implements blob.Store in a directory. Make it with Open.
type Store struct {
	dir     string
	staging string
	create  func(path string) (stagedFile, error) // replaced by tests that break the disk
	rename  func(from, to string) error
	locks   blob.Locks // of digests that are being published, or removed on a condition
}

// quarantine is the directory of damaged blobs. It cannot be the bucket of a digest.
const quarantine = "quarantine"

var _ blob.Store = (*Store)(nil)

// stagedFile is what a writer needs of an unfinished file.
type stagedFile interface {
	io.WriteCloser
	Name() string
	Sync() error
}

// Open makes the two directories where they are missing and removes what a crash left in staging. They must be on
// one file system. Only one process may use them; the daemon's lock on its data directory sees to that.
func Open(dir, staging string) (*Store, error) {
	for _, d := range []string{dir, staging} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, fmt.Errorf("blob store: %w", err)
		}
	}
	if err := fsx.Sweep(staging); err != nil {
		return nil, fmt.Errorf("blob store: clear %q: %w", staging, err)
	}
	return &Store{dir: dir, staging: staging, create: createFile, rename: os.Rename}, nil
}

// createFile makes a staging file. Read-only from the start: only the descriptor that made it can write to it.
func createFile(path string) (stagedFile, error) {
	f, err := fsx.Create(path, 0o444)
	if err != nil {
		return nil, err
	}
	return f.Eager, nil
}

// Create implements blob.Store.
func (s *Store) Create(ctx context.Context) (blob.Writer, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	f, err := s.create(filepath.Join(s.staging, "blob"))
	if err != nil {
		return nil, fmt.Errorf("new blob: %w", spaceError(err))
	}
	return newWriter(s, f), nil
}

// Open implements blob.Store; the reader is a *os.File.
func (s *Store) Open(ctx context.Context, d blob.Digest) (io.ReadSeekCloser, blob.Info, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, blob.Info{}, err
	}
	path, err := s.path(d)
	if err != nil {
		return nil, blob.Info{}, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, blob.Info{}, notFound(d, err)
	}
	st, err := f.Stat()
	if err != nil {
		return nil, blob.Info{}, errors.Join(err, f.Close())
	}
	return f, info(d, st), nil
}

// Stat implements blob.Store.
func (s *Store) Stat(ctx context.Context, d blob.Digest) (blob.Info, error) {
	if err := context.Cause(ctx); err != nil {
		return blob.Info{}, err
	}
	path, err := s.path(d)
	if err != nil {
		return blob.Info{}, err
	}
	st, err := os.Stat(path)
	if err != nil {
		return blob.Info{}, notFound(d, err)
	}
	return info(d, st), nil
}

// Delete implements blob.Store.
func (s *Store) Delete(ctx context.Context, d blob.Digest) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	path, err := s.path(d)
	if errors.Is(err, blob.ErrNotFound) {
		return nil
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// Expire implements blob.Store.
func (s *Store) Expire(ctx context.Context, seen blob.Info) (bool, error) {
	return s.ifUnchanged(ctx, seen, os.Remove)
}

// Quarantine implements blob.Store.
func (s *Store) Quarantine(ctx context.Context, seen blob.Info) (bool, error) {
	return s.ifUnchanged(ctx, seen, func(path string) error {
		dir := filepath.Join(s.dir, quarantine)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		aside := filepath.Join(dir, fmt.Sprintf("%s-%d", seen.Digest, seen.Stored.UnixMicro()))
		if err := s.rename(path, aside); err != nil {
			return err
		}
		return errors.Join(fsx.SyncDir(dir), fsx.SyncDir(filepath.Dir(path)))
	})
}

// ifUnchanged does something with the file of a blob, while no Commit can touch it, if it is still what the caller saw.
func (s *Store) ifUnchanged(ctx context.Context, seen blob.Info, do func(path string) error) (bool, error) {
	unlock, err := s.locks.Lock(ctx, seen.Digest)
	if err != nil {
		return false, err
	}
	defer unlock()
	if same, err := blob.Unchanged(ctx, s, seen); err != nil || !same {
		return false, err
	}
	path, err := s.path(seen.Digest)
	if err != nil {
		return false, err
	}
	if err := do(path); err != nil {
		return false, err
	}
	return true, nil
}

// All implements blob.Store. Files whose names are no digests are not ours and are passed over.
func (s *Store) All(ctx context.Context) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		buckets, err := os.ReadDir(s.dir)
		if err != nil {
			yield(blob.Info{}, err)
			return
		}
		for _, b := range buckets {
			if b.IsDir() && b.Name() != quarantine && !s.bucket(ctx, b.Name(), yield) {
				return
			}
		}
	}
}

// bucket yields the blobs of one directory and reports whether to go on.
func (s *Store) bucket(ctx context.Context, name string, yield func(blob.Info, error) bool) bool {
	entries, err := os.ReadDir(filepath.Join(s.dir, name))
	if err != nil {
		yield(blob.Info{}, err)
		return false
	}
	for _, e := range entries {
		if err := context.Cause(ctx); err != nil {
			yield(blob.Info{}, err)
			return false
		}
		d, err := blob.ParseDigest(e.Name())
		if err != nil {
			continue
		}
		st, err := e.Info()
		if errors.Is(err, os.ErrNotExist) { // deleted since ReadDir
			continue
		}
		if err != nil {
			yield(blob.Info{}, err)
			return false
		}
		if !yield(info(d, st), nil) {
			return false
		}
	}
	return true
}

// path names the file of a digest. What is no digest cannot be stored, and must never become a path.
func (s *Store) path(d blob.Digest) (string, error) {
	if p, err := blob.ParseDigest(string(d)); err != nil || p != d {
		return "", fmt.Errorf("%w: sha256 %q", blob.ErrNotFound, d)
	}
	return filepath.Join(s.dir, string(d[:2]), string(d)), nil
}

func info(d blob.Digest, st os.FileInfo) blob.Info {
	return blob.Info{Digest: d, Size: st.Size(), Stored: st.ModTime()}
}

func notFound(d blob.Digest, err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w: sha256 %q", blob.ErrNotFound, d)
	}
	return err
}

// spaceError adds blob.ErrNoSpace to a full disk or an exhausted quota.
func spaceError(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", blob.ErrNoSpace, err)
	}
	return err
}
