package upload

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync"
	"time"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/blob"
	"github.com/boxkiln/boxkiln/boxregistry/boxfile"
)

// issued is a secret that was given out, by this process: only its hash is in the database.
type issued struct {
	secret  string
	over    blob.Digest
	expires time.Time
}

// Begin opens the door for the bytes of a file that was declared, and returns the secret, of 256 bits, of its path. It is good
// for that file alone and for a day. While nothing has come, the same place gets the same secret. In a version that is
// released the door takes the bytes that are there already and no others. Errors: boxregistry.ErrNotFound,
// boxregistry.ErrImmutable when the version was revoked.
func (r *Receiver) Begin(ctx context.Context, name boxregistry.Name, v boxregistry.Version, p boxregistry.Provider, a boxregistry.Architecture) (string, error) {
	pub := boxregistry.Publication{Box: name, Version: v, File: boxregistry.File{Provider: p, Architecture: a}}
	found, err := r.look(ctx, pub)
	switch {
	case err != nil:
		return "", err
	case found.file.Provider == "":
		return "", fmt.Errorf("%w: %s %s has no %s/%s file: declare it first", boxregistry.ErrNotFound, name, v, p, a)
	case found.state == boxregistry.Revoked:
		return "", fmt.Errorf("%w: %s %s was revoked; publish under another number", boxregistry.ErrImmutable, name, v)
	}
	pub.Over, pub.Replace = found.file.Digest, found.file.Digest != ""
	return r.issue(ctx, pub)
}

// issue gives out the secret of a place, the same as before if nothing has happened since.
func (r *Receiver) issue(ctx context.Context, p boxregistry.Publication) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.Now()
	if old, ok := r.issued[slot(p)]; ok && old.over == p.Over && now.Before(old.expires) {
		return old.secret, nil
	}
	var raw [32]byte
	rand.Read(raw[:]) // never fails: crypto/rand
	fresh := issued{secret: base64.RawURLEncoding.EncodeToString(raw[:]), over: p.Over, expires: now.Add(Life)}
	err := r.Rows.AddUpload(ctx, by(ctx, boxregistry.Upload{Key: keyOf(fresh.secret), Publication: p, Created: now, Expires: fresh.expires}))
	if err != nil {
		return "", err
	}
	r.issued[slot(p)] = fresh
	return fresh.secret, nil
}

// keyOf is under which key the upload of a secret is kept: who reads the database cannot upload.
func keyOf(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// Done says whether the bytes of a secret have come: the callback of a direct upload asks. It returns ErrUnknown.
func (r *Receiver) Done(ctx context.Context, secret string) (bool, error) {
	u, err := r.door(ctx, keyOf(secret), false)
	if err != nil || u.Came != "" {
		return err == nil, err
	}
	found, err := r.look(ctx, u.Publication) // a crash can have come between the file and the note
	if errors.Is(err, boxregistry.ErrNotFound) {
		return false, nil
	}
	return err == nil && found.file.Digest != "" && found.file.Digest != u.Over, err
}

// Put takes the whole file of a secret. size is what the client says, -1 when it does not; when there is no room for it,
// nothing is read. The bytes are hashed, inspected and stored in one pass, and published. Nothing of them stays when that
// fails; the body is then read to its end all the same, because most clients hear of an error only after they have sent
// everything. The same bytes again are no error, also after the version was released with them.
//
// Errors: ErrUnknown, boxregistry.ErrBusy, boxregistry.ErrTooLarge, boxfile.ErrInvalid, boxregistry.ErrChecksum, boxregistry.ErrImmutable,
// boxregistry.ErrExists when another file came through the same door, boxregistry.ErrNotFound when the place was deleted,
// blob.ErrNoSpace.
func (r *Receiver) Put(ctx context.Context, secret string, size int64, body io.Reader) (boxregistry.File, error) {
	u, err := r.door(ctx, keyOf(secret), false)
	if err != nil {
		return boxregistry.File{}, err
	}
	if err := r.claim(u); err != nil {
		return boxregistry.File{}, err
	}
	defer r.release(u, 0)
	found, err := r.look(ctx, u.Publication)
	switch {
	case err != nil:
		return boxregistry.File{}, err
	case found.file.Provider == "":
		return boxregistry.File{}, fmt.Errorf("%w: the file that this upload is for was deleted", boxregistry.ErrNotFound)
	case found.file.Digest != "" && (found.state != boxregistry.Draft || found.file.Digest != u.Over):
		return r.confirm(ctx, found, size, body)
	case found.state != boxregistry.Draft:
		return boxregistry.File{}, fmt.Errorf("%w: it is %s", boxregistry.ErrImmutable, found.state)
	}
	if err := r.fits(size); err != nil {
		return boxregistry.File{}, err
	}
	space, done, err := r.room(size)
	if err != nil {
		return boxregistry.File{}, err
	}
	defer done()
	f, err := r.whole(ctx, u, found.file.Declared, space.spend(body))
	if err != nil {
		_, _ = io.Copy(io.Discard, reader{ctx, body}) // see above
	}
	return f, err
}

// fits compares a size with the limit.
func (r *Receiver) fits(size int64) error {
	if r.Limits.Size > 0 && size > r.Limits.Size {
		return fmt.Errorf("%w: the box has %d bytes, and the limit is %d", boxregistry.ErrTooLarge, size, r.Limits.Size)
	}
	return nil
}

// whole receives and publishes.
func (r *Receiver) whole(ctx context.Context, u boxregistry.Upload, declared boxregistry.Checksum, body io.Reader) (boxregistry.File, error) {
	w, err := r.Blobs.Create(ctx)
	if err != nil {
		return boxregistry.File{}, err
	}
	defer w.Close()
	sum, err := newSum(declared)
	if err != nil {
		return boxregistry.File{}, err
	}
	s, err := r.receive(ctx, body, w, sum)
	if err == nil {
		err = checkSum(declared, s.SHA256, sum)
	}
	if err != nil {
		return boxregistry.File{}, err
	}
	p, err := r.admit(ctx, u.Publication, s)
	if err != nil {
		return boxregistry.File{}, err
	}
	return r.publish(ctx, u, p, s, func(ctx context.Context) (blob.Info, error) { return w.Commit(ctx, p.File.Digest) })
}

// chunk is how much is taken at once, in bytes.
const chunk = 128 << 10

// buffers are lent for as long as a body is read: an upload in many requests would leave one behind for each.
var buffers = sync.Pool{New: func() any { return new([chunk]byte) }}

// copyBody copies in chunks.
func copyBody(to io.Writer, from io.Reader) error {
	buf := buffers.Get().(*[chunk]byte)
	defer buffers.Put(buf)
	_, err := io.CopyBuffer(to, from, buf[:])
	return err
}

// receive sends the body to the store, the announced checksum (nil for none) and the inspector, in one pass.
func (r *Receiver) receive(ctx context.Context, body io.Reader, w blob.Writer, sum hash.Hash) (boxfile.Summary, error) {
	type verdict struct {
		summary boxfile.Summary
		err     error
	}
	inspected := newRelay()
	judged := make(chan verdict, 1)
	summer, hashed := w.(blob.Summer)
	go func() {
		inspect := boxfile.Inspect
		if hashed { // once is enough
			inspect = func(ctx context.Context, r io.Reader, l boxfile.Limits) (boxfile.Summary, error) {
				return boxfile.InspectHashed(ctx, r, l, "")
			}
		}
		s, err := inspect(ctx, inspected, r.Limits.Box)
		inspected.leave(err)
		judged <- verdict{s, err}
	}()
	to := []io.Writer{w, inspected}
	if sum != nil {
		to = append(to, sum)
	}
	err := copyBody(io.MultiWriter(to...), r.bounded(reader{ctx, body}))
	inspected.finish(err)
	v := <-judged
	if hashed {
		v.summary.SHA256 = string(summer.Sum())
	}
	return v.summary, cmp.Or(err, v.err)
}

// bounded ends a body that is larger than the limit.
func (r *Receiver) bounded(body io.Reader) io.Reader {
	if r.Limits.Size <= 0 {
		return body
	}
	return &bounded{body, r.Limits.Size}
}

type bounded struct {
	r    io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, fmt.Errorf("%w: the box has more bytes than the limit", boxregistry.ErrTooLarge)
	}
	return n, err
}

// reader ends a body when nobody waits for it any more.
type reader struct {
	ctx context.Context
	r   io.Reader
}

func (r reader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.r.Read(p)
}

// confirm compares a body with the file that is there and cannot be replaced.
func (r *Receiver) confirm(ctx context.Context, found place, size int64, body io.Reader) (boxregistry.File, error) {
	other := fmt.Errorf("%w: another file came before", boxregistry.ErrExists)
	if found.state != boxregistry.Draft {
		other = fmt.Errorf("%w: the version is %s with another file; publish under another number", boxregistry.ErrImmutable, found.state)
	}
	if size >= 0 && size != found.file.Size {
		return boxregistry.File{}, other
	}
	h := sha256.New()
	if err := copyBody(h, r.bounded(reader{ctx, body})); err != nil {
		return boxregistry.File{}, err
	}
	if blob.Digest(hex.EncodeToString(h.Sum(nil))) != found.file.Digest {
		return boxregistry.File{}, other
	}
	return found.file, nil
}
