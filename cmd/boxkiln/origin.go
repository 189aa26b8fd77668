package main

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/inputs"
	"github.com/boxkiln/boxkiln/internal/gitcheckout"
	"github.com/boxkiln/boxkiln/template"
)

// readOrigin finds out where a template comes from, for the provenance of what is built from it.
func readOrigin(ctx context.Context, t *template.Template, cwd string) (build.Origin, error) {
	list, err := inputs.Collect(cwd, append(append([]string(nil), t.Files...), t.Inputs...))
	if err != nil {
		return build.Origin{}, fmt.Errorf("a file of the template: %w", err)
	}
	secret := map[string]bool{}
	for _, name := range secretFiles(t) {
		if !filepath.IsAbs(name) {
			name = filepath.Join(cwd, name)
		}
		secret[filepath.Clean(name)] = true
	}
	for i := range list {
		if secret[list[i].Path] {
			list[i].Digest = ""
		}
	}
	o := build.Origin{Files: list}
	if s, ok := gitcheckout.Look(ctx, t.Dir); ok {
		o.Checkout = &build.Checkout{Remote: s.Remote, Commit: s.Commit, Modified: s.Modified}
	}
	return o, nil
}

// secretFiles are those that sensitive variables have their values from: var files, or the file that declares a default.
func secretFiles(t *template.Template) []string {
	var names []string
	for _, v := range t.Variables {
		if !v.Sensitive {
			continue
		}
		if len(v.Default) > 0 {
			names = append(names, v.Pos.File)
		}
		names = append(names, v.From) // "default" and the like are no files of the template
	}
	return names
}
