package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/boxkiln/boxkiln/internal/audit"
)

func newAuditCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{Use: "audit", Short: "See who changed what, and whether that record is whole"}
	cmd.AddCommand(newAuditLsCommand(env), newAccessVerb(env, "verify", "Check that no entry was changed or taken out of the middle", 0,
		func(ctx context.Context, a access, _ []string) error {
			n, head, err := a.audit.Verify(ctx)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(env.stdout, "%d entries are as they were written; the last has the hash %s\n", n, dash(head))
			return err
		}))
	return cmd
}

func newAuditLsCommand(env *environment) *cobra.Command {
	var q audit.Query
	cmd := newAccessList(env, "ls", "List changes, newest first", func(ctx context.Context, a access) ([]audit.Entry, error) { return a.audit.List(ctx, q) },
		"ID\tAT\tACTOR\tACTION\tSUBJECT\tDETAIL", func(e audit.Entry) string {
			return fmt.Sprintf("%d\t%s\t%s\t%s\t%s\t%s", e.ID, date(e.At), printable(e.Actor), e.Action, printable(e.Subject), printable(e.Detail))
		})
	cmd.Flags().StringVar(&q.Subject, "subject", "", "only changes of what has this in its name")
	cmd.Flags().Int64Var(&q.Before, "before", 0, "only entries with a lower id, for the next page")
	cmd.Flags().IntVar(&q.Limit, "limit", 100, "how many at most")
	return cmd
}
