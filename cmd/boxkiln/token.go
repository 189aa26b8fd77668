package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/boxkiln/boxkiln/daemon/client"
	"github.com/boxkiln/boxkiln/internal/auth"
)

func newTokenCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{Use: "token", Short: "Make, list and revoke the tokens that requests over TCP need"}
	cmd.AddCommand(newTokenCreateCommand(env), newTokenLsCommand(env), newTokenRevokeCommand(env))
	return cmd
}

// tokenStore is where tokens are managed: the daemon, or the database itself when no daemon runs.
type tokenStore interface {
	create(ctx context.Context, name, scope string, lifetime time.Duration) (string, error)
	list(ctx context.Context) ([]auth.Token, error)
	revoke(ctx context.Context, nameOrID string) error
}

// withTokens calls fn with the daemon if one answers, else with the database.
func (e *environment) withTokens(ctx context.Context, fn func(tokenStore) error) error {
	c, err := e.client()
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Info(ctx)
	if err == nil {
		return fn(remoteTokens{c})
	}
	if !errors.Is(err, client.ErrNoDaemon) || e.remote() {
		return err
	}
	db, err := e.openDB(ctx)
	if err != nil {
		return err
	}
	tokens, err := auth.Open(ctx, db, now, nil)
	if err != nil {
		return errors.Join(err, db.Close())
	}
	return errors.Join(fn(localTokens{tokens}), db.Close())
}

type remoteTokens struct{ c *client.Client }

func (r remoteTokens) create(ctx context.Context, name, scope string, lifetime time.Duration) (string, error) {
	return r.c.CreateToken(ctx, name, scope, lifetime)
}
func (r remoteTokens) list(ctx context.Context) ([]auth.Token, error) { return r.c.Tokens(ctx) }
func (r remoteTokens) revoke(ctx context.Context, nameOrID string) error {
	return r.c.RevokeToken(ctx, nameOrID)
}

type localTokens struct{ t *auth.Tokens }

func (l localTokens) create(ctx context.Context, name, scope string, lifetime time.Duration) (string, error) {
	s, err := auth.ParseScope(scope)
	if err != nil {
		return "", err
	}
	var expires time.Time
	if lifetime > 0 {
		expires = now().Add(lifetime)
	}
	return l.t.Create(ctx, name, s, expires)
}
func (l localTokens) list(ctx context.Context) ([]auth.Token, error) { return l.t.List(ctx) }
func (l localTokens) revoke(ctx context.Context, nameOrID string) error {
	return l.t.Revoke(ctx, nameOrID)
}

func newTokenCreateCommand(env *environment) *cobra.Command {
	var scope string
	var lifetime time.Duration
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Make a token and print it, the only time that it is shown", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return env.withTokens(cmd.Context(), func(t tokenStore) error {
				token, err := t.create(cmd.Context(), args[0], scope, lifetime)
				if err != nil {
					return err
				}
				fmt.Fprintf(env.stderr, "The token %q has scope %s. It is shown only now:\n", args[0], scope)
				_, err = fmt.Fprintln(env.stdout, token)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&scope, "scope", string(auth.Read), "what it permits: read, write or admin")
	cmd.Flags().DurationVar(&lifetime, "lifetime", 0, "how long it is valid, such as 720h; 0 for ever")
	return cmd
}

func newTokenLsCommand(env *environment) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "ls", Short: "List tokens", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return env.withTokens(cmd.Context(), func(t tokenStore) error {
				tokens, err := t.list(cmd.Context())
				if err != nil {
					return err
				}
				if asJSON {
					return printJSONLines(env, tokens)
				}
				w := tabwriter.NewWriter(env.stdout, 0, 4, 2, ' ', 0)
				fmt.Fprintln(w, "ID\tNAME\tSCOPE\tCREATED\tLAST USED\tEND")
				for _, k := range tokens {
					fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\n", k.ID, k.Name, k.Scope, date(k.Created), date(k.LastUsed), end(k))
				}
				return w.Flush()
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print an object for each token, one on a line")
	return cmd
}

func date(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format(time.DateTime)
}

func end(k auth.Token) string {
	if !k.Revoked.IsZero() {
		return "revoked " + date(k.Revoked)
	}
	return date(k.Expires)
}

func newTokenRevokeCommand(env *environment) *cobra.Command {
	return &cobra.Command{
		Use: "revoke NAME|ID", Short: "End a token at once", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return env.withTokens(cmd.Context(), func(t tokenStore) error { return t.revoke(cmd.Context(), args[0]) })
		},
	}
}
