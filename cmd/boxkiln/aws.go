package main

import (
	"context"
	"encoding/json"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/boxkiln/boxkiln/daemon/client"
	"github.com/boxkiln/boxkiln/daemon/wire"
	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/aws"
)

func newAWSCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{Use: "aws", Short: "What this installation holds in Amazon EC2"}
	cmd.AddCommand(newOrphansCommand(env))
	return cmd
}

// orphansOptions are the switches of `boxkiln aws orphans`.
type orphansOptions struct {
	regions        []string
	remove, asJSON bool
}

func newOrphansCommand(env *environment) *cobra.Command {
	var o orphansOptions
	cmd := &cobra.Command{
		Use: "orphans", Short: "List, or remove, what carries our tag in EC2 and belongs to no build", Args: cobra.NoArgs,
		Long: `List what EC2 holds with the tag of this installation and no build accounts for: instances, volumes, security groups, key
pairs, images and snapshots. There should be none but what was left on purpose, by -on-error=abort. Images that a build has
handed over are never listed. The daemon asks, with the credentials of its own environment.` + exitHelp,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return env.withDaemon(cmd.Context(), func(c *client.Client) error { return env.orphans(cmd.Context(), c, o) })
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&o.regions, "region", nil, "regions to look at (default: that of the daemon's environment)")
	f.BoolVar(&o.remove, "remove", false, "remove what is found")
	f.BoolVar(&o.asJSON, "json", false, "print JSON")
	return cmd
}

func (e *environment) orphans(ctx context.Context, c *client.Client, o orphansOptions) error {
	reply, err := c.Orphans(ctx, aws.Name, o.regions)
	if err != nil {
		return err
	}
	if o.remove && len(reply.Orphans) > 0 {
		req := wire.OrphansRequest{Regions: o.regions}
		for _, k := range reply.Orphans {
			req.IDs = append(req.IDs, k.ID)
		}
		if reply, err = c.RemoveOrphans(ctx, aws.Name, req); err != nil {
			return err
		}
	}
	if o.asJSON {
		return json.NewEncoder(e.stdout).Encode(reply)
	}
	return e.printOrphans(reply.Orphans, o.remove)
}

func (e *environment) printOrphans(list []hypervisor.Keepsake, removed bool) error {
	if len(list) == 0 {
		fmt.Fprintln(e.stdout, "Nothing in EC2 belongs to no build.")
		return nil
	}
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "REGION\tKIND\tID\tNAME\tBUILD\tATTEMPT\tMADE")
	for _, k := range list {
		made := ""
		if !k.Made.IsZero() {
			made = k.Made.UTC().Format(time.DateTime)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\t%s\n", k.Region, k.Kind, k.ID, k.Name, k.Tag.Build, k.Tag.Attempt, made)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if removed {
		fmt.Fprintf(e.stdout, "Removed %d.\n", len(list))
	}
	return nil
}
