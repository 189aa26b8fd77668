package main

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/boxkiln/boxkiln/daemon/client"
	"github.com/boxkiln/boxkiln/daemon/wire"
)

func newBoxLsCommand(env *environment) *cobra.Command {
	var q client.BoxQuery
	var asJSON, trash bool
	cmd := &cobra.Command{
		Use: "ls [TEXT]", Short: "List boxes whose name or description holds a text", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				q.Search = args[0]
			}
			return env.withBoxes(cmd.Context(), func(c *client.Client) error {
				if trash {
					return listTrash(cmd, env, c, asJSON)
				}
				return listBoxes(cmd, env, c, q, asJSON)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&q.Org, "org", "", "only of this organisation")
	f.StringVar(&q.Provider, "provider", "", "only with a file for this provider in the newest version")
	f.StringVar(&q.Architecture, "architecture", "", "only with a file for this architecture in the newest version")
	f.StringVar(&q.Sort, "sort", "", "updated, created, downloads or size; by name unless given")
	f.BoolVar(&trash, "trash", false, "list deleted boxes, which can be restored")
	f.BoolVar(&asJSON, "json", false, "print an object for each box, one on a line")
	return cmd
}

// boxesPage is how many boxes are asked for at once.
const boxesPage = 500

func listBoxes(cmd *cobra.Command, env *environment, c *client.Client, q client.BoxQuery, asJSON bool) error {
	var all []wire.BoxSummary
	for q.Limit = boxesPage; ; q.Offset += boxesPage {
		page, err := c.Boxes(cmd.Context(), q)
		if err != nil {
			return err
		}
		all = append(all, page.Boxes...)
		if len(page.Boxes) == 0 || len(all) >= page.Total {
			break
		}
	}
	if asJSON {
		return printJSONLines(env, all)
	}
	w := tabwriter.NewWriter(env.stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "BOX\tNEWEST\tPROVIDERS\tARCHITECTURES\tSTORED\tDOWNLOADS\tUPDATED")
	for _, b := range all {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\t%s\n", private(b.Name, b.Private), dash(b.Newest), dash(strings.Join(b.Providers, " ")),
			dash(strings.Join(b.Architectures, " ")), sizeFlag(b.Stored), b.Downloads, date(b.Updated))
	}
	return w.Flush()
}

func private(name string, is bool) string {
	if is {
		return name + " (private)"
	}
	return name
}

func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func listTrash(cmd *cobra.Command, env *environment, c *client.Client, asJSON bool) error {
	list, err := c.Trash(cmd.Context())
	if err != nil {
		return err
	}
	if asJSON {
		return printJSONLines(env, list.Boxes)
	}
	w := tabwriter.NewWriter(env.stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "BOX\tDELETED")
	for _, b := range list.Boxes {
		fmt.Fprintf(w, "%s\t%s\n", private(b.Name, b.Private), date(b.Deleted))
	}
	return w.Flush()
}
