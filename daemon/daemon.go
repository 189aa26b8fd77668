// Package daemon is Boxkiln's server: it owns a data directory, runs queued builds, keeps the box registry and serves
// both over HTTP.
//
// [Open] takes the lock of the data directory, opens the database, ends what a dead daemon left (builds become
// interrupted, machines and directories in the ledger are removed) and only then is anything served. [Daemon.Serve]
// listens on the socket and, if asked, on TCP, until its context ends; running builds are then cancelled and cleaned up.
// The same value serves `boxkiln serve` and, inside `boxkiln build`, the build that finds no daemon.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/blob"
	blobfs "github.com/boxkiln/boxkiln/boxregistry/blob/fs"
	"github.com/boxkiln/boxkiln/boxregistry/signing"
	boxstore "github.com/boxkiln/boxkiln/boxregistry/store"
	"github.com/boxkiln/boxkiln/boxregistry/upload"
	"github.com/boxkiln/boxkiln/boxregistry/vagrantapi"
	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/checkpoint"
	"github.com/boxkiln/boxkiln/daemon/eventlog"
	"github.com/boxkiln/boxkiln/daemon/inputs"
	"github.com/boxkiln/boxkiln/daemon/queue"
	"github.com/boxkiln/boxkiln/daemon/steps"
	"github.com/boxkiln/boxkiln/daemon/store"
	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/internal/audit"
	"github.com/boxkiln/boxkiln/internal/auth"
	"github.com/boxkiln/boxkiln/internal/fsx"
	"github.com/boxkiln/boxkiln/internal/layout"
	"github.com/boxkiln/boxkiln/internal/sqlitedb"
	"github.com/boxkiln/boxkiln/iso"
)

// Config is what a daemon is made of. Data, Parts and Drivers are required.
type Config struct {
	Data layout.Dir
	// Listen is a TCP address such as 127.0.0.1:8420; empty for the socket alone.
	Listen string
	// BaseURL is how clients reach the registry, if that is not the host they ask (behind a proxy).
	BaseURL boxregistry.BaseURL
	// InsecureHTTP permits a Listen address that is not loopback: there is no TLS of our own.
	InsecureHTTP bool
	// Private hides boxes, pages and everything else from those who show neither a token nor a session.
	Private bool
	// NoAutoCreate keeps Packer from making the boxes that it asks for; see vagrantapi.Options.
	NoAutoCreate bool
	// Blobs opens the store of the files of boxes for the installation with this id; nil for the data directory's own.
	Blobs func(ctx context.Context, install string) (blob.Store, error)
	// RedirectDownloads sends clients to where the files are, if Blobs can be linked to, and else all bytes go through here.
	RedirectDownloads bool
	// SocketGroup may use the socket besides the daemon's own user; empty for nobody.
	SocketGroup string
	Budget      queue.Budget
	Checkpoints CheckpointLimits
	Mirror      MirrorConfig
	// PurgeAfter is how long what was deleted can be restored; 0 for DefaultPurgeAfter.
	PurgeAfter time.Duration
	// Uploads are the limits of box files that come from outside.
	Uploads upload.Limits
	Parts   build.Parts
	// Drivers makes the drivers, once the id of this installation is known.
	Drivers func(install string) map[string]hypervisor.Driver
	Version string
	Log     *slog.Logger
	Now     func() time.Time // nil for time.Now
	// Ready is called with the TCP address once requests are answered; it may be nil.
	Ready func(addr string)
	// FirstToken hands over the token of the first administrator, which is made when there was never a token or a user, and is
	// shown nowhere else. With nil none is made.
	FirstToken func(token string) error
}

// CheckpointLimits say how much is kept for later builds, and for how long. Zero values choose the defaults.
type CheckpointLimits struct {
	Budget int64         // bytes on disk; see checkpoint.DefaultBudget
	Keep   time.Duration // how old a checkpoint may become before it is removed
	MaxAge time.Duration // how old one may be to be used where no template or switch says; see build.DefaultCacheMaxAge
}

// Daemon is an open data directory.
type Daemon struct {
	explain  explainer
	cfg      Config
	lock     *dataLock
	db       *sqlitedb.DB
	audit    *audit.Log
	tokens   *auth.Tokens
	registry *boxstore.Registry
	vagrant  *vagrantapi.API
	signer   *signing.Key
	moveIn   moveIn
	uploads  *upload.Receiver
	media    *iso.Cache
	builds   *Builds
	kept     *checkpoint.Store
	queue    *queue.Queue
	drivers  map[string]hypervisor.Driver
}

// Open takes a data directory into possession and puts it in order. It returns *LockedError if another daemon has it.
func Open(ctx context.Context, cfg Config) (*Daemon, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if err := cfg.Data.Make(); err != nil {
		return nil, err
	}
	lock, err := lockData(cfg.Data.Lock())
	if err != nil {
		return nil, err
	}
	d := &Daemon{cfg: cfg, lock: lock}
	if err := d.open(ctx); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	if err := d.recover(ctx); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

func (d *Daemon) open(ctx context.Context) (err error) {
	data := d.cfg.Data
	if d.db, err = sqlitedb.Open(ctx, data.DB()); err != nil {
		return err
	}
	st, err := store.Open(ctx, d.db, d.cfg.Now)
	if err != nil {
		return err
	}
	if d.audit, err = audit.Open(ctx, d.db, d.cfg.Now); err != nil {
		return err
	}
	if d.tokens, err = auth.Open(ctx, d.db, d.cfg.Now, d.audit); err != nil {
		return err
	}
	install, err := st.InstallID(ctx)
	if err != nil {
		return err
	}
	blobs, err := d.openBlobs(ctx, install)
	if err != nil {
		return err
	}
	if d.registry, err = boxstore.New(ctx, d.db, blobs, d.audit); err != nil {
		return err
	}
	if err := d.adoptOrgs(ctx); err != nil {
		return err
	}
	if err := d.openMoveIn(); err != nil {
		return err
	}
	d.uploads, err = upload.New(upload.Config{
		Registry: d.registry, Rows: d.registry, Blobs: blobs, Dir: data.Uploads(), Limits: d.cfg.Uploads,
		Free: func() (int64, error) { return fsx.Free(data.Uploads()) }, Now: d.cfg.Now, Log: d.cfg.Log,
	})
	if err != nil {
		return err
	}
	if d.media, err = iso.NewCache(iso.Config{Dir: data.Media()}); err != nil {
		return err
	}
	return d.assemble(ctx, st, install)
}

// adoptOrgs has boxes belong to organisations, also those from before there were any.
func (d *Daemon) adoptOrgs(ctx context.Context) error {
	owners, err := d.registry.Owners(ctx)
	if err != nil {
		return err
	}
	d.registry.AskOrgs(d.tokens)
	return d.tokens.Adopt(ctx, owners)
}

func (d *Daemon) openBlobs(ctx context.Context, install string) (blob.Store, error) {
	if d.cfg.Blobs != nil {
		return d.cfg.Blobs(ctx, install)
	}
	return blobfs.Open(d.cfg.Data.Blobs(), d.cfg.Data.Staging())
}

// assemble puts the parts of running builds together.
func (d *Daemon) assemble(ctx context.Context, st *store.Store, install string) error {
	data := d.cfg.Data
	vault, err := openVault(data.Key())
	if err != nil {
		return err
	}
	if d.signer, err = signing.Load(data.SigningKey()); err != nil {
		return err
	}
	if err := fsx.Sweep(data.Inputs()); err != nil {
		return err
	}
	limits := d.cfg.Checkpoints
	d.kept, err = checkpoint.Open(ctx, d.db, data.Checkpoints(), checkpoint.Options{
		Budget: limits.Budget, MaxAge: limits.Keep, Seal: vault.seal, Open: vault.open, Now: d.cfg.Now, Log: d.cfg.Log,
	})
	if err != nil {
		return err
	}
	d.drivers = d.cfg.Drivers(install)
	door := &gate{store: st, published: map[build.ID]bool{}}
	set := &steps.Set{Media: d.media, MediaDir: data.Media(), Parts: d.cfg.Parts, Drivers: d.drivers, Registry: d.registry, Gate: door, Now: d.cfg.Now,
		Signer: d.signer, History: st, Version: d.cfg.Version,
		Checkpoints: d.kept, SecretKey: vault.fingerprints, MaxAge: limits.MaxAge}
	d.explain = explainer{set, d.drivers}
	d.builds = &Builds{
		store: st, book: &eventlog.Book{}, inputs: inputs.Store{Dir: data.Inputs()}, vault: vault, layout: data,
		drivers: d.drivers, parts: d.cfg.Parts, steps: set.List, gate: door, install: install, log: d.cfg.Log, now: d.cfg.Now, live: map[build.ID]*live{}, resuming: map[build.ID]bool{},
		engine: &build.Engine{
			Reapers: reapers(d.drivers, data, d.kept, sealedIn(data, vault)), Now: d.cfg.Now, Diagnose: set.Diagnose, ErrorCleanup: set.ErrorCleanup,
			Abandoned: d.pin,
			StepChanged: func(ctx context.Context, s *build.Session, step string, phase build.StepPhase, took time.Duration) {
				d.builds.lookAt(s)
				if err := st.Step(ctx, s.Build, s.Attempt, step, phase, took); err != nil && !errors.Is(err, build.ErrFenced) {
					s.Debug.Warn("a step could not be recorded", "step", step, "err", err)
				}
			},
		},
	}
	d.queue = queue.New(d.builds, d.cfg.Budget, d.builds.work, d.cfg.Log)
	d.builds.queue = d.queue
	return nil
}

// pin keeps the checkpoints on whose disks a machine stands that is left to its user.
func (d *Daemon) pin(ctx context.Context, s *build.Session) error {
	ids, err := d.kept.Pin(ctx, s.Build)
	if len(ids) > 0 {
		s.Log.Say("The machine's disks stand on the checkpoint %s, which stays until `boxkiln cache rm --force`", ids[len(ids)-1])
	}
	return err
}

// recover ends what a dead daemon left: its builds are interrupted, what they held is removed.
func (d *Daemon) recover(ctx context.Context) error {
	ids, err := d.builds.store.Interrupt(ctx)
	if err != nil {
		return fmt.Errorf("recover builds: %w", err)
	}
	for _, id := range ids {
		d.tellInterrupted(ctx, id)
	}
	err = d.builds.engine.Reapers.ReapAll(ctx, d.builds.store, "", func(r build.Resource, err error) {
		d.cfg.Log.Error("left behind by an earlier build and not removed; the next start tries again", "kind", r.Kind, "name", r.Name, "build", r.Build, "err", err)
	})
	if err != nil {
		return err
	}
	// Only now does no machine stand on a checkpoint any more.
	if err := d.kept.Recover(ctx); err != nil {
		return fmt.Errorf("recover checkpoints: %w", err)
	}
	return d.builds.reopen(ctx)
}

// tellInterrupted writes the end into the log of a build that a dead daemon left.
func (d *Daemon) tellInterrupted(ctx context.Context, id build.ID) {
	r, err := d.builds.store.Get(ctx, id)
	if err == nil {
		err = d.builds.open(id, r.Label)
	}
	if err != nil {
		d.cfg.Log.Warn("the log of an interrupted build could not be ended", "build", id, "err", err)
		return
	}
	d.builds.eventLog(id).State(build.Interrupted, r.Error)
	d.builds.close(id)
}

// Serve answers requests and runs builds until ctx ends, then cancels what runs and returns when all is cleaned up.
func (d *Daemon) Serve(ctx context.Context) error {
	servers, err := d.listen()
	if err != nil {
		return err
	}
	queueCtx, stopQueue := context.WithCancel(context.WithoutCancel(ctx))
	defer stopQueue()
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return d.queue.Run(queueCtx) })
	g.Go(func() error { return d.upkeep(gctx) })
	g.Go(func() error { return d.vagrant.Run(gctx) })
	for _, s := range servers {
		g.Go(s.serve)
	}
	g.Go(func() error {
		<-gctx.Done()
		stopQueue()
		d.moveIn.close()
		d.queue.Stopped() // clients see the end of their builds before the door closes
		return shutAll(servers)
	})
	if err := d.firstToken(ctx); err != nil {
		d.cfg.Log.Error("the token of the first administrator could not be made or handed over; `boxkiln token create` makes another one", "err", err)
	}
	if d.cfg.Ready != nil {
		d.cfg.Ready(tcpAddress(servers))
	}
	return errors.Join(g.Wait(), d.vagrant.Flush(context.WithoutCancel(ctx)))
}

// firstToken makes the token of the first administrator; over the socket alone nobody needs one.
func (d *Daemon) firstToken(ctx context.Context) error {
	if d.cfg.FirstToken == nil || d.cfg.Listen == "" {
		return nil
	}
	token, err := d.tokens.First(ctx)
	if err != nil || token == "" {
		return err
	}
	return d.cfg.FirstToken(token)
}

// Retire waits until no build and no import runs and none waits, and then takes no more: the daemon can end without losing
// one.
func (d *Daemon) Retire(ctx context.Context) error {
	if err := d.moveIn.imports.Retire(ctx); err != nil {
		return err
	}
	return d.builds.retire(ctx)
}

// settleTime bounds how long a daemon that ends waits for the checkpoints of its last builds.
const settleTime = time.Minute

// Close gives the data directory back.
func (d *Daemon) Close() error {
	var errs error
	d.moveIn.close()
	if d.kept != nil {
		ctx, cancel := context.WithTimeout(context.Background(), settleTime)
		errs = d.kept.Settle(ctx)
		cancel()
	}
	for _, driver := range d.drivers {
		if c, ok := driver.(interface{ Close() error }); ok {
			errs = errors.Join(errs, c.Close())
		}
	}
	if d.uploads != nil {
		errs = errors.Join(errs, d.uploads.Close())
	}
	if d.db != nil {
		errs = errors.Join(errs, d.db.Close())
	}
	return errors.Join(errs, d.lock.Close())
}

// LockedError says that another daemon owns the data directory.
type LockedError struct {
	Dir string
	PID int // 0 if it could not be read
}

func (e *LockedError) Error() string {
	return fmt.Sprintf("another daemon (process %d) owns %s: use it through its socket, or choose another directory with --data", e.PID, e.Dir)
}

// dataLock holds a data directory.
type dataLock struct{ f *os.File }

func (l *dataLock) Close() error { return l.f.Close() }
