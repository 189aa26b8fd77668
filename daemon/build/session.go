package build

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"slices"
	"sync"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/iso"
	"github.com/boxkiln/boxkiln/provisioners"
)

// Session is the typed state of a running build. The first group is given; each field of the second is written by exactly
// one step, named in its comment, and read by later ones.
type Session struct {
	Build   ID
	Attempt int
	Plan    *Plan
	Tag     hypervisor.Tag
	Ledger  Ledger
	Log     Log
	Debug   *slog.Logger
	Dirs    Dirs
	Files   provisioners.Files
	Outputs Outputs
	Driver  hypervisor.Driver
	Ask     Asker

	Media     iso.File              // fetch-media; zero without media
	Source    iso.File              // fetch-media: the exported machine to start from; zero without one
	Fetched   map[string]string     // fetch-media: what the driver asked for, by name
	Key       KeyPair               // make-key; zero when the template brings its own login
	Seed      SeedServer            // serve-seed; nil without one
	Reached   string                // wait-guest: host:port at which the guest answered
	HostKey   string                // wait-guest: as in authorized_keys; one that is known before must be shown again
	Machine   hypervisor.Machine    // create-machine
	Guest     provisioners.Guest    // wait-guest
	Made      hypervisor.Artifact   // export: the machine's own files
	KeepMade  bool                  // post-process: whether those files are a result
	Results   []hypervisor.File     // post-process: every file that stays
	IDs       []hypervisor.RemoteID // post-process, package: everything in a cloud that stays
	Box       *hypervisor.File      // post-process: the box to publish, if a post-processor made one
	BaseBox   string                // fetch-media: the box whose disk is the medium, as a box:// URL with its version; empty for none
	Boxes     []hypervisor.File     // package: the boxes to publish, besides the one that a post-processor made
	Packaging Packaging             // check-guest: what the guest said; package: what follows for the packages
	Packages  []byte                // record-packages: what is installed, as CycloneDX; nil if that is not known
	MadeBy    ID                    // restore-artifact: the build that made what was taken; empty if this one makes it

	mu        sync.Mutex
	abort     context.CancelCauseFunc
	machine   hypervisor.Machine // what CurrentMachine tells
	guest     provisioners.Guest // what CurrentGuest tells
	expectOff bool
	touched   string // what Touched tells
	closers   []io.Closer
	handover  []Resource // what HandOver was told
}

// Packaging is what is known of a guest that is made into packages for other hypervisors.
type Packaging struct {
	// Guest is its answer about drivers, as package pack has it in JSON; nil if nobody asked.
	Guest json.RawMessage `json:"guest,omitempty"`
	// Warnings say what keeps it from starting, or from being reached, there.
	Warnings []string `json:"warnings,omitempty"`
}

// Dirs are the directories of an attempt, absolute.
type Dirs struct {
	Machine string // the machine's disks; goes when the build ends
	Scratch string // intermediate files; goes when the build ends
	Logs    string // screen and serial log of the attempt; kept
}

// KeyPair is a temporary SSH key.
type KeyPair struct {
	Private    string // OpenSSH PEM
	Authorized string // a line of authorized_keys, without a newline
	File       string // where the private key lies on this host
}

// SeedServer is a running seed server as the steps see it.
type SeedServer interface {
	io.Closer
	// Seen is the address under which the guest sees the server, and Port its port.
	Seen() string
	Port() int
}

// Asker asks the user a question and returns one of the choices; the first is the default when nobody answers.
type Asker interface {
	Ask(ctx context.Context, q Question) (string, error)
}

// Question is what a build wants to know of its user.
type Question struct {
	Step    string
	Text    string
	Choices []string
	// Hold says that the build was asked to wait: only a person answers, and a day is not too long. A client without a
	// terminal takes the first choice of other questions at once, and the daemon after half an hour.
	Hold bool
}

// ExpectOff says that the machine is about to end because the build wants it to.
func (s *Session) ExpectOff() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expectOff = true
}

// ExpectOn says that the machine runs again after an end that was expected.
func (s *Session) ExpectOn() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expectOff = false
}

// OffExpected tells whether ExpectOff was called.
func (s *Session) OffExpected() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.expectOff
}

// Abort ends the running step with a cause. A goroutine that watches the machine calls it.
func (s *Session) Abort(cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.abort != nil {
		s.abort(cause)
	}
}

// CloseAtEnd has c closed when the build ends, before its resources are reaped: connections and servers, which end with
// this process anyway and so need no row in the ledger.
func (s *Session) CloseAtEnd(c io.Closer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closers = append(s.closers, c)
}

// HandOver says that a thing of the ledger becomes the user's when the build succeeds, such as an image in a cloud: until then it
// is removed with the rest, however the build ends.
func (s *Session) HandOver(row Resource) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handover = append(s.handover, row)
}

// HandedOver lists what HandOver was told, for the last step of the build, which releases it.
func (s *Session) HandedOver() []Resource {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.handover)
}

func (s *Session) closeAll() error {
	s.mu.Lock()
	closers := s.closers
	s.closers, s.machine, s.guest = nil, nil, nil
	s.mu.Unlock()
	var errs error
	for i := len(closers) - 1; i >= 0; i-- {
		errs = errors.Join(errs, protect("a close at the end of the build", closers[i].Close))
	}
	return errs
}

// SetMachine makes m the machine of the build. Steps read the field; goroutines beside them ask CurrentMachine.
func (s *Session) SetMachine(m hypervisor.Machine) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Machine, s.machine, s.touched = m, m, ""
}

// CurrentMachine is the machine for goroutines beside the steps, such as those that show its screen; nil before there is
// one and after the build's end.
func (s *Session) CurrentMachine() hypervisor.Machine {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.machine
}

// SetGuest makes g the guest of the build. Steps read the field; goroutines beside them ask CurrentGuest.
func (s *Session) SetGuest(g provisioners.Guest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Guest, s.guest = g, g
}

// CurrentGuest is the guest for goroutines beside the steps; nil before a login and after the build's end.
func (s *Session) CurrentGuest() provisioners.Guest {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.guest
}

// Resource makes a row for the ledger that belongs to this attempt.
func (s *Session) Resource(kind ResourceKind, name string) Resource {
	return Resource{Build: s.Build, Attempt: s.Attempt, Kind: kind, Name: name}
}
