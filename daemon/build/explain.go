package build

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Kept is something that was kept of a stage: a machine, or an artifact.
type Kept struct {
	Reads   []Ingredient // of its stage, when it was made
	Created time.Time
	// Ran tells when each stage up to this one was run: what stands on an old installation is as old as that.
	Ran []Stamp
	// Unfit says why it cannot be used here, such as "it was frozen by QEMU 7.1.0, and this host has 7.2.22".
	Unfit string
}

// KeptStages is what an explanation needs to know of the checkpoints.
type KeptStages interface {
	// Lookup returns what is kept under a fingerprint, newest first.
	Lookup(ctx context.Context, fingerprint string) ([]Kept, error)
	// Nearest returns the newest that is kept of that stage of a template's source, whatever its fingerprint.
	Nearest(ctx context.Context, label, template, stage string) (Kept, bool, error)
}

// NeverBuilt is the reason of a stage of which nothing at all is kept.
const NeverBuilt = "never built"

// StageStatus tells whether a stage would be taken from what is kept.
type StageStatus struct {
	Stage
	Cached bool  `json:"cached"`
	Made   Stamp `json:"made,omitzero"` // of a cached stage
	// Why is the reason of the first stage that has to run. Later ones have to because of it, and have none.
	Why string `json:"why,omitempty"`
}

// Explain tells for each stage of a plan whether a build would run it now, and why the first of them that has to run is not
// cached. A build starts from the latest stage that is kept; whether the ones before it are does not matter then.
func Explain(ctx context.Context, p *Plan, stages []Stage, kept KeptStages, now time.Time) ([]StageStatus, error) {
	e := explainer{plan: p, stages: stages, kept: kept, now: now}
	all := make([]StageStatus, len(stages))
	first := 0 // of those that have to run
	for i, stage := range stages {
		all[i].Stage = stage
		found, err := e.usable(ctx, i)
		if err != nil {
			return nil, err
		}
		if found != nil {
			all[i].Cached, all[i].Made = true, Stamp(found.Created)
			first = i + 1
		}
	}
	if first == len(stages) {
		return all, nil
	}
	why, err := e.why(ctx, first)
	all[first].Why = why
	return all, err
}

type explainer struct {
	plan   *Plan
	stages []Stage
	kept   KeptStages
	now    time.Time
}

// usable is what stage i can be taken from, nil if there is nothing.
func (e explainer) usable(ctx context.Context, i int) (*Kept, error) {
	stage := e.stages[i]
	if stage.Never != "" || stage.Fresh {
		return nil, nil
	}
	list, err := e.kept.Lookup(ctx, stage.Fingerprint)
	for _, k := range list {
		if k.Unfit == "" && TooOld(e.stages, k.Ran, e.now) == "" {
			return &k, err
		}
	}
	return nil, err
}

// TooOld says which stage of something kept is older than it may be, ran being when each of the stages was run; nothing
// if none is.
func TooOld(stages []Stage, ran []Stamp, now time.Time) string {
	for i, at := range ran[:min(len(ran), len(stages))] {
		if limit := stages[i].MaxAge; now.Sub(at.Time()) > limit {
			return fmt.Sprintf("%s in it is older than %s", stages[i].Name, age(limit))
		}
	}
	return ""
}

// age writes a time limit without what is zero: "24h".
func age(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// why tells why stage i is not cached.
func (e explainer) why(ctx context.Context, i int) (string, error) {
	stage := e.stages[i]
	switch {
	case stage.Never != "":
		return stage.Never, nil
	case stage.Fresh:
		return "--fresh", nil
	}
	list, err := e.kept.Lookup(ctx, stage.Fingerprint)
	if err != nil {
		return "", err
	}
	for _, k := range list {
		switch old := TooOld(e.stages, k.Ran, e.now); {
		case old == "":
			return k.Unfit, nil
		case strings.HasPrefix(old, stage.Name+" "):
			return "older than " + age(stage.MaxAge), nil
		default:
			return old, nil
		}
	}
	near, ok, err := e.kept.Nearest(ctx, e.plan.Label, e.plan.Template, stage.Name)
	if err != nil || !ok {
		return NeverBuilt, err
	}
	if diff := difference(near.Reads, stage.Reads); diff != "" {
		return diff, nil
	}
	if i > 0 {
		return NeverBuilt + " after this " + e.stages[i-1].Name, nil
	}
	return "was made by another version of Boxkiln, or removed", nil
}

// mostNamed is how many ingredients a reason names.
const mostNamed = 3

// difference tells in words how the ingredients of a stage differ from what they were; nothing if they do not.
func difference(was, is []Ingredient) string {
	var changed, added, gone []string
	old, now := digests(was), digests(is)
	for _, name := range names(is) {
		switch d, ok := old[name]; {
		case !ok:
			added = append(added, name)
		case d != now[name]:
			changed = append(changed, name)
		}
		delete(old, name)
	}
	for _, name := range names(was) {
		if _, ok := old[name]; ok {
			gone = append(gone, name)
		}
	}
	var parts []string
	for _, p := range []struct {
		names []string
		verb  string
	}{{changed, "changed"}, {added, "added"}, {gone, "removed"}} {
		if len(p.names) > 0 {
			parts = append(parts, list(p.names)+" "+p.verb)
		}
	}
	return strings.Join(parts, ", ")
}

// digests gathers the digests of each name: the same name can stand for several ingredients.
func digests(reads []Ingredient) map[string]string {
	all := make(map[string]string, len(reads))
	for _, in := range reads {
		all[in.Name] += " " + in.Digest
	}
	return all
}

// names lists the names of ingredients, each once.
func names(reads []Ingredient) []string {
	seen := make(map[string]bool, len(reads))
	var all []string
	for _, in := range reads {
		if !seen[in.Name] {
			seen[in.Name] = true
			all = append(all, in.Name)
		}
	}
	return all
}

// list names the first few: "`a`, `b` and 4 more".
func list(names []string) string {
	shown := names[:min(len(names), mostNamed)]
	text := "`" + strings.Join(shown, "`, `") + "`"
	if more := len(names) - len(shown); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
