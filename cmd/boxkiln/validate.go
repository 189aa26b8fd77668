package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/boxkiln/boxkiln/daemon/build"
)

func newValidateCommand(env *environment) *cobra.Command {
	o := &templateOptions{}
	var syntaxOnly bool
	cmd := &cobra.Command{
		Use:   "validate [switches] TEMPLATE",
		Short: "Check a template, without building anything",
		Long: `Check a template: its syntax, every argument of every block, and what of it can be built here. Nothing is downloaded
and no machine is made. Switches are those of packer validate.` + exitHelp,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return runValidate(env, *o, args[0], syntaxOnly) },
	}
	o.addFlags(cmd)
	f := cmd.Flags()
	f.BoolVar(&syntaxOnly, "syntax-only", false, "check only the syntax, not the values")
	f.Bool("evaluate-datasources", false, "taken for Packer's command lines")
	f.Bool("no-warn-undeclared-var", false, "do not warn of values for variables that the template does not declare")
	return cmd
}

func runValidate(env *environment, o templateOptions, path string, syntaxOnly bool) error {
	parts := env.parts()
	t, err := env.load(path, o, parts)
	if err != nil {
		return err
	}
	if syntaxOnly {
		_, err := fmt.Fprintln(env.stdout, "Syntax-only check passed. Everything looks okay.")
		return err
	}
	cwd, err := os.Getwd()
	if err != nil {
		return err
	}
	plans, unbuilt, err := env.plans(t, parts, build.PlanOptions{Cwd: cwd, Options: build.Options{OnError: build.OnErrorCleanup}})
	if err != nil {
		return err
	}
	if err := readInputs(plans, parts); err != nil {
		return err
	}
	for _, text := range unbuilt {
		fmt.Fprintf(env.stderr, "Warning: %s\n", text)
	}
	for i := range plans {
		for _, w := range bootWarnings(&plans[i]) {
			fmt.Fprintf(env.stderr, "Warning: %s: %s\n", plans[i].Label, w)
		}
	}
	_, err = fmt.Fprintln(env.stdout, "The configuration is valid.")
	return err
}
