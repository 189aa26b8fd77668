package steps

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/iso"
	"github.com/boxkiln/boxkiln/iso/floppy"
	"github.com/boxkiln/boxkiln/iso/volume"
)

// prepare finds what would make the build fail at its end, before a machine exists: outputs in the way, a version that
// cannot be published.
func (t *Set) prepare(ctx context.Context, s *build.Session) error {
	if err := t.checkPublication(ctx, s.Plan); err != nil {
		return err
	}
	if s.Plan.Machine.Remote {
		return nil
	}
	dir, err := s.Outputs.Place(s.Plan.OutputDirectory())
	if err != nil {
		return fmt.Errorf("the output directory: %w", err)
	}
	_, err = os.Lstat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("the output directory: %w", err)
	case !s.Plan.Options.Force:
		return fmt.Errorf("the output directory %q exists already: remove it, name another output_directory or build with -force", s.Plan.OutputDirectory())
	}
	s.Log.Say("Deleting previous output directory...")
	return os.RemoveAll(dir)
}

// fetchMedia has what the machine starts from on this host and verified: the medium, the exported machine, the driver's own
// needs.
func (t *Set) fetchMedia(ctx context.Context, s *build.Session) error {
	if err := t.fetchMedium(ctx, s); err != nil {
		return err
	}
	if err := t.fetchSource(ctx, s); err != nil {
		return err
	}
	return t.fetchForDriver(ctx, s)
}

// fetchMedium has the installation medium, or the disk image to start from.
func (t *Set) fetchMedium(ctx context.Context, s *build.Session) error {
	media := s.Plan.Media
	if media.ISOURL == "" && len(media.ISOURLs) == 0 {
		return nil
	}
	if strings.HasPrefix(media.ISOURL, iso.BoxScheme) {
		return t.fetchBox(ctx, s)
	}
	s.Log.Say("Retrieving ISO")
	file, err := t.Media.Fetch(ctx, media.Source(s.Plan.Cwd), func(st iso.Status) { reportMedia(s.Log, st) })
	if err != nil {
		return err
	}
	if file.Cached {
		s.Log.Message("%s is here already and verified", file.URL)
	} else {
		s.Log.Message("%s => %s", file.URL, file.Path)
	}
	s.Media = file
	s.Log.Mark(build.MarkMedia, filepath.Base(file.Path))
	return nil
}

func reportMedia(log build.Log, st iso.Status) {
	switch st.Phase {
	case iso.PhaseWait:
		log.Message("Another build is downloading %s; waiting for it", st.URL)
	case iso.PhaseRetry:
		log.Message("%v; trying again", st.Err)
	case iso.PhaseDownload:
		log.Progress("Downloading "+filepath.Base(st.URL), st.Done, st.Total)
	case iso.PhaseVerify:
		log.Progress("Verifying "+filepath.Base(st.URL), st.Done, st.Total)
	}
}

// seedCD is where an attempt keeps its seed CD, before it is made, too; empty if there is none.
func seedCD(s *build.Session) string {
	if s.Plan.CD.Empty() {
		return ""
	}
	return filepath.Join(s.Dirs.Machine, "seed.iso")
}

// seedFloppy is seedCD for the floppy.
func seedFloppy(s *build.Session) string {
	if s.Plan.Floppy.Empty() {
		return ""
	}
	return filepath.Join(s.Dirs.Machine, "seed.flp")
}

// makeMedia writes the seed CD and the floppy.
func (t *Set) makeMedia(ctx context.Context, s *build.Session) error {
	files, ok := s.Files.(iso.Files)
	if !ok {
		return fmt.Errorf("these inputs cannot be listed")
	}
	if cd := s.Plan.CD; !cd.Empty() {
		s.Log.Say("Creating CD disk...")
		entries, err := iso.CDEntries(files, cd)
		if err != nil {
			return err
		}
		if err := volume.Create(ctx, seedCD(s), entries, volume.Options{Label: cd.Label, Time: t.Now()}); err != nil {
			return err
		}
	}
	if fl := s.Plan.Floppy; !fl.Empty() {
		s.Log.Say("Creating floppy disk...")
		entries, err := iso.FloppyEntries(files, fl)
		if err != nil {
			return err
		}
		return floppy.Create(ctx, seedFloppy(s), entries, floppy.Options{Label: fl.Label, Time: t.Now()})
	}
	return nil
}
