package upload

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/boxkiln/boxkiln/boxregistry"
)

// idle is after how long without a chunk a session is put away: its inspection, which holds memory, begins anew with the
// next chunk.
const idle = 5 * time.Minute

// Sweep removes the uploads that have expired, and files that no upload knows, and puts idle ones away.
func (r *Receiver) Sweep(ctx context.Context) error {
	files, err := os.ReadDir(r.Dir) // before the rows: a row is there before its file
	if err != nil {
		return fmt.Errorf("uploads: %w", err)
	}
	all, err := r.Rows.Uploads(ctx)
	if err != nil {
		return err
	}
	known := map[string]bool{}
	for _, u := range all {
		known[u.Key] = u.Came == ""
		if err := r.sweep(ctx, u); err != nil {
			return err
		}
	}
	for _, f := range files {
		if id, ok := strings.CutSuffix(f.Name(), ".part"); ok && !known[id] {
			err = errors.Join(err, remove(r.path(id)))
		}
	}
	return errors.Join(err, r.putAway())
}

// sweep ends one upload if it has expired and nothing is coming.
func (r *Receiver) sweep(ctx context.Context, u boxregistry.Upload) error {
	if r.Now().Before(u.Expires) || r.claim(u) != nil {
		return nil
	}
	defer r.release(u, 0)
	r.mu.Lock()
	s := r.sessions[u.Key]
	r.mu.Unlock()
	if s == nil {
		s = &session{Upload: u}
	}
	return r.giveUp(ctx, s)
}

// putAway lets go of sessions that nobody has used for a while.
func (r *Receiver) putAway() error {
	r.mu.Lock()
	var old []*session
	for _, s := range r.sessions {
		if r.Now().Sub(s.used) >= idle {
			old = append(old, s)
		}
	}
	r.mu.Unlock()
	var err error
	for _, s := range old {
		if r.claim(s.begun) != nil {
			continue // in use again
		}
		err = errors.Join(err, r.forget(s))
		r.release(s.begun, 0)
	}
	return err
}
