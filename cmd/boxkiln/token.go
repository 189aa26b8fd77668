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
	o := &tokenOptions{}
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Make a token and print it, the only time that it is shown", Args: cobra.ExactArgs(1),
		Long: `Make a token and print it, the only time that it is shown.

  --scope write                  it may write everywhere
  --org ops --scope write        it may write in ops and nowhere else; --org may be repeated
  --org ops=write --org lab=read it has another scope in each
  --user ada                     it may do all that ada may, now and later; with --scope or --org no more than these

Without --scope, --org and --user it may read everywhere.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			spec, err := o.spec(args[0])
			if err != nil {
				return err
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
	f := cmd.Flags()
	f.StringVar(&o.scope, "scope", "", "what it permits: read, write or admin; everywhere, unless --org says where")
	f.StringArrayVar(&o.orgs, "org", nil, "an organisation that it is for, as ORG or ORG=SCOPE; may be repeated")
	f.StringVar(&o.user, "user", "", "whose token it is; it never permits more than the user may do")
	f.Var(&o.expires, "expires", "when it ends: a day such as 2027-01-31, a time such as 2027-01-31T12:00:00Z, or a time span such as 90d")
	f.Var(&o.lifetime, "lifetime", "how long it is valid, such as 90d or 720h; for ever unless given")
	cmd.MarkFlagsMutuallyExclusive("expires", "lifetime")
	return cmd
}

// tokenOptions are the switches of `boxkiln token create`.
type tokenOptions struct {
	scope, user string
	orgs        []string
	expires     momentFlag
	lifetime    durationFlag
}

// spec is the token that the switches describe.
func (o *tokenOptions) spec(name string) (s auth.TokenSpec, err error) {
	s = auth.TokenSpec{Name: name, User: o.user, Scope: auth.Scope(o.scope), Expires: o.expires.Time}
	if o.lifetime.Duration > 0 {
		s.Expires = now().Add(o.lifetime.Duration)
	}
	var bare bool
	if s.Orgs, bare, err = parseOrgs(o.orgs, o.scope); err != nil {
		return s, err
	}
	switch {
	case bare:
		s.Scope = "" // --scope is what it permits there
	case o.scope == "" && len(o.orgs) == 0 && o.user == "":
		s.Scope = auth.Read
	}
	return s, nil
}

// parseOrgs reads ORG=SCOPE, or ORG for the scope given, and tells whether there was one of these.
func parseOrgs(flags []string, scope string) (orgs map[string]auth.Scope, bare bool, err error) {
	orgs = map[string]auth.Scope{}
	for _, flag := range flags {
		org, text, own := strings.Cut(flag, "=")
		if !own {
			bare, text = true, scope
		}
		if org == "" || text == "" {
			return nil, false, fmt.Errorf("--org %q: write it like --org acme=write, or add --scope", flag)
		}
		if orgs[org], err = auth.ParseScope(text); err != nil {
			return nil, false, fmt.Errorf("--org %q: %w", flag, err)
		}
	}
	return orgs, bare, nil
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
