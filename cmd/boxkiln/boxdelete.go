package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/boxkiln/boxkiln/daemon/client"
	"github.com/boxkiln/boxkiln/daemon/wire"
)

func newBoxDeleteCommand(env *environment) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: "delete ORG/BOX [VERSION]", Short: "Move a version, or a box, to the trash", Args: boxAnd(cobra.RangeArgs(1, 2)),
		Long: `Hide a version, or a box with all its versions, from everybody at once. It can be restored until it is purged, a week later unless
the daemon says otherwise. Who downloaded it lately is shown before. The number of a version that was ever released stays used.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			box, version, shown := versionOrBox(args)
			return env.withBoxes(cmd.Context(), func(c *client.Client) error {
				if err := showUsers(cmd.Context(), env, c, box, version); err != nil {
					return err
				}
				if !yes {
					if err := env.confirm("Delete " + shown + "?"); err != nil {
						return err
					}
				}
				if err := c.DeleteBox(cmd.Context(), box, version); err != nil {
					return err
				}
				_, err := fmt.Fprintf(env.stdout, "%s is deleted; `boxkiln box restore %s` brings it back\n", shown, shown)
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

// showUsers tells who would miss a version, or the versions of a box.
func showUsers(ctx context.Context, env *environment, c *client.Client, name, version string) error {
	box, err := c.Box(ctx, name)
	if err != nil {
		return err
	}
	for _, v := range box.Versions {
		if version != "" && v.Version != version || v.LastUsed.IsZero() {
			continue
		}
		list, err := c.Downloads(ctx, name, v.Version)
		if err != nil {
			return err
		}
		printUsers(env, v, list)
	}
	return nil
}

// usersShown is how many of those who downloaded a version are named.
const usersShown = 10

func printUsers(env *environment, v wire.BoxVersion, list []wire.BoxDownload) {
	fmt.Fprintf(env.stderr, "%s was downloaded %d times, last %s:\n", v.Version, v.Downloads, date(v.LastUsed))
	for i, d := range list {
		if i == usersShown {
			fmt.Fprintf(env.stderr, "  and %d more\n", len(list)-i)
			return
		}
		fmt.Fprintf(env.stderr, "  %s  %s/%s  %d times, last %s ago\n", harmless(d.Client, false), d.Provider, d.Architecture, d.Count, age(time.Since(d.At)))
	}
}

func newBoxRestoreCommand(env *environment) *cobra.Command {
	return newTrashVerb(env, "restore ORG/BOX [VERSION]", "Bring a version, or a box, back from the trash", "is there again", (*client.Client).RestoreBox)
}

func newBoxPurgeCommand(env *environment) *cobra.Command {
	return newTrashVerb(env, "purge ORG/BOX [VERSION]", "Remove a version, or a box, from the trash for good (admin)", "is gone", (*client.Client).PurgeBox)
}

// newTrashVerb makes a verb for what is in the trash.
func newTrashVerb(env *environment, use, short, said string, do func(*client.Client, context.Context, string, string) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: boxAnd(cobra.RangeArgs(1, 2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			box, version, shown := versionOrBox(args)
			return env.withBoxes(cmd.Context(), func(c *client.Client) error {
				if err := do(c, cmd.Context(), box, version); err != nil {
					return err
				}
				_, err := fmt.Fprintln(env.stdout, shown, said)
				return err
			})
		},
	}
}
