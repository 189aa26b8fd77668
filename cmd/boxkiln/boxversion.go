package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/boxkiln/boxkiln/daemon/client"
	"github.com/boxkiln/boxkiln/daemon/wire"
)

func newBoxReleaseCommand(env *environment) *cobra.Command {
	var channels []string
	cmd := newVersionVerb(env, "release ORG/BOX VERSION", "Open a draft to clients; from then on it never changes", "is released",
		func(ctx context.Context, c *client.Client, box, version string) error {
			return c.Release(ctx, box, version, channels...)
		})
	cmd.Flags().StringSliceVar(&channels, "channel", nil, "into this channel, such as candidate; stable unless given, and again for more")
	return cmd
}

func newBoxRevokeCommand(env *environment) *cobra.Command {
	var why string
	cmd := newVersionVerb(env, "revoke ORG/BOX VERSION", "Hide a released version for good", "is revoked",
		func(ctx context.Context, c *client.Client, box, version string) error {
			return c.Revoke(ctx, box, version, why)
		})
	cmd.Flags().StringVar(&why, "why", "", "the reason, for whoever used it")
	return cmd
}

func newBoxPromoteCommand(env *environment) *cobra.Command {
	var channel string
	cmd := newVersionVerb(env, "promote ORG/BOX VERSION", "Put a released version into a channel, without building it again", "is promoted",
		func(ctx context.Context, c *client.Client, box, version string) error {
			return c.Promote(ctx, box, version, channel)
		})
	cmd.Flags().StringVar(&channel, "channel", "stable", "the channel")
	return cmd
}

func newBoxDemoteCommand(env *environment) *cobra.Command {
	var channel string
	cmd := newVersionVerb(env, "demote ORG/BOX VERSION --channel CHANNEL", "Take a version out of a channel, but not out of its last one", "is demoted",
		func(ctx context.Context, c *client.Client, box, version string) error {
			return c.Demote(ctx, box, version, channel)
		})
	cmd.Flags().StringVar(&channel, "channel", "", "the channel")
	cobra.CheckErr(cmd.MarkFlagRequired("channel"))
	return cmd
}

func newBoxPinCommand(env *environment) *cobra.Command {
	return newVersionVerb(env, "pin ORG/BOX VERSION", "Keep retention away from a version", "is pinned", pin(true))
}

func newBoxUnpinCommand(env *environment) *cobra.Command {
	return newVersionVerb(env, "unpin ORG/BOX VERSION", "Leave a version to retention again", "is no longer pinned", pin(false))
}

func pin(pinned bool) func(context.Context, *client.Client, string, string) error {
	return func(ctx context.Context, c *client.Client, box, version string) error {
		return c.EditVersion(ctx, box, version, wire.VersionEdit{Pinned: &pinned})
	}
}

func newBoxDescribeCommand(env *environment) *cobra.Command {
	var text string
	cmd := newVersionVerb(env, "describe ORG/BOX VERSION", "Change the release notes of a version", "is described",
		func(ctx context.Context, c *client.Client, box, version string) error {
			notes, err := textOrFile(text)
			if err != nil {
				return err
			}
			return c.EditVersion(ctx, box, version, wire.VersionEdit{Description: &notes})
		})
	cmd.Flags().StringVar(&text, "description", "", "release notes in Markdown, or @FILE")
	cobra.CheckErr(cmd.MarkFlagRequired("description"))
	return cmd
}

func newBoxRetentionCommand(env *environment) *cobra.Command {
	var keep int
	var newer durationFlag
	var preview bool
	cmd := &cobra.Command{
		Use: "retention ORG/BOX", Short: "Show or set which versions stay when new ones come", Args: boxAnd(cobra.ExactArgs(1)),
		Long: `Show the retention rules of a box, or set them. A version is deleted when every rule that is set lets it go; drafts, the newest
version of each channel, pinned ones and those that somebody downloaded in the last 30 days stay whatever the rules say.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, rules := cmd.Context(), wire.Retention{KeepLast: keep, KeepNewer: int64(newer.Seconds())}
			given := cmd.Flags().Changed("keep") || cmd.Flags().Changed("keep-newer")
			return env.withBoxes(ctx, func(c *client.Client) error {
				if given && !preview {
					if err := c.SetRetention(ctx, args[0], rules); err != nil {
						return err
					}
				}
				ask := func() (wire.RetentionReply, error) { return c.Retention(ctx, args[0]) }
				if given && preview {
					ask = func() (wire.RetentionReply, error) { return c.PreviewRetention(ctx, args[0], rules) }
				}
				reply, err := ask()
				if err != nil {
					return err
				}
				return printRetention(env, args[0], reply)
			})
		},
	}
	f := cmd.Flags()
	f.IntVar(&keep, "keep", 0, "the highest N versions stay; 0 for no such rule")
	f.Var(&newer, "keep-newer", "what was released within this time stays, such as 90d or 720h; 0 for no such rule")
	f.BoolVar(&preview, "preview", false, "only show what the rules would delete")
	return cmd
}

func printRetention(env *environment, box string, r wire.RetentionReply) error {
	rules := rulesOf(r.Retention)
	if rules == "" {
		rules = "keeps every version"
	}
	fmt.Fprintf(env.stdout, "%s %s\n", box, rules)
	if len(r.Expired) > 0 {
		fmt.Fprintf(env.stdout, "To be deleted: %s\n", strings.Join(r.Expired, ", "))
	}
	return nil
}
