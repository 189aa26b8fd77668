// Package fake is a hypervisor without virtual machines, for tests and for a look at Boxkiln where nothing else runs.
//
// A [Host] plays the computer that machines run on: it keeps their records in a directory, so that they are found again
// after a restart, and runs their guests as goroutines. [Host.Driver] is the driver of one installation on it; several
// installations may share a host. What a guest does is told by a [Script]: it boots, waits for a boot command with a URL,
// really fetches what the URL names, takes its time to install, changes its host key, serves SSH from this process,
// crashes, or powers itself off when a shutdown command or ACPI asks for it. Keys that are typed at it, addresses that it
// fetched and planned failures ([Faults]) can be looked at and set by tests.
//
// Machines can be frozen and thawed: the guest's files, its host key and whether it is installed are on its first disk,
// and the line that is being typed is in its memory. A machine fails when the frozen disks that it is based on are gone.
//
// The guest's shell is that of this host, with its programs for power and sudo replaced: provisioners of a template
// run with the rights of this process. Disks are real images with nothing on them.
package fake

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/internal/fsx"
	"github.com/boxkiln/boxkiln/internal/sshtest"
)

// Name is the driver's name, and the source type of templates.
const Name = "fake"

// Options say how a host behaves. The zero value is a host without delays, whose guests only serve SSH.
type Options struct {
	// Script is what the guests of specs without Options do.
	Script Script
	// SSH is how the guests' SSH servers behave. Without any credential they let everybody in. Root, Env, DropOn and
	// HostKey are the guest's own business.
	SSH sshtest.Options
	// Faults are the first failures to come.
	Faults Faults
	// Host is what frozen machines are said to depend on; fields that are empty have the fake's own values.
	Host hypervisor.Host
	// Journal is a file outside the host's directory that keeps [Counts] for hosts and processes to come; empty for none.
	Journal string
	// After is the clock; nil means time.After.
	After func(d time.Duration) <-chan time.Time
}

// Host is the computer that fake machines run on. Its methods may be called from several goroutines.
type Host struct {
	root string
	opts Options

	mu       sync.Mutex
	closed   bool
	machines map[string]*record
	images   []cloudImage // that machines became in regions of this host
	faults   Faults
	counts   Counts
	changed  chan struct{} // closed when any machine changes its state
}

// record is a machine of the host. What has a JSON name is kept on disk.
type record struct {
	Handle  hypervisor.Handle `json:"handle"`
	Spec    hypervisor.Spec   `json:"spec"`
	Script  Script            `json:"script"`
	State   hypervisor.State  `json:"state"`
	Ready   bool              `json:"ready"` // there is an installed system on the first disk
	Typed   string            `json:"typed,omitempty"`
	Fetched []string          `json:"fetched,omitempty"`
	HostKey []byte            `json:"host_key"`        // ed25519 seed of the installed system
	Bases   []string          `json:"bases,omitempty"` // frozen disks that its own are overlays of
	Half    bool              `json:"half,omitempty"`  // it is being thawed, or was when the process ended

	guest   *guest // of a running machine, unless the host was opened after it was started
	thawing bool   // a Thaw of this process is at it
}

// NewHost opens the host whose records lie in root, which is made if need be. Machines that ran when the process of an
// earlier host ended still count as running, as those of a real hypervisor do, but there is nobody in them.
func NewHost(root string, opts Options) (*Host, error) {
	if opts.After == nil {
		opts.After = time.After
	}
	h := &Host{root: root, opts: opts, machines: map[string]*record{}, faults: opts.Faults, changed: make(chan struct{})}
	var err error
	if h.counts, err = ReadJournal(opts.Journal); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(root, 0o711); err != nil {
		return nil, err
	}
	if err := fsx.Sweep(root); err != nil {
		return nil, err
	}
	if h.images, err = readImages(root); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), recordSuffix) {
			continue
		}
		r, err := readRecord(filepath.Join(root, e.Name()))
		if err != nil {
			return nil, err
		}
		h.machines[r.Spec.Name] = r
	}
	return h, nil
}

const recordSuffix = ".machine.json"

func readRecord(path string) (*record, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var r record
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("record of a fake machine %q: %w", path, err)
	}
	return &r, nil
}

// Close ends the guests at once, as the end of the process would: the records keep saying that they run.
func (h *Host) Close() error {
	h.mu.Lock()
	h.closed = true
	var guests []*guest
	for _, r := range h.machines {
		if r.guest != nil {
			guests = append(guests, r.guest)
		}
	}
	h.mu.Unlock()
	for _, g := range guests {
		g.stop()
	}
	return nil
}

// Inject plans failures, in addition to those that are still to come.
func (h *Host) Inject(f Faults) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.faults = h.faults.plus(f)
}

// Crash ends the guest of a running machine in an unclean way.
func (h *Host) Crash(name string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	r, ok := h.machines[name]
	if !ok || r.guest == nil {
		return fmt.Errorf("machine %q: %w, or does not run", name, hypervisor.ErrNotFound)
	}
	r.guest.signal(crash)
	return nil
}

// Typed returns the text that was typed at a machine; Enter is a line break.
func (h *Host) Typed(name string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r, ok := h.machines[name]; ok {
		return r.Typed
	}
	return ""
}

// Fetched returns the addresses that a machine's guest has fetched.
func (h *Host) Fetched(name string) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r, ok := h.machines[name]; ok {
		return append([]string(nil), r.Fetched...)
	}
	return nil
}

// machineName is what a machine can be called: its name is part of a path.
var machineName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$`)

func (h *Host) path(name string) string { return filepath.Join(h.root, name+recordSuffix) }

// save writes a record. The caller holds mu.
func (h *Host) save(r *record) error {
	data, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	return fsx.WriteFile(h.path(r.Spec.Name), data, 0o600)
}

// announce wakes everybody who waits for a state. The caller holds mu.
func (h *Host) announce() {
	close(h.changed)
	h.changed = make(chan struct{})
}

// update changes the record of a machine that still is the one with that UUID, and tells whether it is.
func (h *Host) update(name, uuid string, change func(r *record)) (bool, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r, ok := h.machines[name]
	if !ok || r.Handle.UUID != uuid {
		return false, nil
	}
	change(r)
	h.announce()
	return true, h.save(r)
}

// remove forgets a machine. The caller holds mu.
func (h *Host) remove(name string) error {
	delete(h.machines, name)
	h.announce()
	if err := os.Remove(h.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
