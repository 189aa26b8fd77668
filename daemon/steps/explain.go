package steps

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/boxkiln/boxkiln/boxregistry/boxfile"
	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/checkpoint"
	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/iso"
)

// Explain tells which stages of a plan a build under the driver would run now, and why the first of them is not taken from
// the checkpoints. It makes and downloads nothing.
func (t *Set) Explain(ctx context.Context, p *build.Plan, driver hypervisor.Driver) ([]build.StageStatus, error) {
	medium, err := t.mediumDigest(ctx, p)
	if err != nil {
		return nil, err
	}
	source, err := t.sourceDigest(ctx, p)
	if err != nil {
		return nil, err
	}
	stages, err := p.Stages(t.Parts, build.StageOptions{Media: medium, Source: source, SecretKey: t.SecretKey, DefaultMaxAge: t.MaxAge})
	if err != nil {
		return nil, fmt.Errorf("compute the fingerprints: %w", err)
	}
	s := &build.Session{Plan: p, Driver: driver}
	s.Dirs.Machine = filepath.Join(t.MediaDir, "nowhere") // of a machine that is not made
	if p.Media.ISOURL != "" || len(p.Media.ISOURLs) > 0 {
		s.Media.Path = filepath.Join(s.Dirs.Machine, "medium") // the machine has a drive for it
	}
	return build.Explain(ctx, p, stages, shelf{&kept{set: t, stages: stages}, s}, t.Now())
}

// mediumDigest is the digest of a plan's medium as far as it is known without a download, empty if it is not.
func (t *Set) mediumDigest(ctx context.Context, p *build.Plan) (string, error) {
	switch m := p.Media; {
	case m.ISOURL == "" && len(m.ISOURLs) == 0:
		return "", nil
	case strings.HasPrefix(m.ISOURL, iso.BoxScheme):
		u, err := parseBoxURL(m.ISOURL, p.Machine.Arch)
		if err != nil {
			return "", err
		}
		found, err := t.Registry.Resolve(ctx, u.name, u.version, boxfile.Libvirt, u.arch)
		if err != nil {
			return "", fmt.Errorf("iso_url %q: %w", m.ISOURL, err)
		}
		return boxMedium(found.File.Digest, "", m.ISOURL).Fingerprint(), nil
	}
	digest, known, err := t.Media.Digest(ctx, p.Media.Source(p.Cwd))
	if err != nil || !known {
		return "", err
	}
	return iso.File{Digest: digest}.Fingerprint(), nil
}

// sourceDigest is mediumDigest for an exported machine that is downloaded.
func (t *Set) sourceDigest(ctx context.Context, p *build.Plan) (string, error) {
	if p.Machine.Source == "" || len(p.SourceFiles) > 0 {
		return "", nil
	}
	digest, known, err := t.Media.Digest(ctx, downloadOf(p))
	if err != nil || !known {
		return "", err
	}
	return iso.File{Digest: digest}.Fingerprint(), nil
}

// shelf is the checkpoint store as an explanation sees it.
type shelf struct {
	kept    *kept
	session *build.Session // of no attempt
}

// Lookup implements build.KeptStages.
func (h shelf) Lookup(ctx context.Context, fingerprint string) ([]build.Kept, error) {
	if h.kept.set.Checkpoints == nil {
		return nil, nil
	}
	entries, err := h.kept.set.Checkpoints.Lookup(ctx, fingerprint)
	if err != nil {
		return nil, err
	}
	list := make([]build.Kept, len(entries))
	for i, e := range entries {
		list[i] = keptEntry(e)
		if build.TooOld(h.kept.stages, e.Ran, h.kept.set.Now()) == "" { // asking the driver takes a moment
			list[i].Unfit = h.kept.misfit(ctx, h.session, e)
		}
	}
	return list, nil
}

// Nearest implements build.KeptStages.
func (h shelf) Nearest(ctx context.Context, label, template, stage string) (build.Kept, bool, error) {
	if h.kept.set.Checkpoints == nil {
		return build.Kept{}, false, nil
	}
	e, ok, err := h.kept.set.Checkpoints.Nearest(ctx, label, template, stage)
	return keptEntry(e), ok, err
}

func keptEntry(e checkpoint.Entry) build.Kept {
	return build.Kept{Reads: e.Reads, Ran: e.Ran, Created: time.Time(e.Created)}
}
