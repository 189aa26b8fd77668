package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/boxkiln/boxkiln/hypervisor/bootcmd"
	"github.com/boxkiln/boxkiln/template"

	"github.com/boxkiln/boxkiln/daemon/build"
)

func newInspectCommand(env *environment) *cobra.Command {
	o := &templateOptions{}
	var machine bool
	cmd := &cobra.Command{
		Use: "inspect [switches] TEMPLATE", Short: "Show the variables, sources, provisioners and post-processors of a template",
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			t, err := env.load(args[0], *o, env.parts())
			if err != nil && len(t.Builds) == 0 {
				return err
			}
			return inspect(env.stdout, t)
		},
	}
	o.addFlags(cmd)
	cmd.Flags().BoolVar(&machine, "machine-readable", false, "taken for Packer's command lines")
	return cmd
}

func inspect(w io.Writer, t *template.Template) error {
	p := &lister{w: w}
	p.print("Packer Inspect: %s\n\n> input-variables:\n\n", kindName(t))
	for _, v := range t.Variables {
		p.print("var.%s: %s\n", v.Name, shown(v))
	}
	p.print("\n> builds:\n\n")
	for i, b := range t.Builds {
		name := b.Name
		if name == "" {
			name = fmt.Sprintf("<unnamed build %d>", i)
		}
		p.print("  > %s:\n\n", name)
		if b.Description != "" {
			p.print("    > Description: %s\n\n", b.Description)
		}
		for _, s := range b.Sources {
			p.source(s)
		}
	}
	return p.err
}

func kindName(t *template.Template) string {
	if t.Legacy {
		return "JSON mode"
	}
	return "HCL2 mode"
}

func shown(v template.Variable) string {
	switch {
	case v.Sensitive:
		return `"<sensitive>"`
	case v.Value == nil:
		return `"<unknown>"`
	}
	return string(v.Value)
}

// lister prints until an error.
type lister struct {
	w   io.Writer
	err error
}

func (p *lister) print(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}

func (p *lister) source(s template.Source) {
	p.print("    > source %s:\n", s.Label())
	if s.Missing != "" {
		p.print("      cannot be built: %s\n", s.Missing)
	}
	p.print("\n      > provisioners:\n\n")
	for _, pr := range s.Provisioners {
		p.print("        %s\n", named(pr.Type, pr.Name))
	}
	if len(s.Provisioners) == 0 {
		p.print("        <no provisioner>\n")
	}
	p.print("\n      > post-processors:\n\n")
	for i, chain := range s.PostProcessors {
		p.print("        > %d:\n", i)
		for _, pp := range chain {
			p.print("          %s\n", named(pp.Type, pp.Name))
		}
	}
	if len(s.PostProcessors) == 0 {
		p.print("        <no post-processor>\n")
	}
	p.print("\n")
}

func named(typ, name string) string {
	if name == "" {
		return typ
	}
	return typ + " " + name
}

// bootWarnings are what is odd in the boot command of a plan, as far as it is known before the build runs.
func bootWarnings(p *build.Plan) []bootcmd.Warning {
	text := ""
	for _, part := range p.Boot.BootCommand {
		text += part
	}
	_, warnings, err := bootcmd.Parse(text)
	if err != nil {
		return nil // rendering may still change it; mistakes that cannot be mended were found by the plan
	}
	return warnings
}
