package boxregistry

import (
	"errors"
	"fmt"
)

var (
	// ErrNotFound says that there is no such box, version or file, or none that the caller may see.
	ErrNotFound = errors.New("not found in the registry")
	// ErrExists says that something with that name, or with an equal version number, is already there.
	ErrExists = errors.New("already in the registry")
	// ErrImmutable says that the version has been released or revoked and can no longer change.
	ErrImmutable = errors.New("released versions never change")
	// ErrIncomplete says that a version without any file cannot be released.
	ErrIncomplete = errors.New("the version has no file")
	// ErrNotReleased says that a version which was never released cannot be revoked.
	ErrNotReleased = errors.New("the version was never released")
	// ErrArchitectureMix says that a box cannot go back and forth between "unknown" and a real architecture:
	// Vagrant 2.4.0 would then choose an old version.
	ErrArchitectureMix = errors.New("unknown and known architectures in one box")
	// ErrDeleted says that the box was deleted and can still be restored.
	ErrDeleted = errors.New("it was deleted and can still be restored")
	// ErrChecksum says that bytes are not those that their maker announced.
	ErrChecksum = errors.New("other bytes than their maker announced")
	// ErrBusy says that somebody else is sending the same file just now.
	ErrBusy = errors.New("another upload of it runs")
	// ErrLastChannel says that a released version is always in a channel; who wants to hide it revokes it.
	ErrLastChannel = errors.New("a released version stays in its last channel; revoke it to hide it")
	// ErrTooLarge says that a box is larger than this registry takes.
	ErrTooLarge = errors.New("larger than this registry takes")
)

// InvalidNameError says that a name, version or requirement is written in a way that Vagrant could not use.
type InvalidNameError struct {
	Kind  string // "box name", "version", "provider", "architecture" or "version requirement"
	Value string
	Want  string // the rule, and so the remedy
}

// Error implements error.
func (e *InvalidNameError) Error() string {
	return fmt.Sprintf("%s %q: %s", e.Kind, e.Value, e.Want)
}
