package provisioners

import (
	"context"
	"io"
)

// Terminal is the ability of a Guest to be worked in by a person.
type Terminal interface {
	// Shell runs the guest's login shell, or a command, to its end and returns its exit status. An error means what it
	// means for Guest.Run. When ctx ends, so does what runs.
	Shell(ctx context.Context, t TerminalRequest) (exit int, err error)
}

// TerminalRequest is what Shell shall run, and where its input and output go.
type TerminalRequest struct {
	// Term is the kind of the user's terminal, such as "xterm-256color"; empty to run without a terminal, where output
	// and errors stay apart and Size has no meaning.
	Term string
	Size Size
	// Resize tells new sizes; it may be nil, and nobody needs to read it.
	Resize <-chan Size
	// Command is for the guest's shell; empty for a login shell.
	Command string
	// Stdin may be nil. It is not used after Shell returns if it is an *io.PipeReader, which is closed then.
	Stdin  io.Reader
	Stdout io.Writer // may be nil
	Stderr io.Writer // may be nil; with a terminal nothing goes there
}

// Size is that of a terminal, in characters.
type Size struct {
	Rows int `json:"rows"`
	Cols int `json:"cols"`
}
