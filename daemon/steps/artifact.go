package steps

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/checkpoint"
	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/internal/fsx"
)

// keepArtifact puts copies of everything that the build made under the artifact's fingerprint.
func (k *kept) keepArtifact(ctx context.Context, s *build.Session) error {
	i := len(k.stages) - 1
	k.ran = append(k.ran[:min(i, len(k.ran))], build.Stamp(k.set.Now()))
	draft, err := k.set.Checkpoints.Draft(ctx, s.Build, "")
	if err != nil {
		k.stop(s, "%v", err)
		return nil
	}
	a, err := copyArtifact(ctx, s, draft.Dir)
	if err != nil {
		err = errors.Join(err, draft.Close(context.WithoutCancel(ctx)))
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		k.stop(s, "%s: %v", build.StageArtifact, err)
		return nil
	}
	if err := errors.Join(keepPackages(s, draft.Dir), keepPackaging(s, draft.Dir)); err != nil {
		s.Log.Message("what is known of the guest is not kept with the artifact: %v", err)
	}
	k.commit(ctx, s, draft, k.meta(s, i, checkpoint.KindArtifact, func(m *checkpoint.Meta) {
		m.Artifact, m.KeepMade = &a, s.KeepMade
	}))
	return nil
}

// artifactWanted tells whether the artifact is to be kept. What came out of a machine that somebody reached into is not what
// the plan makes.
func (k *kept) artifactWanted(s *build.Session) bool {
	i := len(k.stages) - 1
	return i >= 0 && !k.artifact() && k.stages[i].Never == "" && (len(s.Results) > 0 || len(s.IDs) > 0) &&
		s.Touched() == "" && keepsIDs(s)
}

// keepsIDs tells whether somebody can say later that what the build made in a cloud is still there.
func keepsIDs(s *build.Session) bool {
	_, ok := s.Driver.(hypervisor.Keeper)
	return ok || len(s.IDs) == 0
}

// gone says why the things in a cloud that an artifact names cannot be taken for those of this build; nothing if they can.
func (k *kept) gone(ctx context.Context, s *build.Session, a *hypervisor.Artifact) string {
	if a == nil || len(a.IDs) == 0 {
		return ""
	}
	keeper, ok := s.Driver.(hypervisor.Keeper)
	if !ok {
		return fmt.Sprintf("driver %s cannot tell whether %s is still there", s.Driver.Name(), hypervisor.JoinIDs(a.IDs))
	}
	if err := keeper.Remains(ctx, k.set.spec(s), a.IDs); err != nil {
		return err.Error()
	}
	return ""
}

// copyArtifact copies the results of a build to dir, under numbers.
func copyArtifact(ctx context.Context, s *build.Session, dir string) (hypervisor.Artifact, error) {
	a := s.Made
	a.Files, a.IDs = nil, s.IDs
	for i, f := range s.Results {
		dest, err := destOf(s, f)
		if err != nil {
			return a, err
		}
		name := strconv.Itoa(i)
		if err := copyFile(ctx, filepath.Join(dir, name), f.Path, 0o600); err != nil {
			return a, err
		}
		f.Path, f.Dest = name, dest
		a.Files = append(a.Files, f)
	}
	return a, nil
}

// destOf is where the template wants a file. The machine's own files lie in the output directory under their names; others
// without a Dest are where the template wants them by an absolute path.
func destOf(s *build.Session, f hypervisor.File) (string, error) {
	if f.Dest != "" {
		return f.Dest, nil
	}
	dir, err := s.Outputs.Place(s.Plan.OutputDirectory())
	if err != nil {
		return "", err
	}
	rel, err := filepath.Rel(dir, f.Path)
	if err != nil || !filepath.IsLocal(rel) {
		return f.Path, nil
	}
	return filepath.Join(s.Plan.OutputDirectory(), rel), nil
}

// copyFile copies a file with its holes: raw images consist of little else. On one file system that can, no bytes move.
func copyFile(ctx context.Context, dst, src string, mode os.FileMode) error {
	in, err := os.Open(src)
	if err != nil {
		return err
	}
	defer in.Close()
	st, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(dst, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { in.Close() }) // ends the copy
	err = copyExtents(out, in, st.Size())
	if !stop() {
		err = context.Cause(ctx)
	}
	return errors.Join(err, out.Close())
}

// copyExtents copies what is between the holes; the last one is made by the length of the file.
func copyExtents(out, in *os.File, size int64) error {
	err := fsx.EachExtent(in, size, func(e fsx.Extent) error {
		if e.Hole {
			return nil
		}
		_, inErr := in.Seek(e.Start, io.SeekStart)
		_, outErr := out.Seek(e.Start, io.SeekStart)
		if err := errors.Join(inErr, outErr); err != nil {
			return err
		}
		_, err := io.CopyN(out, in, e.End-e.Start)
		return err
	})
	return errors.Join(err, out.Truncate(size))
}

// restoreArtifact puts the kept artifact where the template wants it: nothing changed, so nothing is run.
func (k *kept) restoreArtifact(ctx context.Context, s *build.Session) error {
	e := k.from.Entry
	s.Log.Say("Nothing changed: taking the artifact of build %s, %s", e.Build, k.age)
	s.Made, s.KeepMade, s.MadeBy = *e.Artifact, e.KeepMade, e.Build
	s.Made.Files = nil
	addIDs(s, e.Artifact.IDs)
	var err error
	if s.Packages, err = keptPackages(k.from.Dir); err != nil {
		return fmt.Errorf("restore the list of packages: %w", err)
	}
	if s.Packaging, err = keptPackaging(k.from.Dir); err != nil {
		return fmt.Errorf("restore what is known of the packages: %w", err)
	}
	tellWarnings(s)
	for _, f := range e.Artifact.Files {
		dst, err := s.Outputs.Place(f.Dest)
		if err != nil {
			return err
		}
		if err := copyFile(ctx, dst, filepath.Join(k.from.Dir, f.Path), 0o644); err != nil {
			return fmt.Errorf("restore %s: %w", f.Dest, err)
		}
		f.Path = dst
		if f.Package != "" {
			addPackage(s, f)
			continue
		}
		switch f.Role {
		case hypervisor.RoleBox:
			s.Box = &f
			s.Log.Artifact(fmt.Sprintf("'%s' provider box: %s", providerOf(f, s.Made.Driver), f.Name()))
		case hypervisor.RoleDisk, hypervisor.RoleNVRAM, hypervisor.RoleDescriptor, hypervisor.RoleManifest, hypervisor.RoleAppliance:
			s.Made.Files = append(s.Made.Files, f)
		}
		s.Results = append(s.Results, f)
	}
	tellPackages(s)
	if s.KeepMade {
		tellMade(s)
	}
	return nil
}
