package boxregistry

import (
	"encoding/json"
	"time"

	"github.com/boxkiln/boxkiln/boxregistry/blob"
)

// State says who can see a version and whether it can change.
type State string

const (
	// Draft is where every version begins: files may be added, and replaced on request; nobody but its makers sees it.
	// A crash leaves a draft a draft.
	Draft State = "draft"
	// Released is entered once, from Draft, when the version has at least one file. Clients see it; it never changes.
	Released State = "released"
	// Revoked is entered once, from Released, and is final: clients no longer see the version, its number stays used.
	Revoked State = "revoked"
)

// Box is a named series of versions.
type Box struct {
	Name             Name
	ShortDescription string // one line
	Description      string // Markdown
	Created          time.Time
	Updated          time.Time // when a version was last added, completed, released or revoked
	Releases         []Release // highest version first
}

// Release is one version of a box.
type Release struct {
	Version     Version
	State       State
	Description string // release notes, Markdown
	Created     time.Time
	Released    time.Time // zero while a draft
	Revoked     time.Time // zero unless revoked
	Files       []File    // by provider, then by architecture with the default last
}

// File is the box file of one provider and architecture in a version.
type File struct {
	Provider     Provider
	Architecture Architecture
	Default      bool // the architecture that clients without architectures get; one per provider and version
	Digest       blob.Digest
	Size         int64           // of the .box file, bytes
	UnpackedSize int64           // of its entries together, bytes; 0 when not known
	VirtualSize  int64           // of the guest's disks together, bytes; 0 when not known
	Firmware     string          // "bios" or "uefi"; empty when not known
	Provenance   json.RawMessage // what it was built from; null when it was not built here
	Published    time.Time
	Smoke        Smoke
}

// Smoke is the outcome of booting a packed file once and logging in. The zero value means that nobody tried.
type Smoke struct {
	Passed bool
	Detail string    // why it failed, or what was seen
	At     time.Time // zero when it was not tried
}

// Tried reports whether the file was ever booted.
func (s Smoke) Tried() bool { return !s.At.IsZero() }

// Publication is one file on its way into a version, with what is needed when its box or version is new.
type Publication struct {
	Box                Name
	BoxDescription     string // of a new box; ignored when the box exists
	Version            Version
	VersionDescription string // of a new version; ignored when the version exists
	File               File   // Digest and Size must be those of a stored blob; Published and Smoke are ignored
	Replace            bool   // put the file in the place of another one in a draft
}

// Summary is one line in a list of boxes.
type Summary struct {
	Name             Name
	ShortDescription string
	Newest           Version    // highest released version; zero when there is none
	Providers        []Provider // of the newest version, sorted
	Size             int64      // of the newest version's files together, bytes
	Updated          time.Time
}

// Resolved is the file that a name, a requirement, a provider and an architecture lead to.
type Resolved struct {
	Box     Name
	Version Version
	File    File
}

// ListQuery chooses boxes for a page.
type ListQuery struct {
	Search      string // a part of "org/box" or of the short description, in any case
	NewestFirst bool   // most recently updated first; otherwise by name
	Limit       int    // how many at most
	Offset      int    // how many to pass over
}

// Visible is the versions that clients may see, highest first: released, with at least one file.
func (b Box) Visible() []Release {
	var out []Release
	for _, r := range b.Releases {
		if r.State == Released && len(r.Files) > 0 {
			out = append(out, r)
		}
	}
	return out
}

// Release finds a version by its number, however that is written.
func (b Box) Release(v Version) (Release, bool) {
	for _, r := range b.Releases {
		if r.Version.Compare(v) == 0 {
			return r, true
		}
	}
	return Release{}, false
}

// File finds the file of a provider as Vagrant's own choice does: the architecture itself, else a file for an unknown
// one; with an empty architecture the provider's default.
func (r Release) File(p Provider, a Architecture) (File, bool) {
	var fallback File
	found := false
	for _, f := range r.Files {
		if f.Provider != p {
			continue
		}
		if f.Architecture == a || a == "" && f.Default {
			return f, true
		}
		if f.Architecture == UnknownArchitecture {
			fallback, found = f, true
		}
	}
	return fallback, found
}

// Path is where the registry serves the file of a version for as long as the version is released. The digest in it
// makes sure that what a client resumes is what it began: other bytes have another path.
func (f File) Path(n Name, v Version) string {
	return "/" + n.Org() + "/boxes/" + n.Box() + "/versions/" + v.String() + "/providers/" + string(f.Provider) + "/" +
		string(f.Architecture) + "/" + f.Digest.Short() + "/vagrant.box"
}
