// Package interpolate renders the {{ actions }} inside the strings of a template: {{ user `name` }}, {{ timestamp }},
// {{ .HTTPIP }} and the like, in Go's text/template syntax with Packer's functions.
//
// Rendering happens twice. While a plan is made, [Partial] evaluates every action whose value is known then, and leaves
// the others, which are about the running build, as they were written. While the build runs, [Render] does the rest.
// What Partial leaves is again a template: rendering it later gives what rendering everything at once would have given,
// whatever braces the values contain. Text that must be final when the plan is made goes through Render at once.
//
// Of the text/template language there are actions, pipelines, variables, if and with; not range, define, template and
// block, for which these texts have no use and which could make rendering last for ever. The functions are those of
// packer-plugin-sdk template/interpolate/funcs.go.
package interpolate

import (
	"strings"
	"time"
)

// Context holds what the functions need. It is not changed by rendering, so several goroutines may share one.
type Context struct {
	// User returns the value of a user variable. Nil where there are none.
	User func(name string) (string, error)
	// Env returns an environment variable. Nil where a template may not look at the environment, which is everywhere
	// but in the variables of a JSON template.
	Env func(name string) (string, error)
	// Now is the moment that timestamp, isotime and strftime tell: one for the whole run.
	Now time.Time
	// NewUUID makes the value of uuid.
	NewUUID func() string
	// BuildName and BuildType are those of the source; empty where there is none.
	BuildName, BuildType string
	// Dir is the current directory, TemplateDir the folder of the template; both absolute.
	Dir, TemplateDir string
	PackerVersion    string
	// Build holds the values of {{ build `Name` }}; nil until the build runs.
	Build map[string]string
}

// Data holds the values of {{ .Name }} while a build runs.
type Data map[string]string

// Result is what is known of a text when the plan is made.
type Result struct {
	Text string
	// Late tells that Text holds actions for Render to do.
	Late bool
	// Volatile lists the functions used whose value changes with every run, such as timestamp.
	Volatile []string
}

// Partial evaluates what does not depend on the running build. The errors are of type *Error.
func Partial(text string, c *Context) (Result, error) {
	if !strings.Contains(text, leftDelim) {
		return Result{Text: text}, nil
	}
	t, err := parseText(text)
	if err != nil {
		return Result{}, err
	}
	if err := t.check(planning); err != nil {
		return Result{}, err
	}
	return t.partial(c)
}

// Render evaluates everything. A nil data means that the build does not run, so that actions about it are errors. The
// errors are of type *Error.
func Render(text string, c *Context, data Data) (string, error) {
	if !strings.Contains(text, leftDelim) {
		return text, nil
	}
	t, err := parseText(text)
	if err != nil {
		return "", err
	}
	when := running
	if data == nil && c.Build == nil {
		when = final
	}
	if err := t.check(when); err != nil {
		return "", err
	}
	return t.execute(c, data)
}

// Volatile lists the functions in the text whose value changes with every run; none if the text cannot be parsed.
func Volatile(text string) []string {
	if !strings.Contains(text, leftDelim) {
		return nil
	}
	t, err := parseText(text)
	if err != nil {
		return nil
	}
	return t.volatile()
}
