package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
)

const (
	// skipAhead is how many bytes are rather read and thrown away than asked for anew: less than a request costs.
	skipAhead = 256 << 10
	// rereads is how often in a row reading goes on where a connection broke, without a byte from the new one.
	rereads = 3
)

// reader reads an object with one request for each place at which reading begins.
type reader struct {
	ctx   context.Context
	store *Store
	key   *string
	etag  *string // of what was opened: another object under the same name is an error
	size  int64

	body   io.ReadCloser // nil when none is open
	at     int64         // where body is
	pos    int64         // where the next Read reads
	broken int           // connections that broke in a row
}

// Seek implements io.Seeker. It asks nobody.
func (r *reader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.pos
	case io.SeekEnd:
		offset += r.size
	}
	if offset < 0 {
		return 0, errors.New("seek before the beginning of a blob")
	}
	r.pos = offset
	return offset, nil
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	for {
		if r.pos >= r.size {
			return 0, io.EOF
		}
		if err := r.turn(); err != nil {
			return 0, err
		}
		n, err := r.body.Read(p)
		r.pos += int64(n)
		r.at = r.pos
		if n > 0 {
			r.broken = 0
			return n, nil // an error comes again, or a new connection has none
		}
		if err == nil {
			continue
		}
		if err := r.lost(err); err != nil {
			return 0, err
		}
	}
}

// lost gives a connection up that broke, and returns err when that was too often.
func (r *reader) lost(err error) error {
	r.shut()
	if cause := context.Cause(r.ctx); cause != nil {
		return cause
	}
	if r.broken++; r.broken > rereads {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("read %s at %d of %d bytes: %w", *r.key, r.pos, r.size, err)
	}
	return nil
}

// turn makes body be at pos.
func (r *reader) turn() error {
	if gap := r.pos - r.at; r.body != nil && gap > 0 && gap <= skipAhead {
		n, err := io.CopyN(io.Discard, r.body, gap)
		r.at += n
		if err != nil {
			r.shut()
		}
	}
	if r.body != nil && r.at == r.pos {
		return nil
	}
	r.shut()
	bytes := fmt.Sprintf("bytes=%d-", r.pos)
	out, err := r.store.client.GetObject(r.ctx, &awss3.GetObjectInput{Bucket: &r.store.bucket, Key: r.key, Range: &bytes, IfMatch: r.etag})
	if hasStatus(err, http.StatusPreconditionFailed) {
		return fmt.Errorf("%s was stored again while it was read: %w", *r.key, err)
	}
	if err != nil {
		return err
	}
	r.body, r.at = out.Body, r.pos
	return nil
}

func (r *reader) shut() {
	if r.body != nil {
		_ = r.body.Close() // nothing was written
		r.body = nil
	}
}

// Close implements io.Closer.
func (r *reader) Close() error {
	r.shut()
	r.pos, r.size = 0, 0
	r.ctx = closedContext
	return nil
}

// closedContext is that of a reader after Close.
var closedContext = func() context.Context {
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(os.ErrClosed)
	return ctx
}()
