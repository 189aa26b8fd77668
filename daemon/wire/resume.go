package wire

import "github.com/boxkiln/boxkiln/daemon/build"

// NamesReply tells which files a build's plan names, so that a client can read them again.
type NamesReply struct {
	Cwd   string   `json:"cwd"` // where relative names start
	Names []string `json:"names"`
}

// ResumeRequest asks for a new attempt of a build that did not succeed.
type ResumeRequest struct {
	// Inputs are the plan's files as they are now; null for as they were.
	Inputs []build.Input `json:"inputs"`
	// Options of the new attempt; the others stay as they were.
	OnError build.OnError `json:"on_error,omitempty"`
	Keep    bool          `json:"keep,omitempty"`
}

// ResumeReply is the build, and where in its log the new attempt begins.
type ResumeReply struct {
	Build  build.Record `json:"build"`
	Offset int64        `json:"offset"` // in bytes, for the event stream
}

// RetryReply is the new build with the plan of another one.
type RetryReply struct {
	Build build.Record `json:"build"`
}
