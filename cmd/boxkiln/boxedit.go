package main

import (
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/boxkiln/boxkiln/daemon/client"
	"github.com/boxkiln/boxkiln/daemon/wire"
)

// boxEdit are the switches that describe a box.
type boxEdit struct {
	short, description string
	private, public    bool
}

func (o *boxEdit) addFlags(f *pflag.FlagSet) {
	f.StringVar(&o.short, "short", "", "description in one line")
	f.StringVar(&o.description, "description", "", "description in Markdown, or @FILE")
	f.BoolVar(&o.private, "private", false, "only for whoever may read in the organisation")
}

// edit is what the switches that were given change.
func (o *boxEdit) edit(f *pflag.FlagSet) (e wire.BoxEdit, err error) {
	if f.Changed("short") {
		e.ShortDescription = &o.short
	}
	if f.Changed("description") {
		var text string
		text, err = textOrFile(o.description)
		e.Description = &text
	}
	if f.Changed("private") {
		e.Private = &o.private
	}
	if o.public {
		no := false
		e.Private = &no
	}
	return e, err
}

func newBoxCreateCommand(env *environment) *cobra.Command {
	o := &boxEdit{}
	cmd := &cobra.Command{
		Use: "create ORG/BOX", Short: "Make an empty box", Args: boxAnd(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			e, err := o.edit(cmd.Flags())
			if err != nil {
				return err
			}
			return env.withBoxes(cmd.Context(), func(c *client.Client) error {
				if err := c.CreateBox(cmd.Context(), args[0], e); err != nil {
					return err
				}
				_, err := fmt.Fprintf(env.stdout, "%s is there\n", args[0])
				return err
			})
		},
	}
	o.addFlags(cmd.Flags())
	return cmd
}

func newBoxEditCommand(env *environment) *cobra.Command {
	o := &boxEdit{}
	var name string
	cmd := &cobra.Command{
		Use: "edit ORG/BOX", Short: "Change the descriptions, the visibility or the name of a box", Args: boxAnd(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			e, err := o.edit(cmd.Flags())
			if err != nil {
				return err
			}
			if name != "" {
				e.Name = &name
			}
			return env.withBoxes(cmd.Context(), func(c *client.Client) error {
				if err := c.EditBox(cmd.Context(), args[0], e); err != nil {
					return err
				}
				_, err := fmt.Fprintf(env.stdout, "%s is changed\n", args[0])
				return err
			})
		},
	}
	o.addFlags(cmd.Flags())
	cmd.Flags().BoolVar(&o.public, "public", false, "for everybody")
	cmd.Flags().StringVar(&name, "name", "", "another name, ORG/BOX; clients of the old one do not find it any more")
	cmd.MarkFlagsMutuallyExclusive("private", "public")
	return cmd
}
