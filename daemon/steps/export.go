package steps

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/internal/fsx"
)

// export writes the machine's disks to the output directory; a machine in a cloud becomes images there.
func (t *Set) export(ctx context.Context, s *build.Session) error {
	dir, err := exportDir(s)
	if err != nil {
		return fmt.Errorf("the output directory: %w", err)
	}
	if err := t.intendImage(ctx, s); err != nil {
		return err
	}
	out := s.Log.Writer()
	defer out.Close()
	a, err := s.Machine.Export(ctx, dir, hypervisor.ExportOptions{
		Format: s.Plan.Output.Format, Compress: s.Plan.Output.DiskCompression, SkipCompaction: s.Plan.Output.SkipCompaction,
		Volatile: true, Name: s.Plan.DefaultName(), Log: out,
		Progress: func(done, total int64) { s.Log.Progress("Exporting", done, total) },
	})
	if err != nil {
		return build.OurFault(err)
	}
	a.Builder, a.Driver = s.Plan.Builder, s.Plan.Driver
	s.Made = a
	return nil
}

// intendImage writes down that the machine is about to become images in a cloud. They are the user's when the build succeeds, and
// removed when it does not.
func (t *Set) intendImage(ctx context.Context, s *build.Session) error {
	if _, ok := s.Driver.(hypervisor.Imager); !ok || !s.Plan.Machine.Remote {
		return nil
	}
	spec := t.spec(s)
	row, err := intend(ctx, s, build.KindImage, spec.Name, handleOf(s, spec))
	if err != nil {
		return err
	}
	s.HandOver(row)
	return nil
}

// exportDir is the output directory; nothing in a cloud has one.
func exportDir(s *build.Session) (string, error) {
	if s.Plan.Machine.Remote {
		s.Log.Say("Making an image of the machine...")
		return "", nil
	}
	dir, err := s.Outputs.Place(s.Plan.OutputDirectory())
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err == nil {
		s.Log.Say("Exporting the disks...")
	}
	return dir, err
}

// postProcess runs the chains of post-processors. Each begins with the machine's own artifact; files that nobody keeps are
// removed, as Packer does. What lies in a cloud stays: boxes and lists name it.
func (t *Set) postProcess(ctx context.Context, s *build.Session) error {
	keepMade := len(s.Plan.Post) == 0 && len(s.Plan.Packages.Package) == 0
	s.Results, s.IDs = nil, nil
	addIDs(s, s.Made.IDs)
	for _, chain := range s.Plan.Post {
		keep, err := t.chain(ctx, s, chain)
		if err != nil {
			return err
		}
		keepMade = keepMade || keep
	}
	if keepMade {
		s.Results = addResults(s.Results, s.Made.Files)
		tellMade(s)
	}
	s.KeepMade = keepMade
	return syncMade(s)
}

// tellMade adds the machine's own files to the summary of the build.
func tellMade(s *build.Session) {
	if !s.Plan.Machine.Remote {
		s.Log.Artifact(fmt.Sprintf("VM files in directory: %s", s.Plan.OutputDirectory()))
	}
}

// addIDs adds things in a cloud that are not known yet to what stays, and to the summary.
func addIDs(s *build.Session, ids []hypervisor.RemoteID) {
	fresh := slices.DeleteFunc(slices.Clone(ids), func(id hypervisor.RemoteID) bool { return slices.Contains(s.IDs, id) })
	if len(fresh) > 0 {
		s.IDs = append(s.IDs, fresh...)
		s.Log.Images(fresh)
	}
}

// syncMade makes those of the machine's files durable that are results. Most builds keep a box instead, and never have hundreds
// of megabytes written to the disk that are read once and removed.
func syncMade(s *build.Session) error {
	for _, f := range s.Made.Files {
		if !slices.ContainsFunc(s.Results, func(r hypervisor.File) bool { return r.Path == f.Path }) {
			continue
		}
		if err := fsx.Sync(f.Path); err != nil {
			return build.OurFault(err)
		}
	}
	return nil
}

// addResults adds the files that are not in the list yet: chains can begin with the same artifact.
func addResults(list, more []hypervisor.File) []hypervisor.File {
	for _, f := range more {
		if !slices.ContainsFunc(list, func(g hypervisor.File) bool { return g.Path == f.Path }) {
			list = append(list, f)
		}
	}
	return list
}

// chain runs one chain and tells whether its first post-processor keeps the machine's artifact.
func (t *Set) chain(ctx context.Context, s *build.Session, chain []build.PostPlan) (keepMade bool, err error) {
	a := s.Made
	for i, p := range chain {
		next, keep, err := t.process(ctx, s, p, a)
		if err != nil {
			return false, fmt.Errorf("post-processor %s: %w", p.Type, err)
		}
		addIDs(s, next.IDs)
		switch {
		case i == 0:
			keepMade = keep
		case keep:
			s.Results = addResults(s.Results, a.Files)
		default:
			if err := removeReplaced(a, next); err != nil {
				return false, err
			}
		}
		a = next
	}
	for i := range a.Files {
		if a.Files[i].Role == hypervisor.RoleBox {
			s.Box = &a.Files[i]
		}
	}
	s.Results = addResults(s.Results, a.Files)
	return keepMade, nil
}

func (t *Set) process(ctx context.Context, s *build.Session, p build.PostPlan, a hypervisor.Artifact) (out hypervisor.Artifact, keep bool, err error) {
	kind, ok := t.Parts.PostProcessors[p.Type]
	if !ok || kind.New == nil {
		return a, false, errors.New("it is not built yet")
	}
	s.Log.Say("Running post-processor: %s", postName(p))
	lines := s.Log.Writer()
	defer lines.Close()
	pp, err := kind.New(p.Args, build.PostEnv{
		Outputs: s.Outputs, Files: s.Files, Vars: t.vars(s), Machine: s.Plan.Machine, Cwd: s.Plan.Cwd, TemplateDir: s.Plan.TemplateDir,
		Render: t.renderer(s), Scratch: s.Dirs.Scratch, Out: lines, Progress: s.Log.Progress, Packaging: s.Packaging, Title: imageTitle(s),
		Import: func(ctx context.Context, driver, what string, r hypervisor.ImportRequest) (hypervisor.Artifact, error) {
			return t.importImage(ctx, s, driver, what, r)
		},
	})
	if err != nil {
		return a, false, err
	}
	if out, err = pp.Process(ctx, a); err != nil {
		return a, false, err
	}
	keep = false
	forced := false
	if k, ok := pp.(build.KeepsInput); ok {
		keep, forced = k.KeepsInput()
	}
	if p.KeepInputArtifact != nil && !forced {
		keep = *p.KeepInputArtifact
	}
	if text := summary(p.Type, out, a); text != "" {
		s.Log.Artifact(text)
	}
	return out, keep, nil
}

func postName(p build.PostPlan) string {
	if p.Name != "" {
		return fmt.Sprintf("%s (type %s)", p.Name, p.Type)
	}
	return p.Type
}

// summary is the line that Packer prints at the end about an artifact that a post-processor made.
func summary(typ string, made, from hypervisor.Artifact) string {
	for _, f := range made.Files {
		if f.Role == hypervisor.RoleBox {
			return fmt.Sprintf("'%s' provider box: %s", providerOf(f, made.Driver), f.Name())
		}
	}
	if len(made.Files) > len(from.Files) || (typ == "compress" && len(made.Files) > 0) {
		return fmt.Sprintf("%s: %s", typ, made.Files[len(made.Files)-1].Name())
	}
	return ""
}

// providerOf is the provider of a box that a build made; one that a command of the template made does not say it.
func providerOf(box hypervisor.File, driver string) string {
	return cmp.Or(box.Format, vagrantProvider(driver))
}

func vagrantProvider(driver string) string {
	if driver == "vmware" {
		return "vmware_desktop"
	}
	return driver
}

// removeReplaced removes the files of an artifact that its successor does not contain.
func removeReplaced(old, next hypervisor.Artifact) error {
	stay := map[string]bool{}
	for _, f := range next.Files {
		stay[f.Path] = true
	}
	var errs error
	for _, f := range old.Files {
		if !stay[f.Path] {
			errs = errors.Join(errs, os.RemoveAll(f.Path))
		}
	}
	return errs
}
