package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/client"
	"github.com/boxkiln/boxkiln/daemon/inputs"
	"github.com/boxkiln/boxkiln/daemon/wire"
)

// resumeOptions are the switches of `boxkiln resume`.
type resumeOptions struct {
	print   printOptions
	onError string
	keep    bool
	asItWas bool
}

func newResumeCommand(env *environment) *cobra.Command {
	o := &resumeOptions{}
	cmd := &cobra.Command{
		Use:   "resume [switches] BUILD",
		Short: "Try a build again from its newest checkpoint",
		Long: `Make another attempt of a build that failed, was cancelled or interrupted.

The files that its template names (scripts, seeds) are read again, so that a mended script is what runs; arguments and
variables stay as they were. The attempt begins at the newest checkpoint that still holds, and installs anew if there
is none. After a change of the template itself use boxkiln build: it finds the same checkpoints.` + exitHelp,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runResume(cmd.Context(), env, o, build.ID(args[0]))
		},
	}
	o.print.addFlags(cmd)
	f := cmd.Flags()
	f.StringVar(&o.onError, "on-error", "", "what to do when a step fails: cleanup, abort, ask or run-cleanup-provisioner; as before unless given")
	f.BoolVar(&o.keep, "keep", false, "hold the machine if the build fails again")
	f.BoolVar(&o.asItWas, "as-it-was", false, "do not read the files again")
	return cmd
}

func runResume(ctx context.Context, env *environment, o *resumeOptions, id build.ID) error {
	if o.onError != "" {
		if err := checkOnError(build.OnError(o.onError)); err != nil {
			return err
		}
	}
	c, done, err := env.buildDaemon(ctx)
	if err != nil {
		return err
	}
	return errors.Join(o.resume(ctx, env, c, id), done())
}

func (o *resumeOptions) resume(ctx context.Context, env *environment, c *client.Client, id build.ID) error {
	defer c.Close()
	info, err := c.Info(ctx)
	if err != nil {
		return err
	}
	req := wire.ResumeRequest{OnError: build.OnError(o.onError), Keep: o.keep}
	if !o.asItWas {
		if req.Inputs, err = readAgain(ctx, c, id); err != nil {
			return err
		}
	}
	reply, err := c.Resume(ctx, id, req)
	if err != nil {
		return err
	}
	return show(ctx, env, c, o.print, []build.Record{reply.Build}, reply.Offset, info.SameUser)
}

// readAgain hashes the files that a build's plan names, as they are now.
func readAgain(ctx context.Context, c *client.Client, id build.ID) ([]build.Input, error) {
	names, err := c.Names(ctx, id)
	if err != nil {
		return nil, err
	}
	files, err := inputs.Collect(names.Cwd, names.Names)
	if err != nil {
		return nil, fmt.Errorf("a file that the template of build %s names: %w; to resume with the files as they were, give --as-it-was", id, err)
	}
	if files == nil {
		files = []build.Input{} // none, rather than as they were
	}
	return files, nil
}
