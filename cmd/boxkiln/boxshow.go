package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/boxkiln/boxkiln/daemon/client"
	"github.com/boxkiln/boxkiln/daemon/wire"
)

func newBoxShowCommand(env *environment) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "show ORG/BOX", Short: "Show a box with its versions and files", Args: boxAnd(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return env.withBoxes(cmd.Context(), func(c *client.Client) error {
				box, err := c.Box(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				if asJSON {
					return json.NewEncoder(env.stdout).Encode(box)
				}
				return printBox(env.stdout, box)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print an object")
	return cmd
}

// digestWidth is how much of a digest a table shows.
const digestWidth = 12

func printBox(out io.Writer, b wire.Box) error {
	fmt.Fprintf(out, "%s  %s\n", private(b.Name, b.Private), harmless(b.ShortDescription, false))
	if rules := rulesOf(b.Retention); rules != "" {
		fmt.Fprintln(out, "  "+rules)
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "VERSION\tSTATE\tFILE\tSIZE\tSHA256\tDOWNLOADS\tRELEASED")
	for _, v := range b.Versions {
		fmt.Fprintf(w, "%s\t%s\t\t\t\t%d\t%s\n", v.Version, stateOf(v), v.Downloads, date(v.Released))
		for _, f := range v.Files {
			fmt.Fprintf(w, "\t\t%s\t%s\t%.*s\t\t\n", fileName(f), sizeFlag(f.Size), digestWidth, whereIs(f))
		}
	}
	return w.Flush()
}

// rulesOf is retention in words.
func rulesOf(r wire.Retention) string {
	var rules []string
	if r.KeepLast > 0 {
		rules = append(rules, fmt.Sprintf("the last %d versions", r.KeepLast))
	}
	if r.KeepNewer > 0 {
		rules = append(rules, "what was released within "+age(time.Duration(r.KeepNewer)*time.Second))
	}
	if len(rules) == 0 {
		return ""
	}
	return "keeps " + strings.Join(rules, " and ")
}

func stateOf(v wire.BoxVersion) string {
	text := v.State
	if len(v.Channels) > 0 {
		text += " (" + strings.Join(v.Channels, " ") + ")"
	}
	if v.Pinned {
		text += ", pinned"
	}
	if !v.Deleted.IsZero() {
		text += ", deleted"
	}
	if v.RevokedWhy != "" {
		text += ": " + harmless(v.RevokedWhy, false)
	}
	return text
}

func fileName(f wire.BoxFile) string {
	name := f.Provider + "/" + f.Architecture
	if f.Default {
		name += " (default)"
	}
	return name
}

// whereIs is the digest of a file, or what there is instead.
func whereIs(f wire.BoxFile) string {
	switch {
	case f.SHA256 != "":
		return f.SHA256
	case f.URL != "":
		return "elsewhere"
	}
	return "not here yet"
}
