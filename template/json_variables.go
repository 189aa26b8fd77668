package template

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/zclconf/go-cty/cty"

	"github.com/boxkiln/boxkiln/internal/interpolate"
	"github.com/boxkiln/boxkiln/internal/schema"
)

// userVariable is a variable of a JSON template. Its text may hold {{ }} that refer to the environment and to other
// variables, so it is rendered when it is first needed.
type userVariable struct {
	name      string
	text      string
	given     bool // false if it has no value: null in the template
	required  bool // null in the template
	fallback  cty.Value
	sensitive bool
	from      string
	at        Pos
	textAt    Pos

	state  state
	value  string
	failed bool
}

// userVariables are the variables of a JSON template.
type userVariables map[string]*userVariable

func (vs userVariables) names() []string { return slices.Sorted(maps.Keys(vs)) }

// loadVariables reads the declarations, takes the values of var files and the command line, and renders all.
func (j *jsonLoader) loadVariables(root *jsonNode) {
	if n := root.member("variables"); n != nil && j.is(n, n.object, "variables must be an object") {
		for _, m := range n.members {
			if !m.comment() {
				j.declare(m)
			}
		}
	}
	if n := root.member("sensitive-variables"); n != nil && j.is(n, n.isArray(), "sensitive-variables must be an array of names") {
		j.markSensitive(n)
	}
	for _, path := range j.options.VarFiles {
		j.varFile(path)
	}
	for _, pair := range j.options.Vars {
		name, text, found := strings.Cut(pair, "=")
		if !found {
			j.report.errorf(Pos{File: "-var " + name}, "write -var name=value", "-var %q has no value", pair)
			continue
		}
		j.assign(name, text, "-var", Pos{File: "-var " + name})
	}
	for _, name := range j.variables.names() {
		j.finish(j.variables[name])
	}
}

func (j *jsonLoader) declare(m jsonMember) {
	v := &userVariable{name: m.name, at: m.at, textAt: m.value.at, from: "default"}
	j.variables[m.name] = v
	if m.value.scalar != cty.NilVal && m.value.scalar.IsNull() {
		v.required, v.from = true, ""
		return
	}
	text, ok := j.scalarText(m.value)
	if !ok {
		j.report.errorf(m.value.at, "write a string; a list can be written with commas", "the value of variable %q must be a string", m.name)
	}
	v.text, v.given, v.fallback = text, true, cty.StringVal(text)
}

// scalarText is a value as the text of a variable. An array of texts is joined by commas, as Packer does.
func (j *jsonLoader) scalarText(n *jsonNode) (string, bool) {
	if !n.isArray() {
		if n.object {
			return "", false
		}
		return asString(n.scalar)
	}
	var parts []string
	for _, item := range n.items {
		s, ok := j.scalarText(item)
		if !ok || item.isArray() {
			return "", false
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, ","), true
}

func (j *jsonLoader) markSensitive(n *jsonNode) {
	for _, item := range n.items {
		name, ok := j.scalarText(item)
		if v := j.variables[name]; ok && v != nil {
			v.sensitive = true
			continue
		}
		j.report.warnf(item.at, j.nearVariable(name), "the sensitive variable %q is not declared", name)
	}
}

// varFile takes values from a JSON object.
func (j *jsonLoader) varFile(path string) {
	src, ok := j.read(path)
	if !ok {
		return
	}
	root, ok := j.parseJSON(path, src)
	if !ok || !j.is(root, root.object, "a file of variables must be an object") {
		return
	}
	for _, m := range root.members {
		if m.comment() {
			continue
		}
		text, ok := j.scalarText(m.value)
		if !ok {
			j.report.errorf(m.value.at, "write a string", "the value of variable %q must be a string", m.name)
			continue
		}
		j.assign(m.name, text, path, m.value.at)
	}
}

func (j *jsonLoader) assign(name, text, from string, at Pos) {
	v := j.variables[name]
	if v == nil {
		if from == "-var" || j.options.WarnUndeclared {
			j.report.warnf(at, j.nearVariable(name), "variable %q is not declared in the template", name)
		}
		return
	}
	v.text, v.from, v.textAt, v.given = text, from, at, true
}

func (j *jsonLoader) nearVariable(name string) string {
	if near := schema.Nearest(name, j.variables.names()); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return fmt.Sprintf("declare it: \"variables\": { %q: \"\" }", name)
}

// finish renders a variable and adds it to the template.
func (j *jsonLoader) finish(v *userVariable) {
	out := Variable{Name: v.name, Sensitive: v.sensitive, From: v.from, Pos: v.at}
	if v.fallback != cty.NilVal {
		out.Default = asJSON(v.fallback)
	}
	if !v.given {
		j.report.errorf(v.at, fmt.Sprintf("pass -var %s=..., or set it in a JSON file for -var-file, or give it a default", v.name), "variable %q has no value", v.name)
	} else if value, ok := j.variable(v, nil); ok {
		out.Value = asJSON(cty.StringVal(value))
		if v.sensitive {
			j.secret(value)
		}
	}
	j.template.Variables = append(j.template.Variables, out)
}

var errReported = errors.New("reported already")

// variable renders a variable and those that it refers to. path holds the names that are being rendered.
func (j *jsonLoader) variable(v *userVariable, path []string) (string, bool) {
	path = append(path, v.name)
	switch v.state {
	case done:
		return v.value, !v.failed
	case evaluating:
		j.report.errorf(v.at, "break the circle", "variable %q depends on itself: %s", v.name, strings.Join(path[slices.Index(path, v.name):], " -> "))
		v.failed = true
		return "", false
	}
	v.state = evaluating
	ctx := j.interpolation("", "")
	ctx.Env = func(name string) (string, error) { return j.env[name], nil }
	ctx.User = func(name string) (string, error) {
		other := j.variables[name]
		if other == nil {
			j.report.errorf(v.textAt, j.nearVariable(name), "variable %q refers to the variable %q, which is not declared", v.name, name)
			return "", errReported
		}
		value, ok := j.variable(other, path)
		if !ok {
			return "", errReported
		}
		return value, nil
	}
	value, err := interpolate.Render(v.text, ctx, nil)
	v.state, v.value = done, value
	if err != nil {
		v.failed = true
		j.failVariable(v, err)
	}
	return value, !v.failed
}

func (j *jsonLoader) failVariable(v *userVariable, err error) {
	if errors.Is(err, errReported) {
		return
	}
	var e *interpolate.Error
	if !errors.As(err, &e) {
		e = &interpolate.Error{Message: err.Error()}
	}
	j.report.errorf(v.textAt, e.Remedy, "variable %q: %s", v.name, e.Message)
}
