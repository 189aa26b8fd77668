package hypervisor

import (
	"context"
	"encoding/json"
	"io"
)

// Importer is the ability of a Driver to make an image of disks that were built elsewhere, which it then keeps: an AMI in a
// region, for instance. It needs no machine.
type Importer interface {
	// Import makes an image of the request's disks and returns it as the RemoteIDs of an artifact, the one of the place that the
	// request names first and then its copies. Everything that it makes on the way it makes under the handle's name and tag, in
	// the very call, so that RemoveImport finds it; of that only the image, with what it stands on, is left when Import succeeds.
	// After an error, and when ctx ends, the caller calls RemoveImport. Called again with the same handle it goes on where the
	// journal says, if that can be.
	Import(ctx context.Context, r ImportRequest) (Artifact, error)
	// RemoveImport removes whatever an Import of that handle made, finished or not, wherever it was stopped: the image, its
	// copies, and all that was for the way only. It returns nil if nothing of that is there, or ever was.
	RemoveImport(ctx context.Context, h ImportHandle) error
}

// ImportHandle finds again what an Import made. It is plain data, written to the ledger before the Import begins; secrets in
// its arguments are sealed there.
type ImportHandle struct {
	Driver string `json:"driver"`
	// Name is of letters, digits and dashes, and no other import of this installation has it.
	Name string `json:"name"`
	Tag  Tag    `json:"tag"`
	// Args are the driver's own arguments: who asks, where the image goes and what it is called. Only the driver decodes them.
	Args json.RawMessage `json:"args,omitempty"`
}

// ImportRequest says what to make an image of.
type ImportRequest struct {
	ImportHandle
	// Files are raw disks, whose holes are known to be empty, the one to start from first. For an import that wants another
	// format (the driver's arguments say so) it is the one file of that.
	Files []File
	Arch  string // of the guest, in Go's words
	UEFI  bool
	// Title is what the image is called where the arguments give it no name: letters, digits, dots and dashes.
	Title string
	// Lacks are drivers that the guest is known not to have, by the names of Linux's modules; nil if that is not known.
	Lacks []string
	// Journal is a file that Import keeps while it sends, so that it can go on after an interruption: absolute, in a directory
	// that exists. With none it begins anew.
	Journal  string
	Progress func(title string, done, total int64) // in bytes; may be nil
	Log      io.Writer                             // takes lines for the user; may be nil
}
