package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/boxkiln/boxkiln/daemon/api"
	"github.com/boxkiln/boxkiln/daemon/checkpoint"
	"github.com/boxkiln/boxkiln/daemon/client"
	"github.com/boxkiln/boxkiln/daemon/wire"
)

func newCacheCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use: "cache", Short: "List, show and remove checkpoints, which builds start from",
		Long: `A build keeps its machine after the installation and after each provisioner, and its artifact at the end, under a
fingerprint of all that went into it. Later builds start from the last one that still holds.

A checkpoint is named by its id, or by the beginning of its id or fingerprint.`,
	}
	cmd.AddCommand(newCacheLsCommand(env), newCacheShowCommand(env), newCacheRmCommand(env), newCachePruneCommand(env))
	return cmd
}

// readCache asks the daemon, or reads the database when none runs.
func (e *environment) readCache(ctx context.Context, ask func(*client.Client) error, read func(*checkpoint.Store) error) error {
	c, err := e.client()
	if err != nil {
		return err
	}
	defer c.Close()
	if err := ask(c); !errors.Is(err, client.ErrNoDaemon) || e.remote() {
		return err
	}
	db, err := e.openDB(ctx)
	if err != nil {
		return err
	}
	data, err := e.data()
	if err != nil {
		return errors.Join(err, db.Close())
	}
	sealed := func([]byte) ([]byte, error) { return nil, errors.New("only a daemon opens what is sealed") }
	s, err := checkpoint.Open(ctx, db, data.Checkpoints(), checkpoint.Options{Seal: sealed, Open: sealed, Now: now})
	if err != nil {
		return errors.Join(err, db.Close())
	}
	return errors.Join(read(s), db.Close())
}

// changeCache calls fn with a client of a daemon; when none runs, of one that ends with the command, because only the owner
// of the data directory may remove anything.
func (e *environment) changeCache(ctx context.Context, fn func(*client.Client) error) error {
	c, done, err := e.buildDaemon(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	return errors.Join(fn(c), done())
}

func newCacheLsCommand(env *environment) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "ls", Short: "List checkpoints, newest first", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := env.listCache(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				return printJSONLines(env, list)
			}
			return printCheckpoints(env.stdout, list, now())
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print an object for each checkpoint, one on a line")
	return cmd
}

func (e *environment) listCache(ctx context.Context) (list []wire.Checkpoint, err error) {
	err = e.readCache(ctx, func(c *client.Client) (err error) {
		list, err = c.Checkpoints(ctx)
		return err
	}, func(s *checkpoint.Store) error {
		all, err := s.List(ctx)
		list = api.CheckpointsOf(all)
		return err
	})
	return list, err
}

// fingerprintWidth is how much of a fingerprint a table shows.
const fingerprintWidth = 12

func printCheckpoints(out io.Writer, list []wire.Checkpoint, now time.Time) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tSTAGE\tBUILD\tKIND\tAGE\tSIZE\tIN USE\tFINGERPRINT")
	for _, c := range list {
		users := "-"
		if c.InUse > 0 {
			users = strconv.Itoa(c.InUse)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%.*s\n", c.ID, c.Stage, c.Label, checkpointKind(c), age(now.Sub(c.Created.Time())),
			sizeFlag(c.Bytes), users, fingerprintWidth, c.Fingerprint)
	}
	return w.Flush()
}

// checkpointKind is the kind of a checkpoint, or what is left of it.
func checkpointKind(c wire.Checkpoint) string {
	if c.Layer {
		return "layer"
	}
	return c.Kind
}

// age is a time that has passed, in its largest unit.
func age(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", max(0, int(d.Seconds())))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 2*day:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d/day))
}

func newCacheShowCommand(env *environment) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "show ID", Short: "Show a checkpoint and what went into its stage", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			var found wire.Checkpoint
			err := env.readCache(ctx, func(c *client.Client) (err error) {
				found, err = c.Checkpoint(ctx, args[0])
				return err
			}, func(s *checkpoint.Store) error {
				e, err := s.Get(ctx, args[0])
				found = api.CheckpointOf(e)
				return err
			})
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(env.stdout).Encode(found)
			}
			return printCheckpoint(env.stdout, found)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print an object")
	return cmd
}

func printCheckpoint(out io.Writer, c wire.Checkpoint) error {
	fmt.Fprintf(out, "%s  %s of %s  (%s)\n", c.ID, c.Stage, c.Label, c.Template)
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "  %s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	row("kind", "%s", checkpointKind(c))
	row("fingerprint", "%s", c.Fingerprint)
	row("made", "%s by build %s", when(c.Created), c.Build)
	row("saves", "%s", time.Duration(c.Seconds*float64(time.Second)).Round(time.Second))
	row("last used", "%s", when(c.Used))
	row("size", "%s", sizeFlag(c.Bytes))
	row("in use", "by %d builds", c.InUse)
	if c.Parent != "" {
		row("stands on", "%s", c.Parent)
	}
	if c.Host != nil {
		row("host", "%s", strings.Join([]string{c.Host.Hypervisor, c.Host.Machine, c.Host.Accelerator, c.Host.CPU}, ", "))
	}
	for _, r := range c.Reads {
		row("reads", "%.*s  %s", fingerprintWidth, r.Digest, r.Name)
	}
	return w.Flush()
}

func newCacheRmCommand(env *environment) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use: "rm ID...", Short: "Remove checkpoints", Args: cobra.MinimumNArgs(1),
		Long: `Remove checkpoints. The disks of one that others stand on stay until those have gone; one that a build uses is refused.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return env.changeCache(cmd.Context(), func(c *client.Client) error {
				var all error
				for _, id := range args {
					if err := c.RemoveCheckpoint(cmd.Context(), id, force); err != nil {
						all = errors.Join(all, err)
					}
				}
				return all
			})
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "also what builds use, which keep the disks until they end, and what machines stand on that were left by -on-error=abort")
	return cmd
}

func newCachePruneCommand(env *environment) *cobra.Command {
	var req wire.PruneRequest
	var budget sizeFlag
	var olderThan time.Duration
	var asJSON bool
	cmd := &cobra.Command{
		Use: "prune", Short: "Remove checkpoints that are not in use, least recently used first", Args: cobra.NoArgs,
		Long: `Remove checkpoints until the rest is within a budget and no older than an age: the daemon's own unless given here.
What a build uses stays.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if olderThan < 0 {
				return fmt.Errorf("--older-than %s: an age is not negative", olderThan)
			}
			req.Budget, req.Seconds = int64(budget), olderThan.Seconds()
			return env.changeCache(cmd.Context(), func(c *client.Client) error {
				reply, err := c.PruneCheckpoints(cmd.Context(), req)
				if err != nil {
					return err
				}
				if asJSON {
					return json.NewEncoder(env.stdout).Encode(reply)
				}
				for _, r := range reply.Removed {
					fmt.Fprintf(env.stdout, "%s  %s of %s\n", r.ID, r.Stage, r.Label)
				}
				_, err = fmt.Fprintf(env.stdout, "%d removed, %s freed\n", len(reply.Removed), sizeFlag(reply.Freed))
				return err
			})
		},
	}
	f := cmd.Flags()
	f.Var(&budget, "budget", "what may stay, such as 10G or 512M")
	f.DurationVar(&olderThan, "older-than", 0, "remove what was made longer ago, such as 72h")
	f.BoolVar(&req.All, "all", false, "remove all that is not in use")
	f.BoolVar(&asJSON, "json", false, "print an object")
	return cmd
}
