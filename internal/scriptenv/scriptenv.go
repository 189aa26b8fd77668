// Package scriptenv writes the environment of a script into the command that runs it, as Packer's shell and shell-local
// do: one text, made of a format such as "%s='%s' " for each variable.
package scriptenv

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/boxkiln/boxkiln/internal/shellquote"
)

// Packer's formats: before a command, and in a file that is sourced.
const (
	Prefix = "%s='%s' "
	Export = "export %s='%s'\n"
)

// Check finds variables that are not of the form KEY=value, and a format that does not take a key and a value.
func Check(vars []string, format string) error {
	var errs []error
	for _, kv := range vars {
		if key, _, found := strings.Cut(kv, "="); !found || key == "" {
			// The text may be a secret.
			errs = append(errs, fmt.Errorf("environment_vars: an entry of %d characters is not of the form \"KEY=value\"", len(kv)))
		}
	}
	if format != "" && strings.Contains(fmt.Sprintf(format, "k", "v"), "%!") {
		errs = append(errs, fmt.Errorf("env_var_format %q must hold two %%s, for the name and the value", format))
	}
	return errors.Join(errs...)
}

// Split reads checked KEY=value entries.
func Split(vars []string) map[string]string {
	m := make(map[string]string, len(vars))
	for _, kv := range vars {
		key, value, _ := strings.Cut(kv, "=")
		m[key] = value
	}
	return m
}

// Flatten writes the variables of the sets, sorted by name; a later set wins. Single quotes in values are escaped for a
// place between single quotes, as Packer's format has it.
func Flatten(format string, sets ...map[string]string) string {
	all := map[string]string{}
	for _, s := range sets {
		maps.Copy(all, s)
	}
	var text strings.Builder
	for _, key := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&text, format, key, shellquote.Escape(all[key]))
	}
	return text.String()
}
