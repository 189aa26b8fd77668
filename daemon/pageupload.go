package daemon

import (
	"context"
	"fmt"
	"io"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/blob"
	"github.com/boxkiln/boxkiln/boxregistry/boxfile"
	"github.com/boxkiln/boxkiln/boxregistry/store"
)

// uploader takes box files from the pages.
type uploader struct{ registry *store.Registry }

// Check implements web.Uploader.
func (u uploader) Check(ctx context.Context, p boxregistry.Publication) error {
	return u.registry.Check(ctx, p)
}

// Upload implements web.Uploader: the bytes are stored and inspected in one pass, and published when they are a good box of
// that provider and architecture.
func (u uploader) Upload(ctx context.Context, p boxregistry.Publication, _ int64, body io.Reader) (boxregistry.File, error) {
	w, err := u.registry.OpenWriter(ctx)
	if err != nil {
		return boxregistry.File{}, err
	}
	defer w.Close()
	sum, err := boxfile.Inspect(ctx, io.TeeReader(body, w), boxfile.Limits{})
	if err == nil {
		err = agrees(p, sum)
	}
	if err != nil {
		return boxregistry.File{}, err
	}
	info, err := w.Commit(ctx, blob.Digest(p.File.Declared.Hex))
	if err != nil {
		return boxregistry.File{}, err
	}
	p.File.Digest, p.File.Size, p.File.UnpackedSize, p.File.VirtualSize = info.Digest, info.Size, sum.Unpacked, sum.VirtualSize
	return p.File, u.registry.Publish(ctx, p)
}

// agrees compares what a box says of itself with the place that it is to have.
func agrees(p boxregistry.Publication, s boxfile.Summary) error {
	if got, want := s.Metadata.Provider, string(p.File.Provider); got != want {
		return fmt.Errorf("%w: its metadata.json says that it is for %q, and it was uploaded for %q", boxfile.ErrInvalid, got, want)
	}
	if s.Metadata.Architecture == "" || p.File.Architecture == boxregistry.UnknownArchitecture {
		return nil
	}
	if got, err := boxregistry.ParseArchitecture(s.Metadata.Architecture); err != nil || got != p.File.Architecture {
		return fmt.Errorf("%w: its metadata.json says that it is for %q, and it was uploaded for %q", boxfile.ErrInvalid, s.Metadata.Architecture, p.File.Architecture)
	}
	return nil
}
