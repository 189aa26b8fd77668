package post

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/disk"
)

// ArtificeArgs are the arguments of the artifice post-processor. Source: packer post-processor/artifice.
type ArtificeArgs struct {
	Files []string `json:"files" doc:"The files that are the artifact from here on." arg:"required,late" guest:"no"`
}

type artifice struct {
	args ArtificeArgs
	env  build.PostEnv
}

// NewArtifice makes the post-processor that takes other files for the artifact: those that a provisioner brought out of
// the guest, for example.
func NewArtifice(args json.RawMessage, env build.PostEnv) (build.PostProcessor, error) {
	a, err := decode[ArtificeArgs](args)
	if err != nil {
		return nil, err
	}
	return &artifice{args: a, env: env}, nil
}

// CheckArtifice finds mistakes in the arguments.
func CheckArtifice(args json.RawMessage) error {
	a, err := decode[ArtificeArgs](args)
	if err == nil && len(a.Files) == 0 {
		err = errors.New("files: name at least one file")
	}
	return err
}

// KeepsInput implements build.KeepsInput.
func (*artifice) KeepsInput() (keep, force bool) { return true, false }

// Process replaces the artifact's files.
func (p *artifice) Process(_ context.Context, a hypervisor.Artifact) (hypervisor.Artifact, error) {
	var files []hypervisor.File
	var errs []error
	for _, text := range p.args.Files {
		name, err := p.env.Render(text, nil)
		if err == nil {
			var f hypervisor.File
			f, err = describe(local(p.env, name))
			if f.Path != name {
				f.Dest = name
			}
			files = append(files, f)
		}
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return a, err
	}
	a.Files, a.IDs = files, nil
	return a, nil
}

// describe guesses what a file is; the user says so by its name and content.
func describe(path string) (hypervisor.File, error) {
	st, err := os.Stat(path)
	if err != nil {
		return hypervisor.File{}, err
	}
	if !st.Mode().IsRegular() {
		return hypervisor.File{}, fmt.Errorf("%q is not a regular file", path)
	}
	f := hypervisor.File{Path: path, Role: hypervisor.RoleOther, Size: st.Size()}
	format, err := disk.DetectFormat(path)
	if err != nil {
		return f, err
	}
	switch ext := strings.ToLower(filepath.Ext(path)); {
	case ext == ".box":
		f.Role = hypervisor.RoleBox
	case format != disk.Raw, ext == ".raw", ext == ".img":
		f.Role, f.Format = hypervisor.RoleDisk, format
	}
	return f, nil
}
