package web

import (
	"context"
	"encoding/json"
	"io"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/blob"
	"github.com/boxkiln/boxkiln/boxregistry/boxfile"
)

// Boxes is what the pages show of the registry.
type Boxes interface {
	// List returns the boxes that q asks for, and how many there are without its limit.
	List(ctx context.Context, q boxregistry.ListQuery) ([]boxregistry.Summary, int, error)
	// Facets is what List can narrow the boxes by that somebody sees.
	Facets(ctx context.Context, seen boxregistry.Sight) (boxregistry.Facets, error)
	// Box returns a box with all its versions, drafts and deleted ones too, or boxregistry.ErrNotFound.
	Box(ctx context.Context, name boxregistry.Name) (boxregistry.Box, error)
	// Downloads is who fetched files of a version, last one first, or boxregistry.ErrNotFound.
	Downloads(ctx context.Context, name boxregistry.Name, v boxregistry.Version) ([]boxregistry.Download, error)
	// Hidden is the private boxes that somebody does not see, deleted ones too.
	Hidden(ctx context.Context, seen boxregistry.Sight) ([]boxregistry.Name, error)
	// Trash is the deleted boxes, without their versions, last one first.
	Trash(ctx context.Context) ([]boxregistry.Box, error)
}

// Makers is what those who may write ask of whole boxes. Who asks is in ctx. The errors are those of the domain, with the
// name, the value and the remedy in them.
type Makers interface {
	// CreateBox makes an empty box with the descriptions and the visibility of b.
	CreateBox(ctx context.Context, b boxregistry.Box) error
	// EditBox changes the descriptions, the visibility and the retention of a box as edit leaves them.
	EditBox(ctx context.Context, name boxregistry.Name, edit func(*boxregistry.Box) error) error
	// DeleteBox hides a box from everybody; until it is purged RestoreBox brings it back.
	DeleteBox(ctx context.Context, name boxregistry.Name) error
	RestoreBox(ctx context.Context, name boxregistry.Name) error
}

// Versions is what those who may write ask of versions, as Makers.
type Versions interface {
	// DescribeVersion replaces the release notes.
	DescribeVersion(ctx context.Context, name boxregistry.Name, v boxregistry.Version, description string) error
	// Release opens a draft to the clients of channels.
	Release(ctx context.Context, name boxregistry.Name, v boxregistry.Version, channels ...boxregistry.Channel) error
	// Revoke hides a released version from clients for good.
	Revoke(ctx context.Context, name boxregistry.Name, v boxregistry.Version, why string) error
	// Promote puts a released version into a channel too; Demote takes it out again.
	Promote(ctx context.Context, name boxregistry.Name, v boxregistry.Version, c boxregistry.Channel) error
	Demote(ctx context.Context, name boxregistry.Name, v boxregistry.Version, c boxregistry.Channel) error
	// Pin keeps retention away from a version, or no longer.
	Pin(ctx context.Context, name boxregistry.Name, v boxregistry.Version, pinned bool) error
	// DeleteVersion hides a version; until it is purged RestoreVersion brings it back.
	DeleteVersion(ctx context.Context, name boxregistry.Name, v boxregistry.Version) error
	RestoreVersion(ctx context.Context, name boxregistry.Name, v boxregistry.Version) error
}

// Uploader takes box files from browsers. The errors are those of the domain, boxfile.ErrInvalid, blob.ErrNoSpace, or ours.
type Uploader interface {
	// Check says what Upload would say of p before it looks at the bytes, and changes nothing.
	Check(ctx context.Context, p boxregistry.Publication) error
	// Upload puts a box file into a draft; the version is made if there is none. What p says of the file is its provider, its
	// architecture and, in Declared, the checksum that its bytes must have. size is the number of bytes to come, -1 when it is not known.
	Upload(ctx context.Context, p boxregistry.Publication, size int64, body io.Reader) (boxregistry.File, error)
}

// Known is what is kept of the bytes of box files, by their digest. Each method returns boxregistry.ErrNotFound when nothing
// is.
type Known interface {
	// Contents is what was found in the file.
	Contents(ctx context.Context, d blob.Digest) (boxfile.Summary, error)
	// Packages is what is installed in the guest, as a CycloneDX JSON document.
	Packages(ctx context.Context, d blob.Digest) (json.RawMessage, error)
	// Signatures are the texts of minisign signatures of the file.
	Signatures(ctx context.Context, d blob.Digest) (string, error)
}
