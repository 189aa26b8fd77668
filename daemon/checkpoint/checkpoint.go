// Package checkpoint keeps frozen machines and finished artifacts under the fingerprints of what went into them, so that a
// build can start where an earlier one had got.
//
// A build looks for a fingerprint with [Store.Lookup], takes what it found with [Store.Acquire], and thaws a machine from
// the lease's directory. When it has come further it asks for a directory with [Store.Draft], freezes its machine into it
// and calls [Draft.Commit], perhaps in a goroutine while the machine goes on: memory is compressed, everything is
// checksummed, the manifest is written last, and only then the checkpoint can be found. [Store.Release] ends all that a
// build holds.
//
// The disks of a checkpoint may be overlays of those of its parent, so a parent whose turn it is to go while it has children
// loses its memory and stays as a layer until the last child has gone. What nobody uses goes when the store is larger than
// its budget, least recently used first, or older than its age. Everything that is removed is first marked in the database
// and then renamed, and everything that appears does so by a row that is written last: [Store.Recover] makes the store whole
// again after a crash at any point.
package checkpoint

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/hypervisor"
)

// ID is the random name of a checkpoint and of its directory: 16 hexadecimal digits.
type ID string

var idForm = regexp.MustCompile(`^[0-9a-f]{16}$`)

func newID() ID {
	var b [8]byte
	rand.Read(b[:]) // never fails: crypto/rand
	return ID(hex.EncodeToString(b[:]))
}

// Kind says what a checkpoint holds.
type Kind string

// The kinds.
const (
	// KindMemory is a machine that was running: memory, disks, firmware variables.
	KindMemory Kind = "memory"
	// KindDisk is a machine that was off.
	KindDisk Kind = "disk"
	// KindArtifact is what a build made: files.
	KindArtifact Kind = "artifact"
)

// Meta is what is known of a checkpoint besides its files.
type Meta struct {
	Fingerprint string `json:"fingerprint"`
	Kind        Kind   `json:"kind"`
	// Stage is the name of the stage after which it was made (build.Stage), and Index its place among the stages.
	Stage    string   `json:"stage"`
	Index    int      `json:"index"`
	Label    string   `json:"label"`
	Template string   `json:"template"`
	Build    build.ID `json:"build"`
	// Took is the work that it saves: the time from the start of the build, in nanoseconds.
	Took time.Duration `json:"took"`
	// Reads are the ingredients of its stage, to tell what has changed when its fingerprint is not the one looked for.
	Reads []build.Ingredient `json:"reads,omitempty"`
	// Parent is the checkpoint whose disks its own are overlays of; Commit sets it.
	Parent ID `json:"parent,omitempty"`
	// MemoryBase is the ancestor whose memory this one's is kept as the difference from; empty if it is kept whole. Commit
	// sets it.
	MemoryBase ID `json:"memory_base,omitempty"`
	// Machine describes a frozen machine, Artifact an artifact. Paths are relative to the directory. The memory is kept
	// compressed: Lease.Memory writes the file that Machine.Memory names.
	Machine  *hypervisor.Frozen   `json:"machine,omitempty"`
	Artifact *hypervisor.Artifact `json:"artifact,omitempty"`
	// HostKey is the guest's SSH host key in the form of authorized_keys; empty if it is not known.
	HostKey string `json:"host_key,omitempty"`
	// Ran tells when each stage up to this one was run; a checkpoint on an old installation is as old as that.
	Ran []build.Stamp `json:"ran,omitempty"`
	// KeepMade says that the machine's own files are among an artifact's results.
	KeepMade bool `json:"keep_made,omitempty"`
}

// check finds what cannot be committed.
func (m Meta) check() error {
	switch {
	case m.Fingerprint == "":
		return errors.New("a checkpoint needs a fingerprint")
	case m.Kind == KindArtifact && (m.Artifact == nil || m.Machine != nil):
		return fmt.Errorf("a checkpoint of kind %q needs an artifact and no machine", m.Kind)
	case m.Kind == KindArtifact:
		return checkNames(artifactNames(m))
	case m.Kind != KindMemory && m.Kind != KindDisk:
		return fmt.Errorf("%q is no kind of a checkpoint", m.Kind)
	case m.Machine == nil || m.Artifact != nil:
		return fmt.Errorf("a checkpoint of kind %q needs a machine and no artifact", m.Kind)
	case (m.Kind == KindMemory) != (m.Machine.Memory != ""):
		return fmt.Errorf("a checkpoint of kind %q cannot have the memory file %q", m.Kind, m.Machine.Memory)
	}
	names := []string{}
	for _, d := range m.Machine.Disks {
		names = append(names, d.Name)
	}
	for _, n := range []string{m.Machine.Memory, m.Machine.Vars} {
		if n != "" {
			names = append(names, n)
		}
	}
	return checkNames(names)
}

func artifactNames(m Meta) []string {
	var names []string
	for _, f := range m.Artifact.Files {
		names = append(names, f.Path)
	}
	return names
}

func checkNames(names []string) error {
	for _, n := range names {
		if !filepath.IsLocal(n) || filepath.Clean(n) != n || n == "." {
			return fmt.Errorf("%q does not name a file inside a checkpoint", n)
		}
		if ours(n) {
			return fmt.Errorf("a checkpoint keeps its own data in a file called %q", n)
		}
	}
	return nil
}

// Entry is a checkpoint in the store.
type Entry struct {
	ID ID `json:"id"`
	Meta
	Created build.Stamp `json:"created"`
	Used    build.Stamp `json:"used"`
	// Bytes is what it takes on disk.
	Bytes int64 `json:"bytes"`
	// InUse is how many builds use it.
	InUse int `json:"in_use"`
	// Layer entries cannot be acquired any more: only their disks remain, for their children and for who uses them still.
	Layer bool `json:"layer,omitempty"`
}

// Errors of the store, for errors.Is.
var (
	// ErrNotFound says that no checkpoint is called that.
	ErrNotFound = errors.New("no such checkpoint")
	// ErrAmbiguous says that a prefix belongs to several.
	ErrAmbiguous = errors.New("several checkpoints begin like that")
	// ErrGone says that the checkpoint has been evicted, or the draft released.
	ErrGone = errors.New("the checkpoint is gone")
	// ErrDamaged says that its files are not those that were written. It has been dropped.
	ErrDamaged = errors.New("the checkpoint is damaged")
)

// InUseError refuses to remove a checkpoint.
type InUseError struct {
	ID ID
	// Users are the builds that use it; empty for a layer that others stand on.
	Users []build.ID
	// Children are the checkpoints whose disks are overlays of its disks.
	Children []ID
}

func (e *InUseError) Error() string {
	if len(e.Users) > 0 {
		return fmt.Sprintf("checkpoint %s is used by build %s: wait for its end or cancel it", e.ID, joined(e.Users))
	}
	return fmt.Sprintf("only the disks of checkpoint %s are left, and %s needs them: remove that first", e.ID, joined(e.Children))
}

func joined[S ~string](list []S) string {
	var texts []string
	for _, s := range list {
		texts = append(texts, string(s))
	}
	return strings.Join(texts, ", ")
}
