package build

import (
	"context"
	"encoding/json"
	"io"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/provisioners"
)

// PostProcessor turns an artifact into another one, or looks at it and returns it as it is. What it makes it makes
// through PostEnv.Outputs. The files of its input belong to the engine, which removes them when nobody keeps them.
type PostProcessor interface {
	Process(ctx context.Context, a hypervisor.Artifact) (hypervisor.Artifact, error)
}

// KeepsInput is the ability of a PostProcessor to say what keep_input_artifact is where the template does not: checksum
// and manifest keep it always, compress and vagrant do not.
type KeepsInput interface {
	KeepsInput() (keep, force bool)
}

// Outputs places what a build makes where the template wants it. With a client of the same user on the same machine that
// is the very place; otherwise it is a folder from which the client brings it.
type Outputs interface {
	provisioners.Outputs
	// Place returns the local path under which to write the file or directory dest, after making its parent. dest is as
	// written in the template, absolute or relative to the directory in which the user started the build.
	Place(dest string) (string, error)
}

// PostEnv is what a post-processor gets besides the artifact.
type PostEnv struct {
	Outputs Outputs
	Files   provisioners.Files
	Vars    provisioners.Vars
	// Machine is the machine that the artifact comes from.
	Machine hypervisor.Spec
	// Cwd is the directory in which the user started the build; TemplateDir is the template's.
	Cwd, TemplateDir string
	// Render fills in {{ }} left for run time; data are extra fields such as BuildName, Provider, Architecture, ChecksumType.
	Render func(text string, data map[string]string) (string, error)
	// Import has a driver make an image of disks, of which the ledger knows first. The request needs no handle but its Args; what names
	// the post-processor. It is nil where there are no drivers.
	Import func(ctx context.Context, driver, what string, r hypervisor.ImportRequest) (hypervisor.Artifact, error)
	// Packaging says what is known of the guest, as package pack has it.
	Packaging Packaging
	// Title is what a thing is called to which the template gives no name.
	Title string
	// Scratch is a directory for intermediate files, removed with the build's work disks.
	Scratch string
	// Out takes lines for the build's log.
	Out io.Writer
	// Progress reports bytes done of total under a title, for the live bar.
	Progress func(title string, done, total int64)
}

// PostFactory makes a post-processor from its checked arguments (canonical JSON of its groups).
type PostFactory func(args json.RawMessage, env PostEnv) (PostProcessor, error)
