package upstream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/blob"
	"github.com/boxkiln/boxkiln/boxregistry/boxfile"
)

// Target is the registry that boxes are imported into; *store.Registry is one.
type Target interface {
	Registry
	Sink
	// CreateBox makes an empty box, or returns boxregistry.ErrExists.
	CreateBox(ctx context.Context, b boxregistry.Box) error
	// Check says what Publish would say of p, before the bytes are there.
	Check(ctx context.Context, p boxregistry.Publication) error
	// SetContents keeps what is in stored bytes.
	SetContents(ctx context.Context, d blob.Digest, s boxfile.Summary) error
	// Publish puts stored bytes into a draft; it makes what is missing of box and version.
	Publish(ctx context.Context, p boxregistry.Publication) error
	// Release opens a draft to clients; a released version stays as it is.
	Release(ctx context.Context, name boxregistry.Name, v boxregistry.Version, channels ...boxregistry.Channel) error
	// OpenBlob reads stored bytes, or returns blob.ErrNotFound.
	OpenBlob(ctx context.Context, d blob.Digest) (io.ReadSeekCloser, blob.Info, error)
}

// Importer carries plans out.
type Importer struct {
	Fetcher *Fetcher
	Target  Target
	// Limits bound the boxes that are taken.
	Limits boxfile.Limits
	// Parallel is how many files come at once; 0 for 3.
	Parallel int
	// Tell is told what happens. It is called by several goroutines and must return promptly.
	Tell func(Event)
	Now  func() time.Time // nil for time.Now
}

const defaultParallel = 3

// Import carries a plan out. What goes wrong with one file is noted and the others go on; the summary has it all. The
// error is the end of ctx, or a full disk, with which nothing can go on. An import that was interrupted goes on where it
// was when it is planned and run again.
func (im *Importer) Import(ctx context.Context, p Plan, job Job) (Summary, error) {
	r := &importRun{Importer: im, job: job}
	for _, s := range p.Skipped {
		r.skip(s.What, s.Why)
	}
	err := r.all(ctx, p)
	r.tell(Event{Kind: EventSummary, Summary: &r.sum})
	return r.sum, err
}

// importRun is one Import.
type importRun struct {
	*Importer
	job Job
	mu  sync.Mutex
	sum Summary
}

func (r *importRun) tell(e Event) {
	if r.Tell == nil {
		return
	}
	e.Time = time.Now()
	if r.Now != nil {
		e.Time = r.Now()
	}
	r.Tell(e)
}

func (r *importRun) skip(what string, why error) {
	s := Skipped{what, why}
	r.mu.Lock()
	r.sum.Skipped = append(r.sum.Skipped, s.String())
	r.mu.Unlock()
	r.tell(Event{Kind: EventSkipped, What: what, Text: why.Error()})
}

// pending is a version whose files are on their way.
type pending struct {
	name    boxregistry.Name
	version PlannedVersion
	mu      sync.Mutex
	left    int
	failed  bool
	here    int
}

func (v *pending) String() string { return v.name.String() + " " + v.version.Number.String() }

// all brings the files, several at a time and the highest versions first.
func (r *importRun) all(outer context.Context, p Plan) error {
	g, ctx := errgroup.WithContext(outer)
	g.SetLimit(cmp.Or(r.Parallel, defaultParallel))
	for _, b := range p.Boxes {
		if b.New {
			if err := r.Target.CreateBox(ctx, b.Box); err != nil && !errors.Is(err, boxregistry.ErrExists) {
				r.skip(b.Name.String(), err)
				continue
			}
		}
		for _, v := range b.Versions {
			r.version(ctx, g, b, v)
		}
	}
	err := g.Wait()
	if outer.Err() != nil {
		return context.Cause(outer)
	}
	return err
}

func (r *importRun) version(ctx context.Context, g *errgroup.Group, b PlannedBox, v PlannedVersion) {
	pend := &pending{name: b.Name, version: v, left: len(v.Coming), here: len(v.Here)}
	r.mu.Lock()
	r.sum.Here += len(v.Here)
	r.mu.Unlock()
	if len(v.Coming) == 0 {
		r.release(ctx, pend)
	}
	for _, f := range v.Coming {
		g.Go(func() error {
			err := context.Cause(ctx)
			if err == nil {
				err = r.file(ctx, b, v, f)
			}
			if fatal := r.after(ctx, pend, f, err); fatal != nil {
				return fatal
			}
			return nil
		})
	}
}

// after notes how a file ended, and releases its version after the last one.
func (r *importRun) after(ctx context.Context, v *pending, f File, err error) error {
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		r.skip(v.String()+" "+f.String(), err)
	}
	v.mu.Lock()
	v.left--
	if err == nil {
		v.here++
	}
	v.failed = v.failed || err != nil
	last := v.left == 0
	v.mu.Unlock()
	if errors.Is(err, blob.ErrNoSpace) {
		return err
	}
	if last {
		r.release(ctx, v)
	}
	return nil
}

// release opens a version when all its files are here.
func (r *importRun) release(ctx context.Context, v *pending) {
	if v.version.Released {
		return
	}
	if v.failed {
		if v.here > 0 {
			r.mu.Lock()
			r.sum.Drafts = append(r.sum.Drafts, v.String())
			r.mu.Unlock()
		}
		return
	}
	var channels []boxregistry.Channel
	if r.job.Channel != "" {
		channels = append(channels, r.job.Channel)
	}
	if err := r.Target.Release(ctx, v.name, v.version.Number, channels...); err != nil {
		r.skip(v.String(), err)
		return
	}
	r.mu.Lock()
	r.sum.Released = append(r.sum.Released, v.String())
	r.mu.Unlock()
	r.tell(Event{Kind: EventReleased, What: v.String()})
}

// file brings one file and gives it its place.
func (r *importRun) file(ctx context.Context, b PlannedBox, v PlannedVersion, f File) error {
	pub := boxregistry.Publication{Box: b.Name, BoxDescription: b.Box.Description, Private: b.Box.Private,
		Version: v.Number, VersionDescription: v.Description,
		File: boxregistry.File{Provider: f.Provider, Architecture: f.Architecture, Default: f.Default, Declared: f.Checksum}}
	if f.Provider != "" && f.Architecture != "" && f.Architecture != boxregistry.UnknownArchitecture {
		if err := r.Target.Check(ctx, pub); err != nil { // before the long work
			return r.explain(err)
		}
	}
	what := fmt.Sprintf("%s %s %s", b.Name, v.Number, f)
	taken, err := r.take(ctx, what, f)
	if err != nil {
		return err
	}
	if err := r.job.describe(&pub.File, f, taken); err != nil {
		return err
	}
	if err := r.Target.SetContents(ctx, taken.Info.Digest, taken.Summary); err != nil {
		return err
	}
	if err := r.Target.Publish(ctx, pub); err != nil {
		return r.explain(err)
	}
	r.mu.Lock()
	r.sum.Files++
	r.sum.Bytes += taken.Info.Size
	r.mu.Unlock()
	r.tell(Event{Kind: EventImported, What: what, Done: taken.Info.Size, Total: taken.Info.Size})
	return nil
}

// explain adds what helps against a box half of whose versions have an architecture.
func (r *importRun) explain(err error) error {
	if errors.Is(err, boxregistry.ErrArchitectureMix) && r.job.UnknownAs == "" {
		return fmt.Errorf("%w (import again with --unknown-as amd64, if that is what the others are)", err)
	}
	return err
}

// take reads the bytes from the store if they are there for another box, and brings them otherwise.
func (r *importRun) take(ctx context.Context, what string, f File) (Taken, error) {
	if f.Checksum.Type == "sha256" {
		taken, err := r.stored(ctx, blob.Digest(f.Checksum.Hex))
		if !errors.Is(err, blob.ErrNotFound) {
			return taken, err
		}
	}
	return r.Fetcher.Take(ctx, f, r.Target, r.Limits, func(s Status) {
		if m := s.Message(); m != "" {
			r.tell(Event{Kind: EventMessage, What: what, Text: m})
			return
		}
		r.tell(Event{Kind: EventProgress, What: what, Done: s.Done, Total: cmp.Or(s.Total, f.Size)})
	})
}

// stored inspects bytes that are here.
func (r *importRun) stored(ctx context.Context, d blob.Digest) (Taken, error) {
	src, info, err := r.Target.OpenBlob(ctx, d)
	if err != nil {
		return Taken{}, err
	}
	defer src.Close()
	sum, err := boxfile.Inspect(ctx, src, r.Limits)
	return Taken{info, sum}, err
}
