package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/client"
	"github.com/boxkiln/boxkiln/daemon/store"
	"github.com/boxkiln/boxkiln/internal/sqlitedb"
)

func newBuildsCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{Use: "builds", Short: "List, show and cancel builds"}
	cmd.AddCommand(newBuildsLsCommand(env), newBuildsShowCommand(env), newBuildsLogCommand(env), newBuildsCancelCommand(env))
	return cmd
}

func newBuildsLsCommand(env *environment) *cobra.Command {
	var asJSON bool
	var states []string
	var limit int
	cmd := &cobra.Command{
		Use: "ls", Short: "List builds, newest first", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			records, err := env.listBuilds(cmd.Context(), states, limit)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSONLines(env, records)
			}
			return printBuilds(env, records)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&asJSON, "json", false, "print an object for each build, one on a line")
	f.StringSliceVar(&states, "state", nil, "only builds in these states")
	f.IntVar(&limit, "limit", 0, "how many at most; 0 for 100")
	return cmd
}

// listBuilds asks the daemon, or reads the database when none runs.
func (e *environment) listBuilds(ctx context.Context, states []string, limit int) ([]build.Record, error) {
	c, err := e.client()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	records, err := c.List(ctx, states, limit)
	if !errors.Is(err, client.ErrNoDaemon) || e.remote() {
		return records, err
	}
	db, err := e.openDB(ctx)
	if err != nil {
		return nil, err
	}
	st, err := store.Open(ctx, db, now)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	f := store.Filter{Limit: limit}
	for _, text := range states {
		state, err := build.ParseState(text)
		if err != nil {
			return nil, errors.Join(err, db.Close())
		}
		f.States = append(f.States, state)
	}
	records, err = st.List(ctx, f)
	return records, errors.Join(err, db.Close())
}

// openDB opens the database of the data directory, for what needs no daemon.
func (e *environment) openDB(ctx context.Context) (*sqlitedb.DB, error) {
	data, err := e.data()
	if err != nil {
		return nil, err
	}
	if err := data.Make(); err != nil {
		return nil, err
	}
	return sqlitedb.Open(ctx, data.DB())
}

func printJSONLines[T any](env *environment, values []T) error {
	enc := json.NewEncoder(env.stdout)
	for _, v := range values {
		if err := enc.Encode(v); err != nil {
			return err
		}
	}
	return nil
}

func printBuilds(env *environment, records []build.Record) error {
	w := tabwriter.NewWriter(env.stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tSTATE\tBUILD\tTEMPLATE\tSTARTED\tTOOK")
	for _, r := range records {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", r.ID, r.State, r.Label, r.Template, when(r.Started), took(r))
	}
	return w.Flush()
}

func when(t build.Stamp) string {
	if t.Time().IsZero() {
		return "-"
	}
	return t.Time().Local().Format(time.DateTime)
}

func took(r build.Record) string {
	start, end := r.Started.Time(), r.Finished.Time()
	if start.IsZero() {
		return "-"
	}
	if end.IsZero() {
		end = now()
	}
	return end.Sub(start).Round(time.Second).String()
}

func newBuildsShowCommand(env *environment) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "show BUILD", Short: "Show a build and its steps", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return env.withDaemon(cmd.Context(), func(c *client.Client) error {
				r, err := c.Get(cmd.Context(), build.ID(args[0]))
				if err != nil {
					return err
				}
				if asJSON {
					return json.NewEncoder(env.stdout).Encode(r)
				}
				fmt.Fprintf(env.stdout, "%s  %s  %s  (%s)\n", r.ID, r.Label, r.State, r.Template)
				if r.Error != "" {
					fmt.Fprintf(env.stdout, "%s\n", r.Error)
				}
				for _, m := range r.Made {
					fmt.Fprintf(env.stdout, "--> %s\n", m.Text)
				}
				w := tabwriter.NewWriter(env.stdout, 0, 4, 2, ' ', 0)
				for _, s := range r.Steps {
					fmt.Fprintf(w, "  %s\t%s\t%s\t%.1f s\n", s.Name, s.Phase, when(s.Began), s.Seconds)
				}
				return w.Flush()
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print an object")
	return cmd
}

func newBuildsLogCommand(env *environment) *cobra.Command {
	o := printOptions{}
	cmd := &cobra.Command{
		Use: "log BUILD", Short: "Print the log of a build, and follow it while it runs", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return env.withDaemon(cmd.Context(), func(c *client.Client) error {
				id := build.ID(args[0])
				r, err := c.Get(cmd.Context(), id)
				if err != nil {
					return err
				}
				p := newPrinter(env, o, []build.Record{r.Record})
				defer p.close()
				return c.Events(cmd.Context(), id, func(e build.Event) error {
					p.event(id, e)
					return nil
				})
			})
		},
	}
	o.addFlags(cmd)
	return cmd
}

func newBuildsCancelCommand(env *environment) *cobra.Command {
	return &cobra.Command{
		Use: "cancel BUILD...", Short: "Cancel builds", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return env.withDaemon(cmd.Context(), func(c *client.Client) error {
				for _, id := range args {
					if err := c.Cancel(cmd.Context(), build.ID(id)); err != nil {
						return fmt.Errorf("%s: %w", id, err)
					}
				}
				return nil
			})
		},
	}
}
