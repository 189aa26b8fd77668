package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/client"
	"github.com/boxkiln/boxkiln/daemon/wire"
	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/internal/fsx"
)

// buildOptions are the switches of `boxkiln build`.
type buildOptions struct {
	template templateOptions
	print    printOptions
	publish  build.PublishArgs
	packages []string
	cache    cacheOptions
	onError  string
	force    bool
	debug    bool
	keep     bool
	parallel int
}

func newBuildCommand(env *environment) *cobra.Command {
	o := &buildOptions{}
	cmd := &cobra.Command{
		Use:   "build [switches] TEMPLATE",
		Short: "Build the images of a template",
		Long: `Build the images of a Packer template: a *.pkr.hcl file, a folder of them, or a JSON template.

Switches are those of packer build, with one dash or two. With --box the box is published into the registry. With --package
the machine is made into boxes of other providers and into images, from one installation.` + exitHelp,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return runBuild(cmd.Context(), env, o, args[0]) },
	}
	o.addFlags(cmd)
	return cmd
}

func (o *buildOptions) addFlags(cmd *cobra.Command) {
	o.template.addFlags(cmd)
	o.print.addFlags(cmd)
	o.cache.addFlags(cmd)
	f := cmd.Flags()
	f.StringVar(&o.onError, "on-error", string(build.OnErrorCleanup), "what to do when a step fails: cleanup, abort, ask or run-cleanup-provisioner")
	f.BoolVar(&o.force, "force", false, "remove the output directory of an earlier build")
	f.BoolVar(&o.debug, "debug", false, "pause after each step, one build at a time")
	f.BoolVar(&o.keep, "keep", false, "hold the machine of a failed build until it is let go; `boxkiln ssh BUILD` opens a shell in it")
	f.IntVar(&o.parallel, "parallel-builds", 0, "how many builds may run at once; 0 for as many as there is room for")
	f.StringSliceVar(&o.packages, "package", nil, "make these of the machine, instead of what the template says: `LIST` of "+packageNames())
	f.StringVar(&o.publish.Box, "box", "", "publish the box as ORG/NAME")
	f.StringVar(&o.publish.Version, "box-version", "", "version to publish")
	f.StringVar(&o.publish.Description, "box-description", "", "description of that version")
	f.BoolVar(&o.publish.Smoke, "smoke", false, "boot the packed box once and log in before it is released")
}

func (o *buildOptions) plan() (build.PlanOptions, error) {
	onError := build.OnError(o.onError)
	if err := checkOnError(onError); err != nil {
		return build.PlanOptions{}, err
	}
	if o.parallel < 0 {
		return build.PlanOptions{}, fmt.Errorf("-parallel-builds=%d: use 0 or more", o.parallel)
	}
	if o.debug {
		o.parallel = 1
	}
	cwd, err := os.Getwd()
	if err != nil {
		return build.PlanOptions{}, err
	}
	options := build.Options{Force: o.force, Debug: o.debug, Keep: o.keep, OnError: onError, Direct: true}
	return build.PlanOptions{Cwd: cwd, Publish: o.publish, Packages: o.packages, Options: options}, nil
}

// packageNames lists what --package takes.
func packageNames() string {
	var names []string
	for _, p := range hypervisor.Packages() {
		names = append(names, string(p))
	}
	return strings.Join(names, ",")
}

func checkOnError(o build.OnError) error {
	switch o {
	case build.OnErrorCleanup, build.OnErrorAbort, build.OnErrorAsk, build.OnErrorRunCleanup:
		return nil
	}
	return fmt.Errorf("-on-error=%s: use cleanup, abort, ask or run-cleanup-provisioner", o)
}

func runBuild(ctx context.Context, env *environment, o *buildOptions, path string) error {
	plans, whole, err := o.plans(ctx, env, path)
	if err != nil {
		return err
	}
	err = buildPlans(ctx, env, o, plans)
	if err == nil && !whole {
		return silentError{exitFailed}
	}
	return err
}

// plans resolves a template with all that it names. whole is false if some of its sources cannot be built, which is told.
func (o *buildOptions) plans(ctx context.Context, env *environment, path string) (plans []build.Plan, whole bool, err error) {
	planOptions, err := o.plan()
	if err == nil {
		err = o.cache.set(&planOptions.Options)
	}
	if err != nil {
		return nil, false, err
	}
	planOptions.AgentSocket = env.getenv("SSH_AUTH_SOCK")
	parts := env.parts()
	t, err := env.load(path, o.template, parts)
	if err != nil {
		return nil, false, err
	}
	plans, unbuilt, err := env.plans(t, parts, planOptions)
	if err != nil {
		return nil, false, err
	}
	for _, text := range unbuilt {
		fmt.Fprintf(env.stderr, "Error: %s\n", text)
	}
	if len(plans) == 0 {
		fmt.Fprintln(env.stderr, "Error: nothing of this template can be built")
		return nil, false, silentError{exitFailed}
	}
	if err := build.CheckNoCache(plans); err != nil {
		return nil, false, err
	}
	origin, err := readOrigin(ctx, t, planOptions.Cwd)
	if err != nil {
		return nil, false, err
	}
	for i := range plans {
		plans[i].Origin = origin
	}
	return plans, len(unbuilt) == 0, readInputs(plans, parts)
}

// buildPlans builds with the daemon that is meant, or one of its own. The daemon of another build may end before it has
// taken the plans; then the next one is asked.
func buildPlans(ctx context.Context, env *environment, o *buildOptions, plans []build.Plan) error {
	for try := 0; ; try++ {
		c, done, err := env.buildDaemon(ctx)
		if err != nil {
			return err
		}
		err = errors.Join(follow(ctx, env, c, o, plans), done())
		if !isEnding(err) || try >= joinTries {
			return err
		}
		if err := pauseToJoin(ctx); err != nil {
			return err
		}
	}
}

// isEnding tells a daemon that has gone, or takes no more builds, from other errors of a submission.
func isEnding(err error) bool {
	var refused *wire.Error
	return errors.Is(err, client.ErrNoDaemon) || errors.As(err, &refused) && refused.Code == wire.CodeStopping
}

// follow submits the plans and shows the builds until they have ended. The first interrupt cancels the builds and waits
// for their clean-up; the second leaves.
func follow(ctx context.Context, env *environment, c *client.Client, o *buildOptions, plans []build.Plan) error {
	defer c.Close()
	info, err := c.Info(ctx)
	if err != nil {
		return err
	}
	for i := range plans {
		if info.SameUser {
			plans[i].ReadInPlace()
		}
	}
	records, err := c.Submit(ctx, wire.SubmitRequest{Plans: plans, Parallel: o.parallel})
	if err != nil {
		return err
	}
	return show(ctx, env, c, o.print, records, 0, info.SameUser)
}

// show shows builds until they have ended. offset is where in their logs to begin.
func show(ctx context.Context, env *environment, c *client.Client, o printOptions, records []build.Record, offset int64, direct bool) error {
	// From here on an interrupt is a request to cancel, not the end of this process.
	streams, leave := context.WithCancelCause(context.WithoutCancel(ctx))
	defer leave(nil)
	go interrupts(ctx, streams, env, c, records, leave)

	p := newPrinter(env, o, records)
	defer p.close()
	var wg sync.WaitGroup
	for i := range records {
		wg.Go(func() {
			w := watcher{env: env, client: c, printer: p, record: records[i], offset: offset, direct: direct}
			p.ended(records[i].ID, w.watch(streams))
		})
	}
	wg.Wait()
	p.summary()
	if p.failed() {
		return silentError{exitFailed}
	}
	return nil
}

var errLeft = errors.New("left while the builds are being cancelled")

// interrupts turns signals into cancellation. ctx ends with the first one.
func interrupts(ctx, streams context.Context, env *environment, c *client.Client, records []build.Record, leave context.CancelCauseFunc) {
	select {
	case <-ctx.Done():
	case <-streams.Done():
		return
	}
	// `timeout` and some shells deliver one interrupt twice.
	once := time.NewTimer(sameInterrupt)
	defer once.Stop()
	select {
	case <-once.C:
	case <-streams.Done():
		return
	}
	again := make(chan os.Signal, 1)
	signal.Notify(again, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(again)
	fmt.Fprintln(env.stderr, "\n==> Cancelling the builds and cleaning up; interrupt again to leave at once")
	for _, r := range records {
		if err := c.Cancel(streams, r.ID); err != nil {
			fmt.Fprintf(env.stderr, "Error: cancel %s: %v\n", r.Label, err)
		}
	}
	select {
	case <-again:
		signal.Reset(os.Interrupt, syscall.SIGTERM) // a third one ends even a daemon of our own that is still cleaning up
		leave(errLeft)
	case <-streams.Done():
	}
}

// sameInterrupt is how close two signals are when they mean one interrupt.
const sameInterrupt = 100 * time.Millisecond

// watcher shows one build and brings home what it made.
type watcher struct {
	env     *environment
	client  *client.Client
	printer *printer
	record  build.Record
	offset  int64
	direct  bool // the daemon has put the outputs in place itself
}

// watch returns nil if the build succeeded and its outputs are in place.
func (w *watcher) watch(ctx context.Context) error {
	var last build.Event
	err := w.client.EventsFrom(ctx, w.record.ID, w.offset, func(e build.Event) error {
		w.printer.event(w.record.ID, e)
		switch e.Kind {
		case build.EventState:
			last = e
		case build.EventQuestion:
			go w.answer(ctx, e)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if last.State != build.Succeeded {
		return &buildError{last.State, last.Text}
	}
	if w.direct { // and it may be another build's, gone as soon as that has ended
		return nil
	}
	return w.fetch(ctx)
}

// buildError is the end of a build that did not succeed.
type buildError struct {
	state build.State
	text  string
}

func (e *buildError) Error() string {
	if e.text == "" {
		return string(e.state)
	}
	return e.text
}

func (w *watcher) answer(ctx context.Context, e build.Event) {
	if e.Hold && !w.printer.interactive() {
		fmt.Fprintf(w.env.stderr, "==> %s: %s\n", e.Label, e.Text)
		return // the page, `boxkiln builds` or an interrupt ends it
	}
	choice := w.printer.ask(e)
	if err := w.client.Answer(ctx, w.record.ID, choice); err != nil && ctx.Err() == nil {
		fmt.Fprintf(w.env.stderr, "Error: answer: %v\n", err)
	}
}

// fetch copies the outputs that the daemon could not put in place itself.
func (w *watcher) fetch(ctx context.Context) error {
	outputs, err := w.client.Outputs(ctx, w.record.ID)
	if err != nil {
		return err
	}
	for n, out := range outputs {
		if err := w.fetchOne(ctx, n, out); err != nil {
			return fmt.Errorf("bring %s here: %w", out.Path, err)
		}
	}
	return nil
}

func (w *watcher) fetchOne(ctx context.Context, n int, out wire.Output) error {
	if err := os.MkdirAll(filepath.Dir(out.Path), 0o755); err != nil {
		return err
	}
	f, err := fsx.Create(out.Path, os.FileMode(out.Mode))
	if err != nil {
		return err
	}
	defer f.Close()
	if err := w.client.FetchOutput(ctx, w.record.ID, n, f); err != nil {
		return err
	}
	return f.Commit()
}

// now is the clock of the command.
func now() time.Time { return time.Now() }
