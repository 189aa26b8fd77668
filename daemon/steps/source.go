package steps

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/iso"
)

// downloadOf is a plan's exported machine as a medium.
func downloadOf(p *build.Plan) iso.Source {
	m := p.Machine
	s := iso.Source{URLs: []string{m.Source}, Checksum: m.SourceChecksum, TargetPath: m.SourceTarget, Cwd: p.Cwd,
		TargetExtension: extension(m.Source)}
	if s.Checksum == "" {
		s.Checksum = "none"
	}
	return s
}

// extension is what a download keeps, because its reader goes by it.
func extension(url string) string {
	if ext := filepath.Ext(url); len(ext) > 1 {
		return ext[1:]
	}
	return ""
}

// fetchSource has the exported machine to start from on this host: downloaded, in its place on this machine, or put together
// from the files that the client sent.
func (t *Set) fetchSource(ctx context.Context, s *build.Session) error {
	p := s.Plan
	if p.Machine.Source == "" {
		return nil
	}
	s.Log.Say("Retrieving %s", filepath.Base(p.Machine.Source))
	source := downloadOf(p)
	if len(p.SourceFiles) > 0 {
		path, err := t.localSource(ctx, s)
		if err != nil {
			return fmt.Errorf("the machine to start from: %w", err)
		}
		source.URLs, source.TargetPath = []string{path}, ""
	}
	file, err := t.Media.Fetch(ctx, source, func(st iso.Status) { reportMedia(s.Log, st) })
	if err != nil {
		return err
	}
	s.Source = file
	return nil
}

// localSource returns the path on this host of the first of the source's files, with the others beside it.
func (t *Set) localSource(ctx context.Context, s *build.Session) (string, error) {
	dir := filepath.Join(s.Dirs.Scratch, "source")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	first := ""
	for _, name := range s.Plan.SourceFiles {
		in, err := inputAt(s.Plan, name)
		if err != nil {
			return "", err
		}
		path := in.Path
		if in.InPlace {
			err = t.unchanged(ctx, s, in)
		} else {
			path = filepath.Join(dir, filepath.Base(filepath.FromSlash(in.Path)))
			err = copyInput(ctx, s, path, in)
		}
		if err != nil {
			return "", err
		}
		if first == "" {
			first = path
		}
	}
	return first, nil
}

func inputAt(p *build.Plan, name string) (build.Input, error) {
	for _, in := range p.Inputs {
		if in.Path == name {
			return in, nil
		}
	}
	return build.Input{}, fmt.Errorf("%q was not sent", name)
}

// unchanged compares a file that is read in place with what the client saw. The cache remembers what it has verified.
func (t *Set) unchanged(ctx context.Context, s *build.Session, in build.Input) error {
	_, err := t.Media.Fetch(ctx, iso.Source{URLs: []string{in.Path}, Checksum: "sha256:" + in.Digest},
		func(st iso.Status) { reportMedia(s.Log, st) })
	return err
}

// copyInput puts a file that was sent under a name that its descriptor knows.
func copyInput(ctx context.Context, s *build.Session, dst string, in build.Input) error {
	src, err := s.Files.Open(in.Path)
	if err != nil {
		return err
	}
	defer src.Close()
	out, err := os.OpenFile(dst, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	stop := context.AfterFunc(ctx, func() { out.Close() }) // ends the copy
	defer stop()
	if _, err := io.Copy(out, src); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return err
	}
	return out.Close()
}

// fetchForDriver has on this host what the driver needs to make the machine.
func (t *Set) fetchForDriver(ctx context.Context, s *build.Session) error {
	s.Fetched = map[string]string{}
	for name, path := range s.Plan.Machine.Reads {
		s.Fetched[name] = filepath.Join(s.Dirs.Scratch, name)
		if err := copyInput(ctx, s, s.Fetched[name], build.Input{Path: path}); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	fetcher, ok := s.Driver.(hypervisor.Fetcher)
	if !ok {
		return nil
	}
	wanted, err := fetcher.Fetches(ctx, s.Plan.Machine)
	if err != nil {
		return build.OurFault(err)
	}
	for _, f := range wanted {
		s.Log.Say("Retrieving %s", f.Name)
		file, err := t.Media.Fetch(ctx, iso.Source{URLs: []string{f.URL}, Checksum: f.Checksum, Cwd: s.Plan.Cwd},
			func(st iso.Status) { reportMedia(s.Log, st) })
		if err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
		s.Fetched[f.Name] = file.Path
	}
	return nil
}
