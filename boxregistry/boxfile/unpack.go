package boxfile

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
)

// Unpack is Inspect for a reader who also wants the files: it writes them into dir, an existing folder, under their names. They
// have passed Inspect's checks, and none can lead out of dir or replace what is there. After an error some may be there.
func Unpack(ctx context.Context, r io.Reader, dir string, l Limits) (Summary, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return Summary{}, err
	}
	defer root.Close()
	in := newInspector(l)
	in.unpack = func(name string) (io.WriteCloser, error) {
		if folder := filepath.Dir(filepath.FromSlash(name)); folder != "." {
			if err := root.MkdirAll(folder, 0o755); err != nil {
				return nil, err
			}
		}
		return root.OpenFile(filepath.FromSlash(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	}
	h := sha256.New()
	return in.inspect(&source{ctx: ctx, r: r, hash: h}, func() string { return hex.EncodeToString(h.Sum(nil)) })
}

// fault is an error of the folder that is unpacked into, for which the box is not to blame.
type fault struct{ error }

func (f fault) Unwrap() error { return f.error }

// write keeps what is wanted of a file, and all of it where it is unpacked.
func (in *inspector) write(name string, size int64, body io.Reader) error {
	w, err := in.unpack(name)
	if err != nil {
		return fault{err}
	}
	to := &sink{w: w}
	body = io.TeeReader(body, to)
	err = in.keep(name, size, body)
	if err == nil {
		_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, body, make([]byte, blockSize))
	}
	closeErr := w.Close()
	if failed := errors.Join(to.err, closeErr); failed != nil {
		return fault{failed}
	}
	return err
}

// sink remembers why a writer failed, so that it is told from the reader.
type sink struct {
	w   io.Writer
	err error
}

func (s *sink) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	s.err = err
	return n, err
}
