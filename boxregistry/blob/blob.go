// Package blob keeps bytes under their own sha256.
//
// A writer from [Store.Create] takes bytes in one pass and hashes them as they come. Commit compares the hash with the
// wanted one and only then makes the blob visible, whole and durable; until that moment nobody can see it and Close
// throws it away. Because the name is the content, storing the same bytes twice keeps them once, and what a digest
// stands for never changes.
//
// Blobs go by one of two ways. [Store.Expire] deletes one that nobody refers to, and [Store.Quarantine] puts a damaged one
// aside; both take what the caller saw of it before it decided, and do nothing when the same bytes were stored again since.
//
// Implementations: blob/fs (files), blob/s3 (any service that speaks S3) and blob/mem (tests). Every one passes the suite
// in blob/blobtest.
package blob

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"time"
)

var (
	// ErrNotFound says that no blob of that digest is stored.
	ErrNotFound = errors.New("blob not found")
	// ErrDigestMismatch says that the bytes received are not the bytes that were announced. Nothing was stored.
	ErrDigestMismatch = errors.New("content does not match its sha256")
	// ErrNoSpace says that the store is full. Nothing was stored and what was taken has been given back.
	ErrNoSpace = errors.New("no space left in the blob store")
)

// Digest is the sha256 of a blob as 64 lower-case hexadecimal digits. The zero value means "not known".
type Digest string

// ParseDigest checks s and folds it to lower case. It takes the bare hexadecimal form and "sha256:" before it.
func ParseDigest(s string) (Digest, error) {
	const prefix = "sha256:"
	digits := s
	if len(s) > len(prefix) && s[:len(prefix)] == prefix {
		digits = s[len(prefix):]
	}
	raw, err := hex.DecodeString(digits)
	if err != nil || len(raw) != 32 {
		return "", fmt.Errorf("sha256 %q: want 64 hexadecimal digits", s)
	}
	return Digest(hex.EncodeToString(raw)), nil
}

// Short is the first 12 digits: enough to tell blobs apart in a URL or a log.
func (d Digest) Short() string { return string(d[:min(12, len(d))]) }

// Info describes one stored blob.
type Info struct {
	Digest Digest
	Size   int64     // bytes
	Stored time.Time // when it became visible
}

// Store holds blobs. All methods may be called from several goroutines.
type Store interface {
	// Create begins a new blob. The caller must Close the writer. Bytes may be sent away only while ctx lasts: keep it
	// as long as the writer.
	Create(ctx context.Context) (Writer, error)
	// Open reads a blob from its start; the caller closes it, and keeps ctx until then. It returns ErrNotFound. A store
	// that keeps files returns a bare *os.File, so that an HTTP server can hand it to the kernel.
	Open(ctx context.Context, d Digest) (io.ReadSeekCloser, Info, error)
	// Stat describes a blob or returns ErrNotFound.
	Stat(ctx context.Context, d Digest) (Info, error)
	// Delete removes a blob. It is idempotent: a blob that is not there is no error.
	Delete(ctx context.Context, d Digest) error
	// All goes through the committed blobs in no promised order and ends after the first error.
	All(ctx context.Context) iter.Seq2[Info, error]
	// Expire deletes the blob that the caller saw, and says whether it did. It does nothing when the blob is gone, or
	// was stored again since, and never takes away what a Commit that runs at the same time makes visible.
	Expire(ctx context.Context, seen Info) (bool, error)
	// Quarantine puts the bytes that the caller saw aside, where they are kept and never served, and says whether it
	// did; the conditions are those of Expire. Storing the right bytes again mends the blob.
	Quarantine(ctx context.Context, seen Info) (bool, error)
}

// Linker is the ability of a store to let clients fetch a blob from where it lies.
type Linker interface {
	// Link returns a URL that serves the blob to whoever has it, until o.TTL is over. It does not look whether the
	// blob is there.
	Link(ctx context.Context, d Digest, o LinkOptions) (url string, err error)
}

// LinkOptions say how a link behaves.
type LinkOptions struct {
	TTL                time.Duration // for how long a download may be begun
	ContentDisposition string        // what the answer says in the header of that name; empty for nothing
}

// Sweeper is the ability of a store to remove what interrupted uploads left, beside those that run.
type Sweeper interface {
	Sweep(ctx context.Context) error
}

// Writer receives one blob. It is not safe for use from several goroutines.
type Writer interface {
	io.Writer
	// Commit makes the blob visible and durable, provided that its digest is want; with an empty want any content is
	// taken. On ErrDigestMismatch, ErrNoSpace or a cancelled ctx nothing is stored. It may be called once. A blob that is
	// stored already counts as stored at this moment, so that who collects old ones leaves it alone.
	Commit(ctx context.Context, want Digest) (Info, error)
	// Close throws an uncommitted blob away. After Commit, or a second time, it does nothing.
	Close() error
}

// Summer is the ability of a writer to tell the digest of what was written until now.
type Summer interface{ Sum() Digest }

// Unchanged tells whether s still holds what the caller saw of a blob. It is for stores, which call it in Expire and
// Quarantine while no Commit of that digest can go on.
func Unchanged(ctx context.Context, s Store, seen Info) (bool, error) {
	now, err := s.Stat(ctx, seen.Digest)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil && now.Size == seen.Size && now.Stored.Equal(seen.Stored), err
}

// Adopter is the ability of a store to take over a file instead of a copy of it.
type Adopter interface {
	// Adopt makes the file at path the blob of digest d, which the caller has found out from its bytes, and durable. The
	// file is then the store's; on an error it is where it was. It returns errors.ErrUnsupported when path is on another
	// file system.
	Adopt(ctx context.Context, path string, d Digest) (Info, error)
}

// Adopt stores the file at path, whose digest is d: without a copy where the store can. The file is gone afterwards.
func Adopt(ctx context.Context, s Store, path string, d Digest) (Info, error) {
	if a, ok := s.(Adopter); ok {
		info, err := a.Adopt(ctx, path, d)
		if !errors.Is(err, errors.ErrUnsupported) {
			return info, err
		}
	}
	f, err := os.Open(path)
	if err != nil {
		return Info{}, err
	}
	info, err := Copy(ctx, s, f, d)
	if err := errors.Join(err, f.Close()); err != nil {
		return Info{}, err
	}
	return info, os.Remove(path)
}

// Copy streams r into a new blob and commits it when its digest is want (any, when want is empty).
func Copy(ctx context.Context, s Store, r io.Reader, want Digest) (Info, error) {
	w, err := s.Create(ctx)
	if err != nil {
		return Info{}, err
	}
	defer w.Close()
	if _, err := io.Copy(w, contextReader{ctx, r}); err != nil {
		return Info{}, err
	}
	return w.Commit(ctx, want)
}

// contextReader ends a long copy at the next read after ctx is cancelled.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := context.Cause(c.ctx); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
