package web

import (
	"context"
	"errors"
	"time"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/internal/auth"
)

// ErrNotFound is what the sources return for a build that does not exist.
var ErrNotFound = errors.New("no such build")

// ErrNothing is what a Window returns when there is nothing to look at: no machine yet, or one without a screen or a
// serial port.
var ErrNothing = errors.New("there is nothing to see")

// Refusal is an error that is meant for the person who asked: what cannot be done, and why.
type Refusal struct {
	Status int // of the HTTP answer
	Text   string
}

func (r *Refusal) Error() string { return r.Text }

// Sources are where the pages get what they show, and where they take what people ask for. All are needed but
// Known, without which nothing is known.
type Sources struct {
	Boxes    Boxes
	Makers   Makers
	Versions Versions
	Uploader Uploader
	Known    Known
	Builds   Builds
	Window   Window
	Control  Control
	Tokens   Tokens
}

// Builds is what the pages need to know of the daemon's builds.
type Builds interface {
	// List returns builds, newest first, without timeline and question, and how many there are without the limit.
	List(ctx context.Context, q Query) ([]Build, int, error)
	// Box is the name of the box that a build publishes into, as its template has it; empty for none. Or ErrNotFound.
	Box(ctx context.Context, id string) (string, error)
	// Build returns one build, or ErrNotFound.
	Build(ctx context.Context, id string) (Build, error)
	// Read calls fn for each event that the build's log holds from offset on, in bytes; a negative offset counts from
	// the end. An offset inside an event leaves that event out. It stops with the error of fn, and returns ErrNotFound
	// without a log.
	Read(ctx context.Context, id string, offset int64, fn func(Entry) error) error
	// Follow is Read, and at the end it waits for more until the log is closed. A reader that is slow holds up nobody.
	Follow(ctx context.Context, id string, offset int64, fn func(Entry) error) error
}

// Window is what the pages need to look into the machine of a build that runs, and to type into it. Its errors are
// ErrNotFound, ErrNothing, a *Refusal, or ours.
type Window interface {
	// Screen returns the newest picture: of the running machine, or the last one that was kept.
	Screen(ctx context.Context, id string) (Frame, error)
	// WatchScreen calls fn with the newest picture and with each that differs from the one before, a few in a second,
	// until the machine is gone, fn returns an error, or ctx ends.
	WatchScreen(ctx context.Context, id string, fn func(Frame) error) error
	// ReadSerial calls fn with what the serial console printed from offset on and the offset after it; a negative offset
	// counts from the end.
	ReadSerial(ctx context.Context, id string, offset int64, fn func(next int64, chunk []byte) error) error
	// FollowSerial is ReadSerial, and at the end it waits for more until the machine is gone.
	FollowSerial(ctx context.Context, id string, offset int64, fn func(next int64, chunk []byte) error) error
	// Type types text with the tokens of boot commands, such as <enter>, and returns how many key events that made.
	Type(ctx context.Context, id, text string) (int, error)
}

// Control is what people may ask of builds. Its errors are ErrNotFound, a *Refusal, or ours.
type Control interface {
	// Cancel asks a build to stop. It does not wait for its end.
	Cancel(ctx context.Context, who auth.Principal, id string) error
	// Retry queues the plan of a build again, from the start, and returns the id of the new build.
	Retry(ctx context.Context, who auth.Principal, id string) (string, error)
	// Resume goes on with a build that has ended where it stopped.
	Resume(ctx context.Context, who auth.Principal, id string) error
	// Answer answers the question that a build asks, with one of its choices.
	Answer(ctx context.Context, who auth.Principal, id, answer string) error
}

// Tokens finds out whose token one is.
type Tokens interface {
	// Check returns auth.ErrRefused for a token that is unknown, expired or revoked.
	Check(ctx context.Context, token string) (auth.Principal, error)
	// Login makes a token for a user's password, which lasts for life. It returns auth.ErrRefused when that is not the password.
	Login(ctx context.Context, user, password, description string, life time.Duration) (string, error)
	// ChangePassword gives a user another password who shows the present one. Errors: auth.ErrRefused and its auth.ErrThrottled,
	// *auth.InvalidError for the new one.
	ChangePassword(ctx context.Context, user, present, password string) error
	// Logout ends the token of a number.
	Logout(ctx context.Context, token int64) error
}

// Query narrows a list of builds; zero fields do not.
type Query struct {
	State build.State
	Box   string // whole name
	Text  string // part of the label, template or id, whatever its case
	// Hidden are boxes whose builds are not for whoever asks, in any case.
	Hidden []string
	Limit  int
	// Offset is how many builds come before.
	Offset int
}

// Build is a build as the pages show it.
type Build struct {
	ID        string
	State     build.State
	Template  string // the template's name or path
	Source    string // "libvirt.debian"
	Box       string // "org/box" that it publishes into; may be empty
	Version   string // the version that it publishes; may be empty
	Attempt   int
	Queued    time.Time
	Started   time.Time      // zero while queued
	Finished  time.Time      // zero while it runs
	Error     string         // why it did not succeed, for the user
	Resumable bool           // Control.Resume would take it
	Timeline  []build.Moment // of the last attempt, in their order
	Question  *Question      // nil when it asks nothing
	Made      []build.Made   // what the last attempt made, in its order
}

// Question is what a build waits to be told.
type Question struct {
	Text    string
	Choices []string // the first is taken when nobody answers
}

// Entry is one event of a build's log and its place in it, in bytes.
type Entry struct {
	From, Next int64
	Event      build.Event
}

// Frame is a picture of a machine's screen.
type Frame struct {
	PNG  []byte
	At   time.Time
	Live bool // the machine is running; else it is the last picture that was kept
}
