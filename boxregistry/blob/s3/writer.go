package s3

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"net/url"
	"os"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/boxkiln/boxkiln/boxregistry/blob"
)

// writer hashes a blob and sends it in parts while it comes.
type writer struct {
	store  *Store
	ctx    context.Context // of the requests that send parts
	cancel context.CancelCauseFunc
	hash   hash.Hash
	size   int64
	number int32   // of the part that fills
	part   *part   // nil when the last one was sent
	upload *upload // nil while everything fits into one part
	staged bool    // the upload is complete
	done   bool
}

func newWriter(ctx context.Context, s *Store) *writer {
	ctx, cancel := context.WithCancelCause(ctx)
	return &writer{store: s, ctx: ctx, cancel: cancel, hash: sha256.New()}
}

// Write implements io.Writer. It waits while as many parts as may be are under way.
func (w *writer) Write(p []byte) (written int, err error) {
	if w.done {
		return 0, os.ErrClosed
	}
	for written < len(p) {
		n, err := w.fill(p[written:])
		written += n
		if err != nil {
			return written, spaceError(err)
		}
	}
	return written, nil
}

// fill takes what fits into the part, and sends it when it is full.
func (w *writer) fill(p []byte) (n int, err error) {
	if err := context.Cause(w.ctx); err != nil {
		return 0, err
	}
	if w.part == nil {
		w.number++
		if w.part, err = w.store.newPart(partSize(w.store.firstPart, w.number)); err != nil {
			return 0, err
		}
	}
	n, err = w.part.Write(p)
	w.hash.Write(p[:n])
	w.size += int64(n)
	if err == nil && w.part.full() {
		err = w.send()
	}
	return n, err
}

// send sends the part, as the first one with a new upload.
func (w *writer) send() (err error) {
	if w.upload == nil {
		if w.upload, err = w.store.stage(w.ctx); err != nil {
			return err
		}
	}
	p := w.part
	w.part = nil
	return w.upload.send(w.number, p)
}

// Commit implements blob.Writer. Content that is stored already is written over, which changes nothing, or mends an object
// that was damaged.
func (w *writer) Commit(ctx context.Context, want blob.Digest) (blob.Info, error) {
	if w.done {
		return blob.Info{}, os.ErrClosed
	}
	if err := context.Cause(ctx); err != nil {
		return blob.Info{}, err
	}
	got := blob.Digest(hex.EncodeToString(w.hash.Sum(nil)))
	if want != "" && want != got {
		return blob.Info{}, fmt.Errorf("%w: received %s, announced %s", blob.ErrDigestMismatch, got, want)
	}
	stop := context.AfterFunc(ctx, func() { w.cancel(context.Cause(ctx)) })
	defer stop()
	unlock, err := w.store.locks.Lock(ctx, got)
	if err != nil {
		return blob.Info{}, err
	}
	defer unlock()
	info, err := w.publish(ctx, got)
	if err != nil {
		return blob.Info{}, fmt.Errorf("store blob %s: %w", got, errors.Join(spaceError(err), w.Close()))
	}
	return info, nil
}

// publish makes the blob visible and looks whether all of it is there.
func (w *writer) publish(ctx context.Context, d blob.Digest) (info blob.Info, err error) {
	if w.upload == nil {
		err = w.put(ctx, d)
	} else {
		err = w.finish(ctx, d)
	}
	if err != nil {
		return info, err
	}
	info, err = w.store.Stat(ctx, d)
	if err == nil && info.Size != w.size {
		err = errors.Join(fmt.Errorf("the service kept %d of %d bytes", info.Size, w.size), w.store.Delete(ctx, d))
	}
	if err != nil {
		return info, err
	}
	// Failing to remove the staging object is no failure of the blob; the next sweep removes it.
	_ = w.Close()
	return info, nil
}

// put stores a blob that fits into one part.
func (w *writer) put(ctx context.Context, d blob.Digest) error {
	p := w.part
	if p == nil {
		p = &part{store: w.store}
	}
	_, err := w.store.client.PutObject(ctx, &awss3.PutObjectInput{
		Bucket: &w.store.bucket, Key: w.store.key(d), Body: p.reader(), ContentLength: &p.n,
	})
	return err
}

// finish sends what is left, makes the staging object and copies it to its name.
func (w *writer) finish(ctx context.Context, d blob.Digest) error {
	if w.part != nil {
		if err := w.send(); err != nil {
			return err
		}
	}
	if err := w.upload.complete(ctx); err != nil {
		return err
	}
	w.staged = true
	return w.store.copy(ctx, w.upload.key, *w.store.key(d), w.size)
}

// Close implements blob.Writer.
func (w *writer) Close() error {
	if w.done {
		return nil
	}
	w.done = true
	w.cancel(os.ErrClosed)
	if w.part != nil {
		w.part.free()
	}
	switch {
	case w.upload == nil:
		return nil
	case w.staged:
		return w.upload.discard(w.ctx)
	}
	return w.upload.abort(w.ctx)
}

func copySource(bucket, key string) string { return (&url.URL{Path: bucket + "/" + key}).EscapedPath() }
