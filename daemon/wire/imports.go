package wire

import (
	"time"

	"github.com/boxkiln/boxkiln/boxregistry/upstream"
)

// ImportRequest asks to bring boxes here from elsewhere.
type ImportRequest struct {
	// From is a URL, or a path on the daemon's machine, which is read only for the user that the daemon runs as.
	From string `json:"from"`
	As   string `json:"as,omitempty"` // an organisation, or org/box for a single box
	// Version is a requirement; of a single box file it is the version.
	Version      string `json:"version,omitempty"`
	Provider     string `json:"provider,omitempty"`     // only this one
	Architecture string `json:"architecture,omitempty"` // only this one
	Latest       int    `json:"latest,omitempty"`       // only that many versions of each box, the highest; 0 for all
	UnknownAs    string `json:"unknown_as,omitempty"`   // the architecture of files that do not say theirs
	Channel      string `json:"channel,omitempty"`      // into which versions are released; stable unless it is said
	Private      bool   `json:"private,omitempty"`      // new boxes are private
	DryRun       bool   `json:"dry_run,omitempty"`      // tell what would be done, and do nothing
	// Token is for the server that the boxes come from.
	Token string `json:"token,omitempty"`
}

// ImportState says how an import is.
type ImportState string

// The states of an import.
const (
	ImportRunning  ImportState = "running"
	ImportDone     ImportState = "done"     // with what was passed over in its summary
	ImportFailed   ImportState = "failed"   // nothing, or not everything, was tried; the same request goes on
	ImportCanceled ImportState = "canceled" // likewise
)

// Import is an import that the daemon runs, or ran since it was started.
type Import struct {
	ID       string            `json:"id"`
	From     string            `json:"from"` // without what may be secret
	State    ImportState       `json:"state"`
	Started  time.Time         `json:"started"`
	Finished time.Time         `json:"finished,omitzero"`
	Error    string            `json:"error,omitempty"`
	Summary  *upstream.Summary `json:"summary,omitempty"` // once it has ended
}

// ImportList lists imports, newest first.
type ImportList struct {
	Imports []Import `json:"imports"`
}

// ImportEvent is what an import tells about itself.
type ImportEvent = upstream.Event
