package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"golang.org/x/term"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/client"
	"github.com/boxkiln/boxkiln/internal/fsx"
)

// watchOptions are the switches of `boxkiln watch`.
type watchOptions struct {
	print    printOptions
	serial   bool
	timeline bool
	screen   string
}

func newWatchCommand(env *environment) *cobra.Command {
	o := &watchOptions{}
	cmd := &cobra.Command{
		Use: "watch BUILD", Short: "Watch a build: its log, serial console, screen and timeline",
		Long: `Watch a build until it has ended: its log and then its timeline, or what the guest prints on its serial console.

The exit status is that of the build: 0 if it succeeded, 1 if not.` + exitHelp,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return env.withDaemon(cmd.Context(), func(c *client.Client) error {
				return runWatch(cmd.Context(), env, c, o, build.ID(args[0]))
			})
		},
	}
	o.print.addFlags(cmd)
	f := cmd.Flags()
	f.BoolVar(&o.serial, "serial", false, "show the serial console instead of the log")
	f.StringVar(&o.screen, "screen", "", "keep writing the picture on the screen to this PNG `file`")
	f.BoolVar(&o.timeline, "timeline", false, "print the timeline as it is now, and do not watch")
	return cmd
}

func runWatch(ctx context.Context, env *environment, c *client.Client, o *watchOptions, id build.ID) error {
	r, err := c.Get(ctx, id)
	if err != nil {
		return err
	}
	if o.timeline {
		return showTimeline(ctx, env, c, o, id)
	}
	g, gctx := errgroup.WithContext(ctx)
	if o.screen != "" {
		g.Go(func() error { return saveScreen(gctx, c, id, o.screen) })
	}
	g.Go(func() error {
		if o.serial {
			if err := showSerial(gctx, env, c, id); err != nil {
				return err
			}
			return c.Events(gctx, id, func(build.Event) error { return nil }) // the machine ends before the build
		}
		return showLog(gctx, env, c, o.print, r.Record)
	})
	if err := g.Wait(); err != nil {
		return err
	}
	return watchedTo(ctx, env, c, o, id)
}

// watchedTo ends the command as the build ended.
func watchedTo(ctx context.Context, env *environment, c *client.Client, o *watchOptions, id build.ID) error {
	if !o.serial && o.print.isText() {
		fmt.Fprintln(env.stdout)
		if err := showTimeline(ctx, env, c, o, id); err != nil {
			return err
		}
	}
	r, err := c.Get(ctx, id)
	if err != nil {
		return err
	}
	if r.State != build.Succeeded {
		return fmt.Errorf("build %s: %w", id, &buildError{r.State, r.Error})
	}
	return nil
}

func showLog(ctx context.Context, env *environment, c *client.Client, o printOptions, r build.Record) error {
	p := newPrinter(env, o, []build.Record{r})
	defer p.close()
	return c.Events(ctx, r.ID, func(e build.Event) error {
		p.event(r.ID, e)
		return nil
	})
}

func showSerial(ctx context.Context, env *environment, c *client.Client, id build.ID) error {
	out := &console{w: env.stdout, colors: term.IsTerminal(int(env.stdout.Fd()))}
	return c.FollowSerial(ctx, id, 0, func(_ int64, chunk []byte) error {
		_, err := out.Write(chunk)
		return err
	})
}

// saveScreen writes each picture over the one before; whoever opens the file sees a whole one.
func saveScreen(ctx context.Context, c *client.Client, id build.ID, path string) error {
	return c.WatchScreen(ctx, id, func(f client.Frame) error { return fsx.WriteFile(path, f.PNG, 0o644) })
}

func showTimeline(ctx context.Context, env *environment, c *client.Client, o *watchOptions, id build.ID) error {
	moments, err := c.Timeline(ctx, id)
	if err != nil {
		return err
	}
	if o.print.json {
		return printJSONLines(env, moments)
	}
	return printTimeline(env.stdout, moments)
}

// printTimeline prints moments with the time since their attempt began, marks those that took none with a dot, and those
// that were taken from the cache.
func printTimeline(out io.Writer, moments []build.Moment) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	var began time.Time
	for _, m := range moments {
		if m.Kind == build.EventState && m.Phase != "" {
			began = m.At
			fmt.Fprintf(w, "%s\tattempt %d\t%s\t\n", m.At.Local().Format(time.DateTime), m.Attempt, lasted(m))
			continue
		}
		since := ""
		if !began.IsZero() {
			since = fmt.Sprintf("%9.1f s", m.At.Sub(began).Seconds())
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", since, harmless(m.Name, false), lasted(m), harmless(detail(m), false))
	}
	return w.Flush()
}

// lasted is how long something took, or what else there is to say of it.
func lasted(m build.Moment) string {
	switch m.Phase {
	case "":
		return "."
	case build.StepBegan:
		return "runs"
	case build.StepCached:
		return "cached"
	case build.StepFailed:
		return fmt.Sprintf("%.1f s, failed", m.Seconds)
	}
	return fmt.Sprintf("%.1f s", m.Seconds)
}

func detail(m build.Moment) string {
	if m.Status != 0 {
		return fmt.Sprintf("%d, %d bytes", m.Status, m.Size)
	}
	return m.Detail
}
