package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/boxkiln/boxkiln/internal/auth"
)

func newOrgCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{Use: "org", Short: "Make, list and remove organisations, which own boxes, and say who may do what in them"}
	member := &cobra.Command{Use: "member", Short: "Say what users may do in an organisation"}
	member.AddCommand(
		newAccessVerb(env, "set ORG USER SCOPE", "Let a user read, write or admin an organisation", 3, func(ctx context.Context, a access, args []string) error {
			return a.SetMember(ctx, args[0], args[1], auth.Scope(args[2]))
		}),
		newAccessVerb(env, "rm ORG USER", "End a membership", 2, func(ctx context.Context, a access, args []string) error {
			return a.RemoveMember(ctx, args[0], args[1])
		}),
	)
	cmd.AddCommand(
		newAccessVerb(env, "create NAME", "Make an organisation", 1, func(ctx context.Context, a access, args []string) error { return a.CreateOrg(ctx, args[0]) }),
		newAccessList(env, "ls", "List organisations", func(ctx context.Context, a access) ([]auth.Org, error) { return a.Orgs(ctx) },
			"NAME\tCREATED\tMEMBERS", func(o auth.Org) string { return fmt.Sprintf("%s\t%s\t%s", o.Name, date(o.Created), dash(members(o))) }),
		newAccessVerb(env, "rm NAME", "Remove an organisation; its boxes stay", 1, func(ctx context.Context, a access, args []string) error { return a.RemoveOrg(ctx, args[0]) }),
		member,
	)
	return cmd
}

// members is "ada=admin bob=read".
func members(o auth.Org) string {
	var parts []string
	for _, m := range o.Members {
		parts = append(parts, m.User+"="+string(m.Scope))
	}
	return strings.Join(parts, " ")
}
