package upstream

import "time"

// EventKind says what an Event tells.
type EventKind string

const (
	// EventMessage is a line for the user: a wait, an attempt.
	EventMessage EventKind = "message"
	// EventPlan says what is going to be done.
	EventPlan EventKind = "plan"
	// EventProgress is how far a file is; a later one of the same file takes its place.
	EventProgress EventKind = "progress"
	// EventImported says that a file is here.
	EventImported EventKind = "imported"
	// EventReleased says that a version was released.
	EventReleased EventKind = "released"
	// EventSkipped says that something was passed over, and why. The Summary has it again.
	EventSkipped EventKind = "skipped"
	// EventSummary is the last one.
	EventSummary EventKind = "summary"
)

// Event is what an import tells about itself.
type Event struct {
	Time    time.Time `json:"time"`
	Kind    EventKind `json:"kind"`
	What    string    `json:"what,omitempty"` // "org/box 1.0 libvirt/amd64", or the version
	Text    string    `json:"text,omitempty"`
	Done    int64     `json:"done,omitempty"`  // bytes
	Total   int64     `json:"total,omitempty"` // bytes; 0 when not known
	Summary *Summary  `json:"summary,omitempty"`
}

// Summary is what an import did.
type Summary struct {
	Files    int      `json:"files"`    // that came
	Bytes    int64    `json:"bytes"`    // of them
	Here     int      `json:"here"`     // files that were here already
	Released []string `json:"released"` // versions, "org/box 1.0"
	Drafts   []string `json:"drafts"`   // versions that stay drafts because a file of theirs could not be had
	Skipped  []string `json:"skipped"`  // what was passed over, and why
}
