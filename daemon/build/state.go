package build

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"
)

// ID names a build. It sorts by time and is short enough to type: 20261120-113700-4f1c.
type ID string

// NewID makes the id of a build that was submitted at t.
func NewID(t time.Time) ID {
	var b [2]byte
	rand.Read(b[:]) // never fails: crypto/rand
	return ID(t.UTC().Format("20060102-150405") + "-" + hex.EncodeToString(b[:]))
}

// State is where a build is in its life.
type State string

// The states of a build. Final states are never rewritten; every write of a worker is fenced by its attempt.
const (
	// Queued builds wait for room in the budget. They enter here at submission and leave when a worker claims them.
	Queued State = "queued"
	// Running builds have a worker. After a crash the next daemon finds them so and calls them Interrupted.
	Running State = "running"
	// Canceling builds were asked to stop; their worker is cleaning up.
	Canceling State = "canceling"
	// Succeeded: every step was done and what had to be published is published.
	Succeeded State = "succeeded"
	// Failed: the template or the guest is at fault.
	Failed State = "failed"
	// Errored: we are at fault, or the machine we run on: a driver, a full disk, a panic. It may be retried.
	Errored State = "errored"
	// Canceled: stopped because somebody asked.
	Canceled State = "canceled"
	// Interrupted: the daemon died while the build ran.
	Interrupted State = "interrupted"
)

// States lists all states, in the order of a build's life.
func States() []State {
	return []State{Queued, Running, Canceling, Succeeded, Failed, Errored, Canceled, Interrupted}
}

// ParseState reads the name of a state.
func ParseState(s string) (State, error) {
	if !slices.Contains(States(), State(s)) {
		return "", fmt.Errorf("%q is not a state of a build: use one of %v", s, States())
	}
	return State(s), nil
}

// Final tells whether a build in this state has ended.
func (s State) Final() bool {
	switch s {
	case Queued, Running, Canceling:
		return false
	}
	return true
}

// transitions lists every permitted change of state.
var transitions = map[State][]State{
	Queued:    {Running, Canceled},
	Running:   {Canceling, Succeeded, Failed, Errored, Canceled, Interrupted},
	Canceling: {Canceled, Failed, Errored, Succeeded, Interrupted},
	// A new attempt of a build that did not succeed.
	Failed: {Queued}, Errored: {Queued}, Canceled: {Queued}, Interrupted: {Queued},
}

// MayBecome tells whether a build may go from s to next.
func (s State) MayBecome(next State) bool {
	for _, t := range transitions[s] {
		if t == next {
			return true
		}
	}
	return false
}

// Causes of a build's end, for errors.Is.
var (
	// ErrCanceled is the cause with which a build's context is cancelled when somebody asked for it.
	ErrCanceled = errors.New("the build was cancelled")
	// ErrStopping is the cause when the daemon shuts down.
	ErrStopping = errors.New("the daemon is shutting down")
	// ErrMachineGone is the cause when the machine ended although nobody asked it to.
	ErrMachineGone = errors.New("the machine is gone")
	// ErrNotFound is returned for a build that does not exist.
	ErrNotFound = errors.New("no such build")
	// ErrNotResumable is returned for a build that runs, or has succeeded.
	ErrNotResumable = errors.New("only builds that ended without success can be resumed")
	// ErrFenced is returned to a worker whose attempt is no longer the current one.
	ErrFenced = errors.New("another attempt has taken over this build")
)

// ourFault marks an error as ours rather than the template's or the guest's.
type ourFault struct{ error }

func (f ourFault) Unwrap() error { return f.error }

// OurFault marks err as a fault of Boxkiln, a driver or this host, so that the build ends Errored instead of Failed.
func OurFault(err error) error {
	if err == nil {
		return nil
	}
	return ourFault{err}
}

// outcome is the final state of a build that ended with err under a context cancelled for cause (nil if it was not).
func outcome(err, cause error) State {
	var fault ourFault
	switch {
	case err == nil:
		return Succeeded
	case errors.Is(cause, ErrCanceled):
		return Canceled
	case errors.Is(cause, ErrStopping):
		return Interrupted
	case errors.As(err, &fault), errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return Errored // a full disk is that of this host, whoever met it
	}
	return Failed
}
