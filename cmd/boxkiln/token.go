package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/boxkiln/boxkiln/internal/auth"
)

func newTokenCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{Use: "token", Short: "Make, list and revoke the tokens that requests over TCP need"}
	cmd.AddCommand(newTokenCreateCommand(env), newTokenLsCommand(env), newTokenRevokeCommand(env))
	return cmd
}

func newTokenCreateCommand(env *environment) *cobra.Command {
	var spec auth.TokenSpec
	var scope string
	var orgs []string
	var lifetime time.Duration
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Make a token and print it, the only time that it is shown", Args: cobra.ExactArgs(1),
		Long: `Make a token and print it, the only time that it is shown.

Without --scope, --org and --user it may read everywhere. With --user alone it may do all that the user may, also later.`,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if spec.Orgs, err = parseOrgs(orgs); err != nil {
				return err
			}
			spec.Name, spec.Scope = args[0], auth.Scope(scope)
			if scope == "" && len(orgs) == 0 && spec.User == "" {
				spec.Scope = auth.Read
			}
			if lifetime > 0 {
				spec.Expires = now().Add(lifetime)
			}
			return env.withAccess(cmd.Context(), func(ctx context.Context, a access) error {
				token, err := a.Issue(ctx, spec)
				if err != nil {
					return err
				}
				fmt.Fprintf(env.stderr, "The token %q %s. It is shown only now:\n", spec.Name, permits(spec))
				_, err = fmt.Fprintln(env.stdout, token)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&scope, "scope", "", "what it permits everywhere: read, write or admin")
	cmd.Flags().StringArrayVar(&orgs, "org", nil, "what it permits in one organisation, as ORG=SCOPE; may be repeated")
	cmd.Flags().StringVar(&spec.User, "user", "", "whose token it is; it never permits more than the user may do")
	cmd.Flags().DurationVar(&lifetime, "lifetime", 0, "how long it is valid, such as 720h; 0 for ever")
	return cmd
}

// parseOrgs reads ORG=SCOPE of each.
func parseOrgs(flags []string) (map[string]auth.Scope, error) {
	orgs := map[string]auth.Scope{}
	for _, flag := range flags {
		org, text, ok := strings.Cut(flag, "=")
		if !ok || org == "" {
			return nil, fmt.Errorf("--org %q: write it like acme=write", flag)
		}
		scope, err := auth.ParseScope(text)
		if err != nil {
			return nil, fmt.Errorf("--org %q: %w", flag, err)
		}
		orgs[org] = scope
	}
	return orgs, nil
}

// permits says what a new token is good for.
func permits(s auth.TokenSpec) string {
	switch {
	case s.Scope == "" && len(s.Orgs) == 0:
		return fmt.Sprintf("permits what %s may do", s.User)
	case s.Scope == "":
		return "permits " + grants(s.Orgs)
	}
	return "has scope " + strings.TrimSuffix(string(s.Scope)+", "+grants(s.Orgs), ", ")
}

// grants is "acme=write other=read".
func grants(orgs map[string]auth.Scope) string {
	var parts []string
	for _, org := range slices.Sorted(maps.Keys(orgs)) {
		parts = append(parts, org+"="+string(orgs[org]))
	}
	return strings.Join(parts, " ")
}

func newTokenLsCommand(env *environment) *cobra.Command {
	return newAccessList(env, "ls", "List tokens", func(ctx context.Context, a access) ([]auth.Token, error) { return a.List(ctx) },
		"ID\tNAME\tUSER\tSCOPE\tORGS\tCREATED\tLAST USED\tEND", func(k auth.Token) string {
			return fmt.Sprintf("%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s", k.ID, k.Name, dash(k.User), dash(string(k.Scope)), dash(grants(k.Orgs)), date(k.Created), date(k.LastUsed), end(k))
		})
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
			return env.withAccess(cmd.Context(), func(ctx context.Context, a access) error { return a.Revoke(ctx, args[0]) })
		},
	}
}
