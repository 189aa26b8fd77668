package boxregistry

import (
	"time"

	"github.com/boxkiln/boxkiln/boxregistry/blob"
)

// MirroredCatalog is what is kept of the catalog that another registry has of a box.
type MirroredCatalog struct {
	Box     Name
	Body    []byte    // JSON, as Vagrant reads it
	Fetched time.Time // when the other registry last said so
}

// MirroredFile is the file of another registry whose bytes are here.
type MirroredFile struct {
	Box          Name
	Version      Version
	Provider     Provider
	Architecture Architecture
	// Source is what the catalog said of the bytes: a checksum, or else their address. When it says something else, these
	// are no longer the bytes of that file.
	Source  string
	Digest  blob.Digest
	Size    int64 // bytes
	Fetched time.Time
}
