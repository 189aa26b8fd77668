package upload

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/boxfile"
	"github.com/boxkiln/boxkiln/internal/fsx"
)

// Session is what a client knows of an upload that it can resume.
type Session struct {
	ID      string // empty when there is nothing to send
	Offset  int64  // bytes that have come and are on the disk
	Size    int64  // of the whole
	Done    bool   // it is published, or was there already
	Expires time.Time
	File    boxregistry.File        // what was published, when Done
	Into    boxregistry.Publication // where it goes
}

// session is an upload that can be resumed, as far as this process works on it.
type session struct {
	boxregistry.Upload
	begun boxregistry.Upload // as it was loaded; never changes
	path  string
	file  *fsx.Eager // nil when the bytes were handed over already and a crash came before the rest
	hash  hash.Hash
	used  time.Time

	come atomic.Int64 // Received after the last chunk, for whoever asks meanwhile

	// What has come is made durable, and noted, while the next chunk comes.
	settled   chan struct{} // closed when that is done; nil when nothing is to be waited for
	settleErr error

	// The inspection runs while chunks come, and behind them. It is begun anew after a pause.
	grow    func(size int64, whole bool)
	stop    context.CancelFunc
	judged  chan struct{} // closed when it has ended
	summary boxfile.Summary
	verdict error
}

// newID names a session. Who knows it still needs the right to write.
func newID() string {
	var raw [16]byte
	rand.Read(raw[:]) // never fails: crypto/rand
	return hex.EncodeToString(raw[:])
}

func (r *Receiver) path(id string) string { return filepath.Join(r.Dir, id+".part") }

// load takes up a session where its row and its file say that it is. What came after the last row is cut off; when less is
// there than the row says, it begins anew.
func (r *Receiver) load(ctx context.Context, u boxregistry.Upload) (*session, error) {
	s := &session{Upload: u, begun: u, path: r.path(u.Key), hash: sha256.New()}
	f, err := os.OpenFile(s.path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		if s.handedOver(ctx, r) {
			return s, nil
		}
		f, err = os.OpenFile(s.path, os.O_RDWR|os.O_CREATE, 0o600)
	}
	if err != nil {
		return nil, fmt.Errorf("upload of %s %s: %w", u.Box, u.Version, full(err))
	}
	err = s.rewind(f)
	s.file = fsx.EagerAt(f, s.Received)
	s.come.Store(s.Received)
	if err == nil && s.Received != u.Received { // less is there than was noted
		err = r.Rows.SaveUpload(ctx, s.Upload)
	}
	if err != nil {
		return nil, errors.Join(err, s.file.Close())
	}
	return s, nil
}

// handedOver says whether all bytes have come and the blob store has them.
func (s *session) handedOver(ctx context.Context, r *Receiver) bool {
	if s.Received != s.File.Size || s.restore() != nil || s.digest() != string(s.File.Digest) {
		return false
	}
	info, err := r.Blobs.Stat(ctx, s.File.Digest)
	return err == nil && info.Size == s.File.Size
}

func (s *session) restore() error {
	return s.hash.(encoding.BinaryUnmarshaler).UnmarshalBinary(s.Hash)
}

func (s *session) digest() string { return hex.EncodeToString(s.hash.Sum(nil)) }

// rewind puts the file where the row is.
func (s *session) rewind(f *os.File) error {
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if st.Size() < s.Received || s.Received > 0 && s.restore() != nil {
		s.Received, s.Hash = 0, nil
	}
	if s.Received == 0 {
		s.hash.Reset()
	}
	if err := f.Truncate(s.Received); err != nil {
		return err
	}
	_, err = f.Seek(s.Received, io.SeekStart)
	return err
}

// keep begins to make durable what has come, and then to say so in the row. It returns what became of the chunk before.
func (s *session) keep(ctx context.Context, r *Receiver) error {
	s.come.Store(s.Received)
	state, err := s.hash.(encoding.BinaryMarshaler).MarshalBinary()
	if err = errors.Join(err, s.settle()); err != nil {
		return err
	}
	s.Hash, s.Expires = state, r.Now().Add(Life)
	note, settled := s.Upload, make(chan struct{})
	s.settled = settled
	r.running.Go(func() {
		defer close(settled)
		s.settleErr = s.note(context.WithoutCancel(ctx), r, note)
	})
	return nil
}

// note writes what has come to the disk, and only then the row.
func (s *session) note(ctx context.Context, r *Receiver, u boxregistry.Upload) error {
	if err := errors.Join(r.fault("upload.written"), s.file.Sync(), r.fault("upload.synced")); err != nil {
		return full(err)
	}
	return errors.Join(r.Rows.SaveUpload(ctx, u), r.fault("upload.saved"))
}

// settle waits until what keep has begun is done.
func (s *session) settle() error {
	if s.settled == nil {
		return nil
	}
	<-s.settled
	s.settled = nil
	return s.settleErr
}

// inspect begins the inspection, unless it runs.
func (s *session) inspect(r *Receiver) error {
	if s.judged != nil {
		return nil
	}
	ctx, stop := context.WithCancel(r.life)
	judged := make(chan struct{})
	if s.file == nil {
		stop()
		return errHandedOver
	}
	f, err := os.Open(s.path) // its own: the session may close its file meanwhile
	if err != nil {
		stop()
		return err
	}
	t := newTail(ctx, f)
	t.grown(s.Received, false)
	s.grow, s.stop, s.judged = t.grown, stop, judged
	r.running.Go(func() {
		defer close(judged)
		defer f.Close()
		s.summary, s.verdict = boxfile.InspectHashed(ctx, t, r.Limits.Box, string(s.File.Digest))
	})
	return nil
}

var errHandedOver = errors.New("the file was handed over")

// refused is why the inspection has ended early, or nil.
func (s *session) refused() error {
	select {
	case <-s.judged:
		return s.verdict
	default:
		return nil
	}
}

// conclude waits for the judgement about the whole file.
func (s *session) conclude(ctx context.Context, r *Receiver) (boxfile.Summary, error) {
	if s.file == nil {
		content, _, err := r.Blobs.Open(ctx, s.File.Digest)
		if err != nil {
			return boxfile.Summary{}, err
		}
		defer content.Close()
		return boxfile.InspectHashed(ctx, content, r.Limits.Box, string(s.File.Digest))
	}
	if err := s.inspect(r); err != nil {
		return boxfile.Summary{}, err
	}
	s.grow(s.Received, true)
	select {
	case <-s.judged:
		return s.summary, s.verdict
	case <-ctx.Done():
		return boxfile.Summary{}, context.Cause(ctx)
	}
}

// unload lets go of what the process holds; the upload stays.
func (s *session) unload() error {
	if s.judged != nil {
		s.stop()
		<-s.judged
		s.judged = nil
	}
	if s.file == nil {
		return nil
	}
	return errors.Join(s.settle(), s.file.Close())
}
