// Package wire is what the daemon's API and its client say to each other: plain JSON values and the table of error codes.
package wire

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/boxkiln/boxkiln/daemon/build"
)

// SubmitRequest asks for builds, all of one command.
type SubmitRequest struct {
	Plans []build.Plan `json:"plans"`
	// Parallel is how many of them may run at once; 0 for as many as the budget has room for.
	Parallel int `json:"parallel,omitempty"`
}

// SubmitReply lists the builds that were queued, in the order of the plans.
type SubmitReply struct {
	Builds []build.Record `json:"builds"`
}

// MissingRequest asks which contents the daemon lacks.
type MissingRequest struct {
	Digests []string `json:"digests"`
}

// MissingReply answers a MissingRequest.
type MissingReply struct {
	Missing []string `json:"missing"`
}

// BuildList is a page of builds, newest first.
type BuildList struct {
	Builds []build.Record `json:"builds"`
}

// BuildReply is one build with its steps.
type BuildReply struct {
	build.Record
	Steps []build.StepRecord `json:"steps"`
	// Made is what the last attempt made, as the summary at the end of a build tells it.
	Made []build.Made `json:"made,omitempty"`
}

// CancelReply is the state of a build after it was asked to stop.
type CancelReply struct {
	State build.State `json:"state"`
}

// AnswerRequest answers the question that a build asks.
type AnswerRequest struct {
	Answer string `json:"answer"`
}

// Output is a file that a build made for its user's machine.
type Output struct {
	// Path is where the template wants it, on the user's machine.
	Path string `json:"path"`
	Size int64  `json:"size"`
	Mode uint32 `json:"mode"`
}

// OutputList lists outputs; the place in it is the number to fetch one by.
type OutputList struct {
	Outputs []Output `json:"outputs"`
}

// Info describes the daemon to its client.
type Info struct {
	Version  string `json:"version"`
	Data     string `json:"data"`
	SameUser bool   `json:"same_user"` // the request came through the socket from the daemon's own user
	Local    bool   `json:"local"`     // the request came through the socket
}

// Code is the machine-readable part of an error.
type Code string

// The codes of the API, with their HTTP status in Status.
const (
	CodeBadRequest   Code = "bad_request"
	CodeUnauthorized Code = "unauthorized"
	CodeForbidden    Code = "forbidden"
	CodeNotFound     Code = "not_found"
	CodeConflict     Code = "conflict"
	CodeBusy         Code = "busy" // a conflict with what is going on: it passes
	CodeOverBudget   Code = "over_budget"
	CodeBadBox       Code = "bad_box"
	CodeDiskFull     Code = "disk_full"
	CodeTooLarge     Code = "too_large"
	CodeTooMany      Code = "too_many"
	CodeStopping     Code = "stopping"
	CodeInternal     Code = "internal"
)

// Status maps each code to its HTTP status.
var Status = map[Code]int{
	CodeBadRequest:   http.StatusBadRequest,
	CodeUnauthorized: http.StatusUnauthorized,
	CodeForbidden:    http.StatusForbidden,
	CodeNotFound:     http.StatusNotFound,
	CodeConflict:     http.StatusConflict,
	CodeBusy:         http.StatusLocked,
	CodeOverBudget:   http.StatusUnprocessableEntity,
	CodeBadBox:       http.StatusUnsupportedMediaType,
	CodeDiskFull:     http.StatusInsufficientStorage,
	CodeTooLarge:     http.StatusRequestEntityTooLarge,
	CodeTooMany:      http.StatusTooManyRequests,
	CodeStopping:     http.StatusServiceUnavailable,
	CodeInternal:     http.StatusInternalServerError,
}

// Error is an error of the API: a code for programs, a message for people. The cause stays on the server.
type Error struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`
	cause   error
}

func (e *Error) Error() string { return e.Message }

// Unwrap returns the cause, on the side that made the error.
func (e *Error) Unwrap() error { return e.cause }

// Errorf makes an Error. A %w operand becomes its cause.
func Errorf(code Code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Message: err.Error(), cause: errors.Unwrap(err)}
}

// ErrorReply is the body of every answer with an error status.
type ErrorReply struct {
	Error *Error `json:"error"`
}

// HeaderLive tells of a picture whether the machine is running (true), or it is the last one that was kept (false).
const HeaderLive = "Boxkiln-Live"

// Timeline is what happened when in a build: the moments of all its attempts, in the order in which they began.
type Timeline struct {
	Moments []build.Moment `json:"moments"`
}

// KeysRequest asks to type at a build's machine: text with the tokens of boot commands.
type KeysRequest struct {
	Text string `json:"text"`
}

// KeysReply tells how much was typed.
type KeysReply struct {
	Events int `json:"events"` // presses and releases
}

// ShellInput is a text message from the user of a shell; what is typed comes as binary messages.
type ShellInput struct {
	// Resize is the new size of the terminal.
	Resize *ShellSize `json:"resize,omitempty"`
	// EOF ends the input.
	EOF bool `json:"eof,omitempty"`
}

// ShellSize is the size of a terminal, in characters.
type ShellSize struct {
	Rows int `json:"rows"`
	Cols int `json:"cols"`
}

// ShellOutput is a text message to the user of a shell; output comes as binary messages.
type ShellOutput struct {
	// Stderr is what a command without a terminal wrote to its standard error.
	Stderr []byte `json:"stderr,omitempty"`
	// Exit is how it ended; the last message has it, or Error.
	Exit  *int   `json:"exit,omitempty"`
	Error *Error `json:"error,omitempty"`
}
