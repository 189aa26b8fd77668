package upstream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/boxkiln/boxkiln/boxregistry"
)

// Job says what of an offer is wanted, and as what.
type Job struct {
	// As renames: "ORG" puts boxes into that organisation, "ORG/BOX" is the name of the only box; empty keeps names.
	As           string
	Requirement  boxregistry.Requirement
	Provider     boxregistry.Provider     // empty for all
	Architecture boxregistry.Architecture // empty for all; files that do not say theirs come too
	Latest       int                      // how many versions, the highest; 0 for all
	// UnknownAs is the architecture of files of which nobody knows it; empty for "unknown".
	UnknownAs boxregistry.Architecture
	Channel   boxregistry.Channel // into which versions are released; empty for stable
	Private   bool                // of new boxes; a box that is private where it comes from is so in any case
}

// Plan is what an import will do.
type Plan struct {
	Boxes   []PlannedBox
	Skipped []Skipped
}

// PlannedBox is a box of a plan.
type PlannedBox struct {
	Name     boxregistry.Name
	Box      boxregistry.Box // its descriptions and visibility, for when it is new
	New      bool
	Versions []PlannedVersion // highest first
}

// PlannedVersion is a version of a plan.
type PlannedVersion struct {
	Number      boxregistry.Version
	Description string
	Released    bool   // it is here, and complete
	Here        []File // what is here already
	Coming      []File // what is to come
}

// Files is how many files the plan brings, and how large those are together whose size is known, in bytes.
func (p Plan) Files() (files int, size int64) {
	for _, b := range p.Boxes {
		for _, v := range b.Versions {
			files += len(v.Coming)
			for _, f := range v.Coming {
				size += f.Size
			}
		}
	}
	return files, size
}

// Registry is what a plan needs to know of where the boxes go.
type Registry interface {
	// Box returns a box with all its versions, or boxregistry.ErrNotFound.
	Box(ctx context.Context, name boxregistry.Name) (boxregistry.Box, error)
}

// NewPlan chooses what is wanted of an offer and compares it with what is here.
func NewPlan(ctx context.Context, offer Offer, job Job, here Registry) (Plan, error) {
	plan := Plan{Skipped: slices.Clone(offer.Skipped)}
	if strings.Contains(job.As, "/") && len(offer.Boxes) > 1 {
		return plan, fmt.Errorf("--as %s names one box, and there are %d: give an organisation alone", job.As, len(offer.Boxes))
	}
	seen := map[boxregistry.Name]bool{}
	for _, b := range offer.Boxes {
		name, err := job.name(b.Name)
		if err == nil && seen[name] {
			err = fmt.Errorf("%w: two boxes would be called %s", boxregistry.ErrExists, name)
		}
		if err != nil {
			plan.skip(b.Name, err)
			continue
		}
		seen[name] = true
		if err := plan.add(ctx, name, b, job, here); err != nil {
			return plan, err
		}
	}
	return plan, nil
}

func (p *Plan) skip(what string, why error) {
	p.Skipped = append(p.Skipped, Skipped{what, why})
}

// name is what a box is called here.
func (j Job) name(there string) (boxregistry.Name, error) {
	if strings.Contains(j.As, "/") {
		return boxregistry.ParseName(j.As)
	}
	box := there[strings.LastIndex(there, "/")+1:]
	switch {
	case there == "":
		return boxregistry.Name{}, errors.New("it has no name: give one with --as ORG/BOX")
	case j.As != "":
		return boxregistry.ParseName(j.As + "/" + box)
	case !strings.Contains(there, "/"):
		return boxregistry.Name{}, fmt.Errorf("the name %q has no organisation: give one with --as ORG", there)
	}
	return boxregistry.ParseName(there)
}

// add plans one box.
func (p *Plan) add(ctx context.Context, name boxregistry.Name, b Box, job Job, here Registry) error {
	known, err := here.Box(ctx, name)
	isNew := errors.Is(err, boxregistry.ErrNotFound)
	if err != nil && !isNew {
		return err
	}
	planned := PlannedBox{Name: name, New: isNew, Box: boxregistry.Box{Name: name, ShortDescription: b.ShortDescription,
		Description: b.Description, Private: b.Private || job.Private}}
	for _, v := range job.versions(b) {
		one := PlannedVersion{Number: v.Number, Description: v.Description}
		rel, _ := known.Release(v.Number)
		for _, f := range v.Files {
			if job.wants(f) {
				p.file(&one, name, rel, f)
			}
		}
		one.Released = rel.State == boxregistry.Released
		if len(one.Here)+len(one.Coming) > 0 {
			planned.Versions = append(planned.Versions, one)
		}
	}
	if len(planned.Versions) > 0 {
		p.Boxes = append(p.Boxes, planned)
	}
	return nil
}

// versions is what the job wants of a box: those that have a wanted file, of them the highest.
func (j Job) versions(b Box) []Version {
	var out []Version
	for _, v := range b.Versions {
		if j.Latest > 0 && len(out) == j.Latest {
			break
		}
		if j.Requirement.Matches(v.Number) && slices.ContainsFunc(v.Files, j.wants) {
			out = append(out, v)
		}
	}
	return out
}

func (j Job) wants(f File) bool {
	return (j.Provider == "" || f.Provider == "" || f.Provider == j.Provider) &&
		(j.Architecture == "" || f.Architecture == "" || f.Architecture == j.Architecture)
}

// file decides what becomes of one file. rel is the version as it is here, the zero value when it is not.
func (p *Plan) file(v *PlannedVersion, name boxregistry.Name, rel boxregistry.Release, f File) {
	what := fmt.Sprintf("%s %s %s", name, v.Number, f)
	found, same := match(rel, f)
	switch {
	case !rel.Deleted.IsZero():
		p.skip(what, fmt.Errorf("%w: version %s", boxregistry.ErrDeleted, rel.Version))
	case rel.State == boxregistry.Revoked:
		p.skip(what, fmt.Errorf("%w: it was revoked here", boxregistry.ErrImmutable))
	case same:
		v.Here = append(v.Here, f)
	case found:
		p.skip(what, fmt.Errorf("%w, with other bytes", boxregistry.ErrExists))
	case rel.State == boxregistry.Released:
		p.skip(what, fmt.Errorf("%w: it is released here without this file", boxregistry.ErrImmutable))
	default:
		v.Coming = append(v.Coming, f)
	}
}

// match finds a file in a version that is here: the one in its place, and whether that has the announced bytes. A file
// whose architecture nobody has said is in the place of the only one of its provider; one whose provider nobody has said is
// known by its bytes alone.
func match(rel boxregistry.Release, f File) (found, same bool) {
	if f.Provider == "" && f.Checksum.Type == "" {
		return false, false
	}
	for _, k := range rel.Files {
		if !k.Complete() || f.Provider != "" && k.Provider != f.Provider || f.Architecture != "" && k.Architecture != f.Architecture &&
			f.Architecture != boxregistry.UnknownArchitecture {
			continue
		}
		if sameBytes(k, f.Checksum) {
			return true, true
		}
		found = f.Provider != ""
	}
	return found, false
}

// sameBytes compares with the digest, or with what the maker announced when the file came. Without an announcement the
// place alone tells: versions do not change.
func sameBytes(k boxregistry.File, sum boxregistry.Checksum) bool {
	switch {
	case sum.Type == "":
		return true
	case sum.Type == "sha256" && k.Digest != "":
		return string(k.Digest) == sum.Hex
	}
	return k.Declared == sum || k.Declared.Type != sum.Type
}
