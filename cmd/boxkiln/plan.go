package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/client"
	"github.com/boxkiln/boxkiln/daemon/steps"
	"github.com/boxkiln/boxkiln/daemon/wire"
)

// cacheOptions are the switches about what is kept of earlier builds.
type cacheOptions struct {
	noCache []string
	fresh   bool
	maxAge  time.Duration
}

// everything is what --no-cache without a name stands for.
const everything = "*"

func (o *cacheOptions) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringArrayVar(&o.noCache, "no-cache", nil, "neither use nor keep stages from `NAME` on (a provisioner's name or type, or a source), as --no-cache=NAME; without a name of any; may be repeated")
	f.Lookup("no-cache").NoOptDefVal = everything
	f.BoolVar(&o.fresh, "fresh", false, "build every stage anew, and keep it for later builds")
	f.DurationVar(&o.maxAge, "cache-max-age", 0, "use no stage that is older, such as 1h30m; 0 for 24h, or what the template says")
}

// set puts the switches into the options of a plan.
func (o *cacheOptions) set(to *build.Options) error {
	if o.maxAge < 0 {
		return fmt.Errorf("--cache-max-age=%s: an age above 0 is needed; --fresh uses nothing of earlier builds", o.maxAge)
	}
	to.NoCache, to.Fresh, to.CacheMaxAge = o.noCache, o.fresh, o.maxAge
	return nil
}

func newPlanCommand(env *environment) *cobra.Command {
	o := &buildOptions{}
	cmd := &cobra.Command{
		Use:   "plan [switches] TEMPLATE",
		Short: "Show what a build would run and what it would take from the cache",
		Long: `Show the stages of each source: the installed machine, the machine after each provisioner, and the artifact. For each
it tells whether an earlier build left it in the cache, and why the first one that has to run is not there. Nothing is
built and nothing is downloaded. Switches are those of boxkiln build; --json prints an object for each source.` + exitHelp,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return runPlan(cmd.Context(), env, o, args[0]) },
	}
	o.addFlags(cmd)
	return cmd
}

func runPlan(ctx context.Context, env *environment, o *buildOptions, path string) error {
	plans, whole, err := o.plans(ctx, env, path)
	if err != nil {
		return err
	}
	explained, err := explain(ctx, env, plans)
	if err != nil {
		return err
	}
	if o.print.json {
		err = printJSONLines(env, explained)
	} else {
		err = printPlans(env, explained)
	}
	if err == nil && !whole {
		return silentError{exitFailed}
	}
	return err
}

// explain asks the daemon that would build, or one of our own.
func explain(ctx context.Context, env *environment, plans []build.Plan) ([]wire.Explanation, error) {
	c, done, err := env.buildDaemon(ctx)
	if err != nil {
		return nil, err
	}
	explained, err := explainWith(ctx, c, plans)
	return explained, errors.Join(err, done())
}

func explainWith(ctx context.Context, c *client.Client, plans []build.Plan) ([]wire.Explanation, error) {
	defer c.Close()
	return c.Explain(ctx, plans)
}

// shortFingerprint is how many digits of a fingerprint are shown.
const shortFingerprint = 12

func printPlans(env *environment, explained []wire.Explanation) error {
	w := tabwriter.NewWriter(env.stdout, 0, 4, 2, ' ', 0)
	for _, e := range explained {
		fmt.Fprintf(w, "==> %s:\n", e.Label)
		for i, s := range e.Stages {
			fmt.Fprintf(w, "    %s\t%.*s\t%s\n", s.Name, shortFingerprint, s.Fingerprint, verdict(e.Stages, i))
		}
	}
	return w.Flush()
}

// verdict says in a few words what a build would do about stage i.
func verdict(stages []build.StageStatus, i int) string {
	s := stages[i]
	switch {
	case s.Cached:
		return "cached, made " + steps.Ago(now().Sub(s.Made.Time()))
	case s.Why != "":
		return "to run: " + s.Why
	}
	for _, later := range stages[i+1:] {
		if later.Cached {
			return "not kept, and not needed"
		}
	}
	return "to run"
}
