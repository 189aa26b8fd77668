package boxregistry

import (
	"encoding/json"
	"slices"
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
	Private          bool   // seen only by those who may read in its organisation
	Created          time.Time
	Updated          time.Time // when a version was last added, completed, released or revoked
	Downloads        int64     // whole files that clients fetched, of all versions ever
	Retention        Retention
	Deleted          time.Time // zero unless it was deleted: nobody sees it, and it can be restored until it is purged
	Releases         []Release // highest version first
}

// Release is one version of a box.
type Release struct {
	Version     Version
	State       State
	Description string // release notes, Markdown
	Created     time.Time
	Updated     time.Time // when it or one of its files last changed
	Released    time.Time // zero while a draft
	Revoked     time.Time // zero unless revoked
	RevokedWhy  string    // for whoever used it; may be empty
	Channels    []Channel // in which clients find it, sorted; none while a draft
	Pinned      bool      // retention leaves it alone
	Deleted     time.Time // zero unless it was deleted: hidden, and can be restored until it is purged
	Downloads   int64     // whole files that clients fetched
	LastUsed    time.Time // when the last of them was fetched; zero when none was
	Files       []File    // by provider, then by architecture with the default last
}

// File is the box file of one provider and architecture in a version. In a draft it may be declared only, without bytes;
// what is released is complete.
type File struct {
	Provider     Provider
	Architecture Architecture
	Default      bool            // the architecture that clients without architectures get; one per provider and version
	Digest       blob.Digest     // of the bytes that are stored here; empty when they are elsewhere or not here yet
	URL          string          // where the bytes are, when somebody else keeps them; empty for ours
	Declared     Checksum        // what the maker says that the bytes have; uploads are held to it
	Created      time.Time       // when the file was declared or published, whichever came first
	Size         int64           // of the .box file, bytes
	UnpackedSize int64           // of its entries together, bytes; 0 when not known
	VirtualSize  int64           // of the guest's disks together, bytes; 0 when not known
	Firmware     string          // "bios" or "uefi"; empty when not known
	Provenance   json.RawMessage // what it was built from; null when it was not built here
	Published    time.Time       // when the bytes came; zero while there are none
	Smoke        Smoke
}

// Complete reports whether the file can be downloaded, from here or from elsewhere.
func (f File) Complete() bool { return f.Digest != "" || f.URL != "" }

// Checksum is how a maker announces bytes: the algorithm in Vagrant's lower-case words and hexadecimal digits. The zero
// value says nothing.
type Checksum struct {
	Type string // md5, sha1, sha256, sha384 or sha512
	Hex  string // lower case
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
	Private            bool   // of a new box; ignored when the box exists
	// Over, with Replace, is the only file that may be replaced; empty for any.
	Over blob.Digest
	// DeclaredAs is the architecture under which the file was declared, when the bytes turned out to be for another one:
	// the declaration becomes the file. Empty when it is the same.
	DeclaredAs Architecture
}

// Upload is the door that stands open for the bytes of one file.
type Upload struct {
	// Key is what the client has to know: of a resumable upload its id, of others the SHA-256 of their secret.
	Key       string
	Resumable bool
	// Publication is what becomes of the bytes. File.Digest and File.Size are those announced; empty and 0 when nothing was.
	Publication
	Received int64       // bytes that have come and are on the disk, of a resumable upload
	Hash     []byte      // state of the SHA-256 of those
	Came     blob.Digest // what was published at the end; empty before
	By       string      // who began it: the name of the token
	ByUser   string      // and of its user
	Created  time.Time
	Expires  time.Time
}

// Summary is one line in a list of boxes.
type Summary struct {
	Name             Name
	ShortDescription string
	Private          bool
	Newest           Version        // highest version of the stable channel; zero when there is none
	Providers        []Provider     // of the newest version, sorted
	Architectures    []Architecture // of the newest version, sorted
	Size             int64          // of the newest version's files together, bytes
	Stored           int64          // of all files of all versions that are stored here, bytes; the same bytes in two of them count twice
	Downloads        int64
	Created          time.Time
	Updated          time.Time
}

// Download is how often a client fetched a whole file.
type Download struct {
	Box          Name
	Version      Version
	Provider     Provider
	Architecture Architecture
	Client       string // name of a user or token, or an address
	Count        int64
	At           time.Time // of the last one
}

// Resolved is the file that a name, a requirement, a provider and an architecture lead to.
type Resolved struct {
	Box     Name
	Version Version
	File    File
}

// ListQuery chooses boxes for a page or a search. Zero fields leave nothing out.
type ListQuery struct {
	Search       string // a part of "org/box" or of the short description, in any case
	Org          string
	Provider     Provider     // the newest version has a file for it
	Architecture Architecture // likewise
	// Seen says which private boxes are listed.
	Seen Sight
	// ReleasedOnly leaves out boxes without a version in the stable channel.
	ReleasedOnly bool
	Sort         Sort
	Limit        int // how many at most
	Offset       int // how many to pass over
}

// Sight says whose private boxes somebody sees. The zero value sees public boxes alone.
type Sight struct {
	All  bool     // every box
	Orgs []string // besides the public ones, those of these organisations, in lower case
}

// Sort is the order of a list of boxes.
type Sort string

// The orders. Each but ByName begins with the largest.
const (
	ByName      Sort = "" // organisation and box, alphabetical
	ByUpdated   Sort = "updated"
	ByCreated   Sort = "created"
	ByDownloads Sort = "downloads"
	BySize      Sort = "size" // Summary.Stored
)

// Visible is the versions that clients see who ask for nothing else, highest first: those of the stable channel.
func (b Box) Visible() []Release { return b.VisibleIn(Stable) }

// VisibleIn is the versions that clients of a channel see, highest first: its own and those of the stable one.
func (b Box) VisibleIn(c Channel) []Release {
	var out []Release
	for _, r := range b.Releases {
		if r.Open() && (slices.Contains(r.Channels, c) || slices.Contains(r.Channels, Stable)) {
			out = append(out, r)
		}
	}
	return out
}

// Open reports whether clients may use the version: it is released, not deleted, and has a file.
func (r Release) Open() bool {
	return r.State == Released && r.Deleted.IsZero() && slices.ContainsFunc(r.Files, File.Complete)
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
//
// A file that somebody else keeps has no digest in its path: what is there is not in our hands.
func (f File) Path(n Name, v Version) string {
	dir := "/" + n.Org() + "/boxes/" + n.Box() + "/versions/" + v.String() + "/providers/" + string(f.Provider) + "/" + string(f.Architecture)
	if f.Digest == "" {
		return dir + "/vagrant.box"
	}
	return dir + "/" + f.Digest.Short() + "/vagrant.box"
}
