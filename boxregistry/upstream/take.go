package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/blob"
	"github.com/boxkiln/boxkiln/boxregistry/boxfile"
)

// Taken is a box file that is in the blob store.
type Taken struct {
	Info    blob.Info
	Summary boxfile.Summary
}

// Store reads a box file once, from src into w, inspects it on the way, compares it with what was announced, and commits
// it. Errors: *ChecksumError, boxfile.ErrInvalid, blob.ErrNoSpace, those of src; then nothing was stored.
func Store(ctx context.Context, src io.Reader, w blob.Writer, want boxregistry.Checksum, l boxfile.Limits) (Taken, error) {
	c := newCheck(want)
	sink := &sink{w: io.MultiWriter(w, c)}
	sum, err := boxfile.Inspect(ctx, io.TeeReader(src, sink), l)
	if sink.err != nil {
		return Taken{}, sink.err
	}
	if errors.Is(err, boxfile.ErrInvalid) {
		// What is no box is perhaps only damaged: then the checksum says so, and the remedy is another one.
		if _, restErr := io.Copy(sink, src); restErr == nil {
			err = errors.Join(c.verify(), err)
		}
	}
	if err != nil {
		return Taken{}, err
	}
	if err := c.verify(); err != nil {
		return Taken{}, err
	}
	info, err := w.Commit(ctx, blob.Digest(sum.SHA256))
	return Taken{Info: info, Summary: sum}, err
}

// sink remembers why the store did not take bytes, which looks like a bad box from above.
type sink struct {
	w   io.Writer
	err error
}

func (s *sink) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	if err != nil {
		s.err = err
	}
	return n, err
}

// Sink begins blobs.
type Sink interface {
	OpenWriter(ctx context.Context) (blob.Writer, error)
}

// Take brings a file into a blob store, from wherever it is. A download that was taken up and turns out to be damaged is
// fetched once more from its beginning. What has arrived of a download that fails is kept, for the next Take.
func (f *Fetcher) Take(ctx context.Context, file File, to Sink, l boxfile.Limits, tell Tell) (Taken, error) {
	switch file.Origin.Kind {
	case AtFile:
		return f.takeFile(ctx, file, to, l, tell)
	case InFolder:
		return takeFolder(ctx, file, to, l, tell)
	}
	taken, again, err := f.takeDownload(ctx, file, to, l, tell)
	if again {
		tell(Status{Err: fmt.Errorf("%w; what an earlier download left may be damaged", err)})
		taken, _, err = f.takeDownload(ctx, file, to, l, tell)
	}
	return taken, err
}

// Key is under what the parts of a file are kept until it is complete.
func (f File) Key() string {
	return string(f.Origin.Kind) + " " + f.Origin.At + " " + f.Checksum.Type + ":" + f.Checksum.Hex
}

// takeDownload tells besides whether it is worth to begin anew.
func (f *Fetcher) takeDownload(ctx context.Context, file File, to Sink, l boxfile.Limits, tell Tell) (taken Taken, again bool, err error) {
	d, err := f.Fetch(ctx, FetchRequest{Origin: file.Origin, Key: file.Key()}, tell)
	if err != nil {
		return Taken{}, false, err
	}
	defer d.Close()
	taken, err = store(ctx, d, file, to, l)
	bad := IsBad(err)
	if err == nil || bad {
		err = errors.Join(err, d.Discard())
	}
	return taken, bad && (d.Resumed() || errors.Is(err, errChanged)), spaceError(err)
}

// IsBad tells bytes that are wrong from bytes that did not come: what has arrived of the former is of no use.
func IsBad(err error) bool {
	return errors.Is(err, boxregistry.ErrChecksum) || errors.Is(err, boxfile.ErrInvalid) || errors.Is(err, errChanged)
}

// spaceError makes a full disk under the parts the same error as one under the blobs.
func spaceError(err error) error {
	if (errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)) && !errors.Is(err, blob.ErrNoSpace) {
		return fmt.Errorf("%w: %w", blob.ErrNoSpace, err)
	}
	return err
}

func store(ctx context.Context, src io.Reader, file File, to Sink, l boxfile.Limits) (Taken, error) {
	w, err := to.OpenWriter(ctx)
	if err != nil {
		return Taken{}, err
	}
	defer w.Close()
	return Store(ctx, src, w, file.Checksum, l)
}

func (f *Fetcher) takeFile(ctx context.Context, file File, to Sink, l boxfile.Limits, tell Tell) (Taken, error) {
	src, err := os.Open(file.Origin.At)
	if err != nil {
		return Taken{}, err
	}
	defer src.Close()
	info, err := src.Stat()
	if err != nil {
		return Taken{}, err
	}
	if info.Size() > f.maxSize() {
		return Taken{}, fmt.Errorf("%w: %d bytes, and %d are allowed", ErrTooLarge, info.Size(), f.maxSize())
	}
	return store(ctx, &counted{r: src, total: info.Size(), tell: tell}, file, to, l)
}

// counted reports what is read.
type counted struct {
	r           io.Reader
	done, total int64
	tell        Tell
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if n > 0 {
		c.done += int64(n)
		c.tell(Status{Done: c.done, Total: c.total})
	}
	return n, err
}

// takeFolder packs an unpacked box again, straight into the store.
func takeFolder(ctx context.Context, file File, to Sink, l boxfile.Limits, tell Tell) (Taken, error) {
	r, w := io.Pipe()
	packed := make(chan struct{})
	go func() {
		defer close(packed)
		_, err := boxfile.Repack(ctx, w, file.Origin.At, boxfile.Options{Progress: func(done, total int64) {
			tell(Status{Done: done, Total: total})
		}})
		w.CloseWithError(err) // nil ends the stream
	}()
	taken, err := store(ctx, r, file, to, l)
	r.Close() // lets the packer go when the store took no more
	<-packed
	return taken, err
}
