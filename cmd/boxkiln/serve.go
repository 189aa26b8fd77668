package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/mirror"
	"github.com/boxkiln/boxkiln/boxregistry/upload"
	kiln "github.com/boxkiln/boxkiln/daemon"
	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/client"
	"github.com/boxkiln/boxkiln/daemon/queue"
	"github.com/boxkiln/boxkiln/internal/layout"
)

// serveOptions are the switches of `boxkiln serve`.
type serveOptions struct {
	listen, baseURL, socketGroup string
	blobs                        string
	insecure, private, redirect  bool
	noAutoCreate                 bool
	level                        slog.Level
	budget                       queue.Budget
	diskGiB, checkpointGiB       int64
	checkpointKeep, cacheMaxAge  time.Duration
	mirrors                      []string
	mirrorTTL                    time.Duration
	mirrorOffline                bool
	purgeAfter                   time.Duration
	uploads                      limitsFlag
}

// defaultListen is where the daemon serves boxes and pages unless told otherwise.
const defaultListen = "127.0.0.1:8420"

func newServeCommand(env *environment) *cobra.Command {
	o := &serveOptions{}
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the daemon: build queue, box registry and web pages",
		Long: `Run the daemon in the foreground until it is interrupted. It serves its clients on a socket in the data directory and
boxes, pages and the API on --listen. A second interrupt ends it at once; what that leaves is removed at the next start.` + exitHelp,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runServe(cmd.Context(), env, o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.listen, "listen", defaultListen, "TCP address for boxes, pages and the API; empty for the socket alone")
	f.StringVar(&o.baseURL, "base-url", "", "URL under which clients reach the daemon, behind a proxy")
	f.BoolVar(&o.insecure, "insecure-http", false, "listen without TLS on an address that is not loopback")
	f.BoolVar(&o.private, "private", false, "show boxes and pages only to those who have a token or have logged in")
	f.StringVar(&o.blobs, "blobs", "", "where files of boxes are kept: s3://BUCKET/PREFIX?endpoint=URL&region=NAME&path_style=true, or file for the data directory; where they were, unless given (environment "+envBlobs+")")
	f.BoolVar(&o.redirect, "blob-redirect", false, "send clients to the bucket for their downloads, instead of passing the bytes on")
	f.StringVar(&o.socketGroup, "socket-group", "", "group that may use the daemon's socket")
	f.BoolVar(&o.noAutoCreate, "no-auto-create", false, "do not make a box, empty and private, when Packer's vagrant-cloud post-processor asks for one that is missing")
	f.IntVar(&o.budget.MemoryMiB, "memory-budget", 0, "MiB of memory for running builds; 0 for four fifths of the host's")
	f.IntVar(&o.budget.CPUs, "cpu-budget", 0, "CPUs for running builds; 0 for twice the host's")
	f.Int64Var(&o.diskGiB, "disk-budget", 0, "GiB of disk for running builds; 0 for nine tenths of what is free")
	f.Int64Var(&o.checkpointGiB, "checkpoint-budget", 0, "GiB of disk for checkpoints; 0 for 20")
	f.DurationVar(&o.checkpointKeep, "checkpoint-keep", 30*24*time.Hour, "how old a checkpoint may become before it is removed")
	f.DurationVar(&o.cacheMaxAge, "cache-max-age", build.DefaultCacheMaxAge, "how old a checkpoint may be to be used, where no template or switch says")
	f.StringArrayVar(&o.mirrors, "mirror", nil, "serve unknown boxes of an organisation from another registry, `ORG=URL`; * for all organisations; may be repeated")
	f.DurationVar(&o.mirrorTTL, "mirror-ttl", 15*time.Minute, "how long a mirrored catalog is used without asking again")
	f.BoolVar(&o.mirrorOffline, "mirror-offline", false, "ask no mirrored registry, and serve what is here")
	f.DurationVar(&o.purgeAfter, "purge-after", kiln.DefaultPurgeAfter, "how long deleted boxes and versions can be restored")
	f.Var(&o.uploads, "upload-limits", "what box files may be, as in size=100G,unpacked=1T,ratio=500,entries=1000,window=128M; any size, and those, unless given")
	f.TextVar(&o.level, "log-level", slog.LevelInfo, "what to log: debug, info, warn or error")
	return cmd
}

func runServe(ctx context.Context, env *environment, o *serveOptions) error {
	data, err := env.data()
	if err != nil {
		return err
	}
	cfg, err := daemonConfig(env, data, o)
	if err != nil {
		return err
	}
	place, err := env.blobPlace(data, o.blobs)
	if err != nil {
		return err
	}
	cfg.Blobs = place.open
	cfg.Ready = func(addr string) {
		if addr != "" {
			fmt.Fprintf(env.stdout, "Boxkiln serves %s on http://%s\n", data.Path(), addr)
		}
		// Without systemd there is nobody to tell, which is no error.
		_, _ = daemon.SdNotify(false, daemon.SdNotifyReady)
	}
	cfg.FirstToken = func(token string) {
		fmt.Fprintf(env.stdout, "The token of the first administrator, shown only now: %s\n", token)
	}
	d, err := kiln.Open(ctx, cfg)
	if err != nil {
		return err
	}
	if err := place.remember(data); err != nil {
		return errors.Join(err, d.Close())
	}
	return errors.Join(d.Serve(ctx), d.Close())
}

// daemonConfig is the configuration of a daemon over a data directory.
func daemonConfig(env *environment, data layout.Dir, o *serveOptions) (kiln.Config, error) {
	base, err := boxregistry.ParseBaseURL(o.baseURL)
	if err != nil {
		return kiln.Config{}, fmt.Errorf("--base-url: %w", err)
	}
	log := slog.New(slog.NewTextHandler(env.stderr, &slog.HandlerOptions{Level: o.level}))
	if err := data.Make(); err != nil {
		return kiln.Config{}, err
	}
	budget, err := budgetFor(o, data)
	if err != nil {
		return kiln.Config{}, err
	}
	mirrored, err := o.mirror()
	if err != nil {
		return kiln.Config{}, err
	}
	return kiln.Config{
		Mirror:            mirrored,
		RedirectDownloads: o.redirect,
		NoAutoCreate:      o.noAutoCreate,
		Data:              data, Listen: o.listen, BaseURL: base, InsecureHTTP: o.insecure, SocketGroup: o.socketGroup, Private: o.private,
		Checkpoints: kiln.CheckpointLimits{Budget: o.checkpointGiB << 30, Keep: o.checkpointKeep, MaxAge: o.cacheMaxAge},
		PurgeAfter:  o.purgeAfter, Uploads: upload.Limits(o.uploads),
		Budget: budget, Parts: env.parts(), Drivers: env.drivers(log), Version: version, Log: log,
	}, nil
}

// mirror reads the switches about other registries.
func (o *serveOptions) mirror() (kiln.MirrorConfig, error) {
	cfg := kiln.MirrorConfig{TTL: o.mirrorTTL, Offline: o.mirrorOffline}
	var errs error
	for _, text := range o.mirrors {
		s, err := mirror.ParseSource(text)
		errs = errors.Join(errs, err)
		cfg.Sources = append(cfg.Sources, s)
	}
	return cfg, errs
}

// cpuShare is how many guest CPUs there may be for each of the host's: installers wait more than they compute.
const cpuShare = 2

func budgetFor(o *serveOptions, data layout.Dir) (queue.Budget, error) {
	b := o.budget
	if b.CPUs <= 0 {
		b.CPUs = cpuShare * runtime.NumCPU()
	}
	if b.MemoryMiB <= 0 {
		var info unix.Sysinfo_t
		if err := unix.Sysinfo(&info); err != nil {
			return b, fmt.Errorf("read the host's memory: %w", err)
		}
		b.MemoryMiB = int(uint64(info.Totalram) * uint64(info.Unit) / 5 * 4 >> 20)
	}
	b.DiskBytes = o.diskGiB << 30
	if b.DiskBytes <= 0 {
		var fs unix.Statfs_t
		if err := unix.Statfs(data.Path(), &fs); err != nil {
			return b, fmt.Errorf("read the free space of %s: %w", data.Path(), err)
		}
		b.DiskBytes = int64(fs.Bavail) * fs.Bsize / 10 * 9
	}
	return b, nil
}

// buildDaemon returns a client of the daemon that is meant, or of one that runs inside this process when none answers.
// The function that comes with it ends that one, after its queue is empty: another build may have become its client.
func (e *environment) buildDaemon(ctx context.Context) (*client.Client, func() error, error) {
	c, err := e.client()
	if err != nil {
		return nil, nil, err
	}
	_, err = c.Info(ctx)
	if err == nil {
		return c, func() error { return nil }, nil
	}
	if !errors.Is(err, client.ErrNoDaemon) || e.remote() {
		c.Close()
		return nil, nil, err
	}
	done, err := e.startOrJoin(ctx, c)
	if err != nil {
		c.Close()
		return nil, nil, err
	}
	return c, done, nil
}

// The daemon of another build may be just starting, or ending: joinTries is how often and joinPause how long one waits
// for it. That takes more than a minute: one that starts removes first what a dead one has left.
const (
	joinTries = 2000
	joinPause = 50 * time.Millisecond
)

// startOrJoin starts the daemon of this build, or becomes a client of one that started first.
func (e *environment) startOrJoin(ctx context.Context, c *client.Client) (func() error, error) {
	for try := 0; ; try++ {
		done, err := e.ownDaemon(ctx)
		var locked *kiln.LockedError
		if !errors.As(err, &locked) || try >= joinTries {
			return done, err
		}
		if _, infoErr := c.Info(ctx); infoErr == nil {
			return func() error { return nil }, nil
		}
		if err := pauseToJoin(ctx); err != nil {
			return nil, err
		}
	}
}

func pauseToJoin(ctx context.Context) error {
	select {
	case <-time.After(joinPause):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (e *environment) remote() bool {
	return e.server != "" || (e.dataFlag == "" && e.getenv(envServer) != "")
}

func (e *environment) ownDaemon(ctx context.Context) (func() error, error) {
	data, err := e.data()
	if err != nil {
		return nil, err
	}
	cfg, err := daemonConfig(e, data, &serveOptions{level: slog.LevelWarn})
	if err != nil {
		return nil, err
	}
	place, err := e.blobPlace(data, "")
	if err != nil {
		return nil, err
	}
	cfg.Blobs = place.open
	ready := make(chan struct{})
	cfg.Ready = func(string) { close(ready) }
	d, err := kiln.Open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	// An interrupt cancels builds through the API; the daemon itself ends when they have.
	serveCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- d.Serve(serveCtx) }()
	select {
	case <-ready:
	case err := <-ended:
		stop()
		return nil, errors.Join(err, d.Close())
	}
	return func() error {
		retired := d.Retire(serveCtx)
		stop()
		return errors.Join(retired, <-ended, d.Close())
	}, nil
}
