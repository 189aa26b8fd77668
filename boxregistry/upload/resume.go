package upload

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/blob"
	"github.com/boxkiln/boxkiln/boxregistry/boxfile"
	"github.com/boxkiln/boxkiln/internal/sqlitedb"
)

// Open begins the upload of a file whose size and sha256 are in p, or finds the one that was begun for the same bytes and the
// same place. Box and version need not exist; they are made when the file is published. When it is in its place already, the
// session is Done. Errors: those of Publish, boxregistry.ErrBusy, boxregistry.ErrTooLarge, blob.ErrNoSpace.
func (r *Receiver) Open(ctx context.Context, p boxregistry.Publication) (Session, error) {
	if d, err := blob.ParseDigest(string(p.File.Digest)); err != nil || d != p.File.Digest || p.File.Size <= 0 {
		return Session{}, fmt.Errorf("%w: announce the size and the sha256 of the box (got %d and %q)", boxregistry.ErrChecksum, p.File.Size, p.File.Digest)
	}
	there, err := r.look(ctx, p)
	switch {
	case errors.Is(err, boxregistry.ErrNotFound):
	case err != nil:
		return Session{}, err
	case there.file.Digest == p.File.Digest && there.state != boxregistry.Revoked:
		return Session{Offset: p.File.Size, Size: p.File.Size, Done: true, File: there.file, Into: p}, nil
	}
	if p.Replace {
		p.Over = there.file.Digest
		p.Replace = p.Over != ""
	}
	if err := errors.Join(r.Registry.Check(ctx, p), r.fits(p.File.Size)); err != nil {
		return Session{}, err
	}
	u, found, err := r.begun(ctx, p)
	if err != nil || found {
		return r.describe(u), err
	}
	if _, done, err := r.room(p.File.Size); err != nil {
		return Session{}, err
	} else {
		done()
	}
	now := r.Now()
	u = by(ctx, boxregistry.Upload{Key: newID(), Resumable: true, Publication: p, Created: now, Expires: now.Add(Life)})
	if err := r.taken(u); err != nil {
		return Session{}, err
	}
	return r.describe(u), r.Rows.AddUpload(ctx, u)
}

// begun finds an upload of the same bytes into the same place that has not ended.
func (r *Receiver) begun(ctx context.Context, p boxregistry.Publication) (boxregistry.Upload, bool, error) {
	all, err := r.Rows.Uploads(ctx)
	for _, u := range all {
		if u.Resumable && u.Came == "" && r.Now().Before(u.Expires) && slot(u.Publication) == slot(p) &&
			u.File.Digest == p.File.Digest && u.File.Size == p.File.Size && u.Over == p.Over {
			return u, true, err
		}
	}
	return boxregistry.Upload{}, false, err
}

func (r *Receiver) describe(u boxregistry.Upload) Session {
	r.mu.Lock()
	if s := r.sessions[u.Key]; s != nil {
		u.Received = s.come.Load() // the row follows
	}
	r.mu.Unlock()
	return Session{ID: u.Key, Offset: u.Received, Size: u.File.Size, Done: u.Came != "", Expires: u.Expires, Into: u.Publication}
}

// Session tells how far an upload has come. It returns ErrUnknown.
func (r *Receiver) Session(ctx context.Context, id string) (Session, error) {
	u, err := r.door(ctx, id, true)
	if err != nil {
		return Session{}, err
	}
	return r.describe(u), nil
}

// Append takes a chunk that begins at offset; size is its length, -1 when not known. What has come already is passed over,
// so a chunk may be sent again. When the chunk breaks off, what came of it is kept. When the disk is full, or the box is none,
// the upload is given up and its space freed. Errors: ErrUnknown, boxregistry.ErrBusy, *OffsetError, boxregistry.ErrTooLarge, boxfile.ErrInvalid,
// blob.ErrNoSpace, those of the body.
func (r *Receiver) Append(ctx context.Context, id string, offset, size int64, body io.Reader) (Session, error) {
	s, err := r.enter(ctx, id)
	if err != nil {
		return Session{}, err
	}
	reserve := linger
	defer func() { r.release(s.Upload, reserve) }()
	switch {
	case s.Came != "":
		return r.describe(s.Upload), nil
	case offset > s.Received || offset < 0:
		return r.describe(s.Upload), &OffsetError{Have: s.Received, Size: s.File.Size}
	case size > s.File.Size-offset:
		return r.describe(s.Upload), fmt.Errorf("%w: the chunk goes beyond the %d bytes that were announced", boxregistry.ErrTooLarge, s.File.Size)
	case s.file == nil:
		return r.describe(s.Upload), nil // everything has come
	}
	space, done, err := r.room(offset + size - s.Received)
	if err != nil {
		reserve = 0
		return r.describe(s.Upload), errors.Join(err, r.giveUp(ctx, s))
	}
	defer done()
	if _, err := io.CopyN(io.Discard, reader{ctx, body}, s.Received-offset); err != nil && !errors.Is(err, io.EOF) {
		return r.describe(s.Upload), err
	}
	if err := r.append(ctx, s, space.spend(reader{ctx, body})); final(err) {
		_, _ = io.Copy(io.Discard, reader{ctx, body}) // most clients hear of it only then
		reserve = 0
		return r.describe(s.Upload), errors.Join(err, r.giveUp(ctx, s))
	} else if err != nil {
		return r.describe(s.Upload), err
	}
	return r.describe(s.Upload), nil
}

// append writes what body holds, and keeps it also when body breaks off.
func (r *Receiver) append(ctx context.Context, s *session, body io.Reader) error {
	if err := s.inspect(r); err != nil {
		return err
	}
	buf := buffers.Get().(*[chunk]byte)
	defer buffers.Put(buf)
	for {
		n, readErr := body.Read(buf[:])
		if int64(n) > s.File.Size-s.Received {
			return fmt.Errorf("%w: more came than the %d bytes that were announced", boxregistry.ErrTooLarge, s.File.Size)
		}
		if _, err := s.file.Write(buf[:n]); err != nil {
			return full(err)
		}
		s.hash.Write(buf[:n])
		s.Received += int64(n)
		s.grow(s.Received, false)
		if err := s.refused(); err != nil {
			return err
		}
		if readErr != nil {
			kept := s.keep(ctx, r)
			if errors.Is(readErr, io.EOF) {
				return kept
			}
			return errors.Join(readErr, kept, s.settle()) // whoever comes back asks the row
		}
	}
}

// Finish publishes an upload that is complete. It is idempotent: while the upload is known it returns the same file again.
// Errors: ErrUnknown, boxregistry.ErrBusy, *OffsetError when bytes are missing, boxregistry.ErrChecksum, boxfile.ErrInvalid, those of
// Publish. After one that will not pass the upload is gone.
func (r *Receiver) Finish(ctx context.Context, id string) (boxregistry.File, error) {
	s, err := r.enter(ctx, id)
	if err != nil {
		return boxregistry.File{}, err
	}
	reserve := linger
	defer func() { r.release(s.Upload, reserve) }()
	if s.Came != "" {
		return r.finished(ctx, s.Publication)
	}
	if s.Received != s.File.Size {
		return boxregistry.File{}, &OffsetError{Have: s.Received, Size: s.File.Size}
	}
	err = s.settle()
	var f boxregistry.File
	if err == nil {
		f, err = r.finish(ctx, s)
	}
	if err != nil && !final(err) {
		return f, errors.Join(err, r.forget(s)) // its row says how far it has come
	}
	reserve = 0
	if err == nil {
		return f, r.forget(s)
	}
	return f, errors.Join(err, r.giveUp(ctx, s))
}

// final says whether an upload will never end well.
func final(err error) bool {
	for _, verdict := range []error{boxfile.ErrInvalid, boxregistry.ErrChecksum, boxregistry.ErrExists, boxregistry.ErrImmutable,
		boxregistry.ErrArchitectureMix, boxregistry.ErrDeleted, blob.ErrNoSpace, boxregistry.ErrTooLarge} {
		if errors.Is(err, verdict) {
			return true
		}
	}
	return false
}

// finished is what an upload has published.
func (r *Receiver) finished(ctx context.Context, p boxregistry.Publication) (boxregistry.File, error) {
	found, err := r.look(ctx, p)
	if err == nil && found.file.Provider == "" {
		err = fmt.Errorf("%w: it was deleted after the upload", boxregistry.ErrNotFound)
	}
	return found.file, err
}

func (r *Receiver) finish(ctx context.Context, s *session) (boxregistry.File, error) {
	if got := s.digest(); got != string(s.File.Digest) {
		return boxregistry.File{}, fmt.Errorf("%w: sha256 %s came, and %s was announced", boxregistry.ErrChecksum, got, s.File.Digest)
	}
	summary, err := s.conclude(ctx, r)
	if err != nil {
		return boxregistry.File{}, err
	}
	p, err := r.admit(ctx, s.Publication, summary)
	if err != nil {
		return boxregistry.File{}, err
	}
	return r.publish(ctx, s.Upload, p, summary, func(ctx context.Context) (blob.Info, error) {
		if s.file == nil {
			return r.Blobs.Stat(ctx, p.File.Digest)
		}
		return blob.Adopt(ctx, r.Blobs, s.path, p.File.Digest)
	})
}

// Abandon gives an upload up and frees its space. It returns ErrUnknown and boxregistry.ErrBusy.
func (r *Receiver) Abandon(ctx context.Context, id string) error {
	s, err := r.enter(ctx, id)
	if err != nil {
		return err
	}
	defer r.release(s.Upload, 0)
	return r.giveUp(ctx, s)
}

// enter takes a session for one request; who has entered must release it.
func (r *Receiver) enter(ctx context.Context, id string) (*session, error) {
	u, err := r.door(ctx, id, true)
	if err != nil {
		return nil, err
	}
	if err := r.claim(u); err != nil {
		return nil, err
	}
	s, err := r.session(ctx, id)
	if err != nil {
		r.release(u, 0)
	}
	return s, err
}

// session is the session of an upload whose place the caller has claimed.
func (r *Receiver) session(ctx context.Context, id string) (*session, error) {
	r.mu.Lock()
	s := r.sessions[id]
	r.mu.Unlock()
	if s == nil {
		u, err := r.door(ctx, id, true) // again: it may have ended before it was claimed
		if err != nil {
			return nil, err
		}
		if u.Came != "" {
			return &session{Upload: u}, nil
		}
		if s, err = r.load(ctx, u); err != nil {
			return nil, err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sessions[id], s.used = s, r.Now()
	return s, nil
}

// forget lets go of a session; its row stays.
func (r *Receiver) forget(s *session) error {
	r.mu.Lock()
	delete(r.sessions, s.Key)
	r.mu.Unlock()
	return s.unload()
}

// giveUp frees the space of an upload first, because the row may need some to go.
func (r *Receiver) giveUp(ctx context.Context, s *session) error {
	_ = r.forget(s) // what could not be kept is not wanted any more
	err := remove(r.path(s.Key))
	return errors.Join(err, r.Rows.DropUpload(context.WithoutCancel(ctx), s.Key))
}

func remove(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// full marks a full disk or an exhausted quota.
func full(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, sqlitedb.ErrDiskFull) {
		return fmt.Errorf("%w: %w", blob.ErrNoSpace, err)
	}
	return err
}
