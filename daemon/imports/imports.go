// Package imports runs imports of boxes in the daemon, so that a client that is lost stops none.
//
// [Manager.Start] reads what the place offers, compares it with the registry and brings what is missing; what happens is
// kept in memory, and [Manager.Follow] tells it to any number of readers from any place on. An import ends with the
// daemon. It has no state of its own that would have to be mended: the same request again goes on where it was, because
// files that are here are not fetched and parts of others are kept.
package imports

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/upstream"
	"github.com/boxkiln/boxkiln/daemon/wire"
	"github.com/boxkiln/boxkiln/internal/auth"
)

// Config is what a Manager is made of. Target and Fetcher are required.
type Config struct {
	Target  upstream.Target
	Fetcher *upstream.Fetcher
	Log     *slog.Logger     // nil for slog.Default()
	Now     func() time.Time // nil for time.Now
}

const (
	// maxRunning is how many imports run at once; each brings several files at a time.
	maxRunning = 8
	// maxKept is how many ended imports are remembered.
	maxKept = 100
)

// errCanceled is the cause when a user ends an import.
var errCanceled = errors.New("it was canceled")

// errStopping is the cause when the daemon ends.
var errStopping = errors.New("the daemon is stopping")

// Manager runs imports. Make it with New, and Close it.
type Manager struct {
	cfg  Config
	ctx  context.Context
	stop context.CancelCauseFunc
	wg   sync.WaitGroup

	mu  sync.Mutex
	all []*job // newest last
}

// New makes a manager.
func New(cfg Config) *Manager {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	ctx, stop := context.WithCancelCause(context.Background())
	return &Manager{cfg: cfg, ctx: ctx, stop: stop}
}

// Close ends all imports and waits for their end.
func (m *Manager) Close() {
	m.stop(errStopping)
	m.wg.Wait()
}

// Start begins an import for whoever asks. Errors are *wire.Error.
func (m *Manager) Start(_ context.Context, who auth.Principal, req wire.ImportRequest) (wire.Import, error) {
	w, err := parse(who, req)
	if err != nil {
		return wire.Import{}, wire.Errorf(wire.CodeBadRequest, "%w", err)
	}
	if err := w.permitted(who); err != nil {
		return wire.Import{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ctx.Err() != nil {
		return wire.Import{}, wire.Errorf(wire.CodeStopping, "%w", errStopping)
	}
	if m.running() >= maxRunning {
		return wire.Import{}, wire.Errorf(wire.CodeTooMany, "%d imports run already; wait for one to end", maxRunning)
	}
	ctx, cancel := context.WithCancelCause(auth.WithPrincipal(m.ctx, who))
	j := newJob(wire.Import{ID: rand.Text(), From: w.place.String(), State: wire.ImportRunning, Started: m.cfg.Now()}, cancel)
	m.all = append(m.all, j)
	m.forget()
	m.wg.Go(func() {
		defer cancel(nil)
		m.run(ctx, j, w)
	})
	return j.status(), nil
}

func (m *Manager) running() (n int) {
	for _, j := range m.all {
		if j.status().State == wire.ImportRunning {
			n++
		}
	}
	return n
}

// forget drops the oldest imports that have ended.
func (m *Manager) forget() {
	for i := 0; len(m.all) > maxKept && i < len(m.all); {
		if m.all[i].status().State == wire.ImportRunning {
			i++
			continue
		}
		m.all = slices.Delete(m.all, i, i+1)
	}
}

// work is a request that was read.
type work struct {
	place  upstream.Place
	reader upstream.Reader
	job    upstream.Job
	dry    bool
}

// parse reads a request; it finds everything that is wrong with it at once.
func parse(who auth.Principal, req wire.ImportRequest) (work, error) {
	if req.Latest < 0 {
		return work{}, fmt.Errorf("the latest %d versions: want a number above 0, or 0 for all", req.Latest)
	}
	w := work{dry: req.DryRun, job: upstream.Job{As: req.As, Latest: req.Latest, Private: req.Private}}
	w.reader = upstream.Reader{Token: req.Token, Local: who.Local && who.SameUser}
	var errs [6]error
	w.place, errs[0] = upstream.ParsePlace(req.From)
	if number, err := boxregistry.ParseVersion(req.Version); err == nil {
		w.reader.Number = number
	}
	w.job.Requirement, errs[1] = boxregistry.ParseRequirement(req.Version)
	if req.Provider != "" {
		w.job.Provider, errs[2] = boxregistry.ParseProvider(req.Provider)
	}
	if req.Architecture != "" {
		w.job.Architecture, errs[3] = boxregistry.ParseArchitecture(req.Architecture)
	}
	if req.UnknownAs != "" {
		w.job.UnknownAs, errs[4] = boxregistry.ParseArchitecture(req.UnknownAs)
	}
	if req.Channel != "" {
		w.job.Channel, errs[5] = boxregistry.ParseChannel(req.Channel)
	}
	return w, errors.Join(errs[:]...)
}

// permitted refuses early what every file of it would be refused for.
func (w work) permitted(who auth.Principal) error {
	if !w.place.Remote() && !w.reader.Local {
		return wire.Errorf(wire.CodeForbidden, "%s: a path is read in place only for the user that the daemon runs as, through its socket; "+
			"run the command as that user, or give a URL", w.place)
	}
	return nil
}

// run is an import from its start to its end.
func (m *Manager) run(ctx context.Context, j *job, w work) {
	summary, err := m.bring(ctx, j, w)
	state, text := wire.ImportDone, ""
	if err != nil {
		state, text = wire.ImportFailed, err.Error()
		if errors.Is(err, errCanceled) {
			state = wire.ImportCanceled
		}
		m.cfg.Log.Warn("import ended early", "id", j.status().ID, "from", w.place.String(), "err", err)
	}
	j.end(state, text, summary, m.cfg.Now())
}

func (m *Manager) bring(ctx context.Context, j *job, w work) (*upstream.Summary, error) {
	w.reader.Fetcher = m.cfg.Fetcher
	w.reader.Tell = func(s upstream.Status) {
		if text := s.Message(); text != "" {
			j.tell(upstream.Event{Time: m.cfg.Now(), Kind: upstream.EventMessage, Text: text})
		}
	}
	offer, err := w.reader.Read(ctx, w.place)
	if err != nil {
		for _, s := range offer.Skipped {
			j.tell(upstream.Event{Time: m.cfg.Now(), Kind: upstream.EventSkipped, What: s.What, Text: s.Why.Error()})
		}
		return nil, err
	}
	target := guarded{m.cfg.Target}
	plan, err := upstream.NewPlan(ctx, offer, w.job, target)
	if err != nil {
		return nil, err
	}
	for _, e := range described(plan, m.cfg.Now()) {
		j.tell(e)
	}
	if w.dry {
		sum := wouldDo(plan)
		return &sum, nil
	}
	im := &upstream.Importer{Fetcher: m.cfg.Fetcher, Target: target, Tell: j.tell, Now: m.cfg.Now}
	sum, err := im.Import(ctx, plan, w.job)
	return &sum, err
}

// described says what a plan will do, a line for each version.
func described(p upstream.Plan, now time.Time) []upstream.Event {
	var out []upstream.Event
	for _, b := range p.Boxes {
		for _, v := range b.Versions {
			e := upstream.Event{Time: now, Kind: upstream.EventPlan, What: b.Name.String() + " " + v.Number.String()}
			for _, f := range v.Coming {
				e.Text += " +" + f.String()
				e.Total += f.Size
			}
			for _, f := range v.Here {
				e.Text += " =" + f.String()
			}
			out = append(out, e)
		}
	}
	return out
}

// wouldDo is the summary of a plan that is not carried out.
func wouldDo(p upstream.Plan) (s upstream.Summary) {
	s.Files, s.Bytes = p.Files()
	for _, b := range p.Boxes {
		for _, v := range b.Versions {
			s.Here += len(v.Here)
			if !v.Released {
				s.Released = append(s.Released, b.Name.String()+" "+v.Number.String())
			}
		}
	}
	for _, skipped := range p.Skipped {
		s.Skipped = append(s.Skipped, skipped.String())
	}
	return s
}

// guarded lets whoever asked write where they may.
type guarded struct{ upstream.Target }

func may(ctx context.Context, name boxregistry.Name) error {
	if auth.PrincipalFrom(ctx).PermitsIn(name.Org(), auth.Write) {
		return nil
	}
	return fmt.Errorf("you may not write into the organisation %s", name.Org())
}

// CreateBox implements upstream.Target.
func (g guarded) CreateBox(ctx context.Context, b boxregistry.Box) error {
	if err := may(ctx, b.Name); err != nil {
		return err
	}
	return g.Target.CreateBox(ctx, b)
}

// Check implements upstream.Target.
func (g guarded) Check(ctx context.Context, p boxregistry.Publication) error {
	if err := may(ctx, p.Box); err != nil {
		return err
	}
	return g.Target.Check(ctx, p)
}

// Publish implements upstream.Target.
func (g guarded) Publish(ctx context.Context, p boxregistry.Publication) error {
	if err := may(ctx, p.Box); err != nil {
		return err
	}
	return g.Target.Publish(ctx, p)
}

// Release implements upstream.Target.
func (g guarded) Release(ctx context.Context, name boxregistry.Name, v boxregistry.Version, channels ...boxregistry.Channel) error {
	if err := may(ctx, name); err != nil {
		return err
	}
	return g.Target.Release(ctx, name, v, channels...)
}
