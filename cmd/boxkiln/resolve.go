package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/inputs"
	"github.com/boxkiln/boxkiln/template"
)

// templateOptions are the switches that decide what a template means.
type templateOptions struct {
	vars, varFiles, only, except []string
	warnUndeclared               bool
}

// addFlags adds Packer's switches.
func (o *templateOptions) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringArrayVar(&o.vars, "var", nil, "variable as NAME=VALUE; may be repeated")
	f.StringArrayVar(&o.varFiles, "var-file", nil, "file with variables; may be repeated")
	f.StringSliceVar(&o.only, "only", nil, "build only the builds whose names match these patterns")
	f.StringSliceVar(&o.except, "except", nil, "leave out the builds and post-processors whose names match these patterns")
	f.BoolVar(&o.warnUndeclared, "warn-on-undeclared-var", false, "warn of values for variables that the template does not declare")
	f.Bool("ignore-prerelease-plugins", false, "taken for Packer's command lines; there are no plugins")
	f.Bool("use-sequential-evaluation", false, "taken for Packer's command lines")
}

// load reads the template and prints what is to be said about it. It returns silentError if it cannot be used.
func (e *environment) load(path string, o templateOptions, parts build.Parts) (*template.Template, error) {
	cwd, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	t, diags := template.Load(path, parts.Template(), template.Options{
		Dir: cwd, Vars: o.vars, VarFiles: o.varFiles, Environ: e.environ(), Only: o.only, Except: o.except,
		WarnUndeclared: o.warnUndeclared, ReadAnywhere: true,
	})
	for _, d := range diags {
		fmt.Fprintln(e.stderr, d.String())
	}
	if diags.HasErrors() {
		return t, silentError{exitFailed}
	}
	return t, nil
}

// plans resolves every source of a template. Sources that cannot be built are reported and counted; mistakes in one that
// could be built end it all.
func (e *environment) plans(t *template.Template, parts build.Parts, o build.PlanOptions) (plans []build.Plan, unbuilt []string, err error) {
	if o.RunUUID == "" {
		o.RunUUID = uuid.NewString()
	}
	var wrong error
	for _, src := range t.Sources() {
		if src.Missing != "" {
			unbuilt = append(unbuilt, fmt.Sprintf("%s: %s", src.Label(), src.Missing))
			continue
		}
		p, err := build.NewPlan(t, src, parts, o)
		if err != nil {
			wrong = errors.Join(wrong, err)
			continue
		}
		plans = append(plans, *p)
	}
	if wrong != nil {
		e.printProblems(wrong)
		return nil, unbuilt, silentError{exitFailed}
	}
	return plans, unbuilt, nil
}

// printProblems prints mistakes that were found while plans were made, each at its block.
func (e *environment) printProblems(err error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, one := range joined.Unwrap() {
			e.printProblems(one)
		}
		return
	}
	d := template.Diagnostic{Severity: template.Error, Summary: err.Error()}
	var p *build.Problem
	if errors.As(err, &p) {
		d.Pos, d.Snippet = p.Pos, sourceLine(p.Pos)
	}
	fmt.Fprintln(e.stderr, d.String())
}

// sourceLine is the line of a template at pos, or empty if it cannot be read any more.
func sourceLine(pos template.Pos) string {
	data, err := os.ReadFile(pos.File)
	if err != nil || pos.Line < 1 {
		return ""
	}
	all := strings.Split(string(data), "\n")
	return all[min(pos.Line, len(all))-1]
}

// readInputs hashes the files that each plan names.
func readInputs(plans []build.Plan, parts build.Parts) error {
	var errs error
	for i := range plans {
		if err := findSource(&plans[i], parts); err != nil {
			errs = errors.Join(errs, fmt.Errorf("%s: source_path: %w", plans[i].Label, err))
			continue
		}
		names, err := build.InputNames(&plans[i], parts)
		if err == nil {
			plans[i].Inputs, err = inputs.Collect(plans[i].Cwd, names)
		}
		if err != nil {
			errs = errors.Join(errs, fmt.Errorf("%s: a file that the template names: %w (relative names start at %s)", plans[i].Label, err, plans[i].Cwd))
		}
	}
	return errs
}

// findSource notes the files of an exported machine that lies on this machine.
func findSource(p *build.Plan, parts build.Parts) error {
	files := parts.Sources[p.Builder].SourceFiles
	name, local := localName(p.Machine.Source)
	if files == nil || !local {
		return nil
	}
	if !filepath.IsAbs(name) {
		name = filepath.Join(p.Cwd, name)
	}
	dir := filepath.Dir(name)
	list, err := files(os.DirFS(dir), filepath.Base(name))
	if err != nil {
		return err
	}
	p.SourceFiles = nil
	for _, f := range list {
		p.SourceFiles = append(p.SourceFiles, filepath.Join(dir, f))
	}
	return nil
}

// localName is the path that a path or file: URL names; false for what is fetched over the network.
func localName(source string) (string, bool) {
	if path, ok := strings.CutPrefix(source, "file://"); ok {
		return path, true
	}
	return source, source != "" && !strings.Contains(source, "://")
}
