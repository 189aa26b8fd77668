package fs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"os"
	"path/filepath"
	"time"

	"github.com/boxkiln/boxkiln/boxregistry/blob"
	"github.com/boxkiln/boxkiln/internal/fsx"
)

// writer hashes and writes in one pass.
type writer struct {
	store *Store
	file  stagedFile
	hash  hash.Hash
	done  bool
}

func newWriter(s *Store, f stagedFile) *writer {
	return &writer{store: s, file: f, hash: sha256.New()}
}

// Write implements io.Writer.
func (w *writer) Write(p []byte) (int, error) {
	n, err := w.file.Write(p)
	w.hash.Write(p[:n])
	return n, spaceError(err)
}

// Sum implements blob.Summer.
func (w *writer) Sum() blob.Digest { return blob.Digest(hex.EncodeToString(w.hash.Sum(nil))) }

// Commit implements blob.Writer. Content that is stored already is renamed over, which changes nothing, or mends a
// file that was damaged.
func (w *writer) Commit(ctx context.Context, want blob.Digest) (blob.Info, error) {
	if w.done {
		return blob.Info{}, os.ErrClosed
	}
	if err := context.Cause(ctx); err != nil {
		return blob.Info{}, err
	}
	got := w.Sum()
	if want != "" && want != got {
		return blob.Info{}, fmt.Errorf("%w: received %s, announced %s", blob.ErrDigestMismatch, got, want)
	}
	if err := w.file.Sync(); err != nil {
		return blob.Info{}, fmt.Errorf("sync blob %s: %w", got, spaceError(err))
	}
	path, err := w.store.path(got)
	if err != nil {
		return blob.Info{}, err
	}
	unlock, err := w.store.locks.Lock(ctx, got)
	if err != nil {
		return blob.Info{}, err
	}
	defer unlock()
	if err := w.publish(path); err != nil {
		return blob.Info{}, fmt.Errorf("store blob %s: %w", got, spaceError(err))
	}
	return w.store.Stat(context.WithoutCancel(ctx), got)
}

// publish gives the synced file its name and makes the name durable.
func (w *writer) publish(path string) error {
	if err := w.store.place(w.file.Name(), path); err != nil {
		return err
	}
	w.done = true
	return errors.Join(w.file.Close(), fsx.SyncDir(filepath.Dir(path)))
}

// place renames a synced file to the name of a blob, whose bucket it makes.
func (s *Store) place(from, to string) error {
	if err := os.Mkdir(filepath.Dir(to), 0o755); err == nil {
		if err := fsx.SyncDir(s.dir); err != nil {
			return err
		}
	} else if !errors.Is(err, os.ErrExist) {
		return err
	}
	now := time.Now() // the last byte may have come long ago, and what is stored has its grace from now on
	if err := os.Chtimes(from, now, now); err != nil {
		return err
	}
	return s.rename(from, to)
}

// Close implements blob.Writer.
func (w *writer) Close() error {
	if w.done {
		return nil
	}
	w.done = true
	return errors.Join(w.file.Close(), os.Remove(w.file.Name()))
}
