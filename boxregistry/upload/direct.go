package upload

import (
	"context"
	"errors"
	"io"

	"github.com/boxkiln/boxkiln/boxregistry"
)

// Check says what Upload would say of p before it looks at the bytes, and changes nothing.
func (r *Receiver) Check(ctx context.Context, p boxregistry.Publication) error {
	return r.Registry.Check(ctx, p)
}

// Upload takes a whole file in one request from somebody who may publish it: without a secret, without anything declared
// before, and without a way to go on when the connection breaks. Box and version are made when the file is published, and
// nothing is left of one that is not. size is the number of bytes to come, -1 when it is not known; the checksum that the
// bytes must have is p.File.Declared.
//
// Errors: those of Check, boxregistry.ErrBusy, boxregistry.ErrTooLarge, boxfile.ErrInvalid, boxregistry.ErrChecksum,
// blob.ErrNoSpace.
func (r *Receiver) Upload(ctx context.Context, p boxregistry.Publication, size int64, body io.Reader) (boxregistry.File, error) {
	there, err := r.look(ctx, p)
	if err != nil && !errors.Is(err, boxregistry.ErrNotFound) {
		return boxregistry.File{}, err
	}
	if p.Replace {
		p.Over = there.file.Digest
		p.Replace = p.Over != ""
	}
	if err := errors.Join(r.Registry.Check(ctx, p), r.fits(size)); err != nil {
		return boxregistry.File{}, err
	}
	declared := p.File.Declared
	p.File.Declared = boxregistry.Checksum{} // once it has been checked the digest says more, and another file may take the place
	u := by(ctx, boxregistry.Upload{Key: newID(), Publication: p})
	if err := r.claim(u); err != nil {
		return boxregistry.File{}, err
	}
	defer r.release(u, 0)
	space, done, err := r.room(size)
	if err != nil {
		return boxregistry.File{}, err
	}
	defer done()
	return r.whole(ctx, u, declared, space.spend(body))
}
