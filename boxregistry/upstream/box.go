package upstream

import (
	"fmt"

	"github.com/boxkiln/boxkiln/boxregistry"
)

// Offer is what a place has.
type Offer struct {
	Boxes   []Box
	Skipped []Skipped // what cannot be had from there, and why
}

// skip notes that something was passed over.
func (o *Offer) skip(what string, why error) { o.Skipped = append(o.Skipped, Skipped{what, why}) }

// Skipped is something that was passed over.
type Skipped struct {
	What string // "org/box 1.0 libvirt/amd64", or as much of it as is known
	Why  error
}

// String is one line for a summary.
func (s Skipped) String() string { return fmt.Sprintf("%s: %v", s.What, s.Why) }

// Box is a box as somebody else offers it.
type Box struct {
	// Name is as it is written there: "org/box", or any other text from servers that have no organisations; empty when
	// the place does not say.
	Name             string
	ShortDescription string
	Description      string // Markdown
	Private          bool
	Versions         []Version // highest first
}

// Version is one released version of a box that is elsewhere. No two of a box are equal.
type Version struct {
	Number      boxregistry.Version
	Description string // Markdown
	Files       []File
}

// File is the box file of one provider and architecture that is elsewhere.
type File struct {
	Provider boxregistry.Provider // empty when only the box itself tells
	// Architecture is empty when the place does not say; then metadata.json in the box may.
	Architecture boxregistry.Architecture
	Default      bool
	Checksum     boxregistry.Checksum // zero when none is announced
	Size         int64                // bytes; 0 when not announced
	Origin       Origin
}

// String is "libvirt/amd64", for messages.
func (f File) String() string {
	provider, arch := f.Provider, f.Architecture
	if provider == "" {
		provider = "any provider"
	}
	if arch == "" {
		return string(provider)
	}
	return string(provider) + "/" + string(arch)
}

// Kind says how the bytes of a file are had.
type Kind string

const (
	// AtURL is a URL that answers with the bytes.
	AtURL Kind = "download"
	// AtHCP is a URL of HCP's API that answers with another URL, which is good for a minute.
	AtHCP Kind = "hcp"
	// AtFile is a path on this machine.
	AtFile Kind = "file"
	// InFolder is a folder on this machine with the contents of a box, as Vagrant keeps it once it is added.
	InFolder Kind = "unpacked"
)

// Origin is where the bytes of a file are.
type Origin struct {
	Kind Kind
	At   string // a URL or a path
	// Access is the credential for a URL.
	Access Access
}

// Local reports whether the bytes are on this machine.
func (o Origin) Local() bool { return o.Kind == AtFile || o.Kind == InFolder }
