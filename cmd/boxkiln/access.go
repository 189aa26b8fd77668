package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/boxkiln/boxkiln/daemon/api"
	"github.com/boxkiln/boxkiln/daemon/client"
	"github.com/boxkiln/boxkiln/internal/audit"
	"github.com/boxkiln/boxkiln/internal/auth"
)

// access is where tokens, users and organisations are managed and the record of it is: the daemon, or the database itself
// when no daemon runs.
type access struct {
	api.Access
	audit api.Audit
}

// withAccess calls fn with the daemon if one answers, else with the database.
func (e *environment) withAccess(ctx context.Context, fn func(context.Context, access) error) error {
	c, err := e.client()
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Info(ctx)
	if err == nil {
		return fn(ctx, access{c.Access(), c.Audit()})
	}
	if !errors.Is(err, client.ErrNoDaemon) || e.remote() {
		return err
	}
	return e.withDatabase(ctx, fn)
}

func (e *environment) withDatabase(ctx context.Context, fn func(context.Context, access) error) error {
	db, err := e.openDB(ctx)
	if err != nil {
		return err
	}
	record, err := audit.Open(ctx, db, now)
	if err != nil {
		return errors.Join(err, db.Close())
	}
	tokens, err := auth.Open(ctx, db, now, record)
	if err != nil {
		return errors.Join(err, db.Close())
	}
	ctx = auth.WithPrincipal(ctx, auth.Principal{Name: "command line", Scope: auth.Admin, Local: true})
	return errors.Join(fn(ctx, access{tokens, record}), db.Close())
}

// newAccessVerb is a command that does one thing with arguments.
func newAccessVerb(env *environment, use, short string, args int, do func(ctx context.Context, a access, args []string) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: cobra.ExactArgs(args),
		RunE: func(cmd *cobra.Command, args []string) error {
			return env.withAccess(cmd.Context(), func(ctx context.Context, a access) error { return do(ctx, a, args) })
		},
	}
}

// newAccessList is a command that lists what get returns: a head and a row for each, with tabs between the columns.
func newAccessList[T any](env *environment, use, short string, get func(context.Context, access) ([]T, error), head string, row func(T) string) *cobra.Command {
	var asJSON bool
	cmd := newAccessVerb(env, use, short, 0, func(ctx context.Context, a access, _ []string) error {
		list, err := get(ctx, a)
		if err != nil {
			return err
		}
		if asJSON {
			return printJSONLines(env, list)
		}
		w := tabwriter.NewWriter(env.stdout, 0, 4, 2, ' ', 0)
		fmt.Fprintln(w, head)
		for _, v := range list {
			fmt.Fprintln(w, row(v))
		}
		return w.Flush()
	})
	cmd.Flags().BoolVar(&asJSON, "json", false, "print an object for each, one on a line")
	return cmd
}
