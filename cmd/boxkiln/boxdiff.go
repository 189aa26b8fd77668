package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/sbom"
	"github.com/boxkiln/boxkiln/daemon/client"
	"github.com/boxkiln/boxkiln/daemon/wire"
)

// fileQuery reads the arguments "ORG/BOX VERSION", before the daemon is asked.
func fileQuery(box, version string, q *client.FileQuery) error {
	if _, err := boxregistry.ParseName(box); err != nil {
		return err
	}
	if _, err := boxregistry.ParseVersion(version); err != nil {
		return err
	}
	q.Box, q.Version = box, version
	return nil
}

func newBoxDiffCommand(env *environment) *cobra.Command {
	var q client.FileQuery
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "diff ORG/BOX VERSION [VERSION]",
		Short: "Show which packages differ between two versions of a box",
		Long: `Show which packages were added, removed, upgraded and downgraded from the first version to the second; with one
version, from the one before it. Versions of packages are compared as their own manager does. Packages are known of
boxes that this registry's own builds made.`,
		Args: cobra.RangeArgs(2, 3),
		RunE: func(cmd *cobra.Command, args []string) error {
			from, to := "", args[1]
			if len(args) == 3 {
				from, to = args[1], args[2]
				if _, err := boxregistry.ParseVersion(from); err != nil {
					return err
				}
			}
			if err := fileQuery(args[0], to, &q); err != nil {
				return err
			}
			return env.withDaemon(cmd.Context(), func(c *client.Client) error {
				d, err := c.PackageDiff(cmd.Context(), q, from)
				if err != nil {
					return err
				}
				if asJSON {
					return json.NewEncoder(env.stdout).Encode(d)
				}
				return printDiff(env.stdout, d)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&q.Provider, "provider", "", "of the boxes, such as libvirt; may be left out where there is one only")
	f.StringVar(&q.Architecture, "architecture", "", "of the boxes, such as amd64; the provider's default unless given")
	f.BoolVar(&asJSON, "json", false, "print an object")
	return cmd
}

func printDiff(out io.Writer, d wire.PackageDiff) error {
	c := d.Changes
	fmt.Fprintf(out, "%s, since %s: %d added, %d removed, %d upgraded, %d downgraded, %d unchanged\n", d.To, d.From.Version,
		len(c.Added), len(c.Removed), len(c.Upgraded), len(c.Downgraded), c.Unchanged)
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	packages := func(mark string, list []sbom.Package) {
		for _, p := range list {
			fmt.Fprintf(w, "%s\t%s\t%s\n", mark, packageName(p.Name, p.Arch), p.Version)
		}
	}
	changes := func(mark string, list []sbom.Change) {
		for _, p := range list {
			fmt.Fprintf(w, "%s\t%s\t%s -> %s\n", mark, packageName(p.Name, p.Arch), p.From, p.To)
		}
	}
	packages("added", c.Added)
	packages("removed", c.Removed)
	changes("upgraded", c.Upgraded)
	changes("downgraded", c.Downgraded)
	return w.Flush()
}

func packageName(name, arch string) string {
	if arch == "" {
		return name
	}
	return name + ":" + arch
}

func newBoxParityCommand(env *environment) *cobra.Command {
	var q client.FileQuery
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "parity ORG/BOX VERSION",
		Short: "Show which packages the providers of a version do not have in common",
		Long: `Compare what is installed in all boxes of a version, and show the packages that not all of them have, or not in the
same version. The architectures of the packages are not compared.`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := fileQuery(args[0], args[1], &q); err != nil {
				return err
			}
			return env.withDaemon(cmd.Context(), func(c *client.Client) error {
				r, err := c.Parity(cmd.Context(), q)
				if err != nil {
					return err
				}
				if asJSON {
					return json.NewEncoder(env.stdout).Encode(r)
				}
				return printParity(env.stdout, r)
			})
		},
	}
	cmd.Flags().StringVar(&q.Architecture, "architecture", "", "compare only the boxes for this architecture")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print an object")
	return cmd
}

func printParity(out io.Writer, r wire.ParityReport) error {
	p := r.Parity
	for _, side := range r.Unknown {
		fmt.Fprintf(out, "%s: nobody recorded what is installed\n", side)
	}
	if len(p.Sides) < 2 {
		_, err := fmt.Fprintf(out, "%s %s: there is nothing to compare: the packages of %d of its boxes are known\n", r.Box, r.Version, len(p.Sides))
		return err
	}
	fmt.Fprintf(out, "%s %s: %d packages are the same in %s, %d differ\n", r.Box, r.Version, p.Same, strings.Join(p.Sides, ", "), len(p.Differ))
	if len(p.Differ) == 0 {
		return nil
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "PACKAGE\t"+strings.Join(p.Sides, "\t"))
	for _, d := range p.Differ {
		fmt.Fprint(w, d.Name)
		for _, v := range d.Versions {
			fmt.Fprint(w, "\t"+cmp.Or(v, "-"))
		}
		fmt.Fprintln(w)
	}
	return w.Flush()
}
