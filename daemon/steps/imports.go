package steps

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/hypervisor"
)

// importImage has a driver make an image of the request's disks, after the ledger knows of it. The image is the user's when the build
// has succeeded; until then it goes with the rest. what says what wants it, and is part of the image's handle: for a step that is
// tried again it is the same, so that the driver goes on.
func (t *Set) importImage(ctx context.Context, s *build.Session, driver, what string, r hypervisor.ImportRequest) (hypervisor.Artifact, error) {
	importer, ok := t.Drivers[driver].(hypervisor.Importer)
	if !ok {
		return hypervisor.Artifact{}, fmt.Errorf("this daemon has no driver %q that imports images", driver)
	}
	name := fmt.Sprintf("boxkiln-%s-%d-%s", s.Build, s.Attempt, what)
	r.ImportHandle = hypervisor.ImportHandle{Driver: driver, Name: name, Tag: s.Tag, Args: r.Args}
	row, err := intend(ctx, s, build.KindImport, name, r.ImportHandle)
	if err != nil {
		return hypervisor.Artifact{}, err
	}
	out := s.Log.Writer()
	defer out.Close()
	r.Log, r.Progress, r.Journal = out, s.Log.Progress, filepath.Join(s.Dirs.Scratch, what+".journal")
	a, err := importer.Import(ctx, r)
	if err == nil {
		s.HandOver(row)
	}
	return a, err
}

// importsImage tells whether a post-processor of a plan has a driver make an image of the machine's disks.
func (t *Set) importsImage(p *build.Plan) bool {
	for _, chain := range p.Post {
		for _, pp := range chain {
			if t.Parts.PostProcessors[pp.Type].Import != nil {
				return true
			}
		}
	}
	return false
}

// imageTitle is what an image is called to which the template gives no name: the machine and the version that is published, or else
// the build, so that no two have the same.
func imageTitle(s *build.Session) string {
	if v := s.Plan.Publish.Version; s.Plan.Publish.Box != "" && v != "" {
		return s.Plan.PackageName() + "-" + v
	}
	return s.Plan.PackageName() + "-" + string(s.Build)
}
