package template

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"github.com/boxkiln/boxkiln/internal/interpolate"
	"github.com/boxkiln/boxkiln/internal/schema"
)

// eval evaluates an expression. What refers to something that does not exist is reported with the nearest name that does.
func (h *hclLoader) eval(expr hcl.Expression, ctx *hcl.EvalContext) (cty.Value, bool) {
	v, diags := expr.Value(ctx)
	for _, d := range diags {
		if t := traversalAt(expr, d.Subject); t != nil && d.Summary == "Unsupported attribute" && ctx != nil {
			h.explain(d, t)
		}
		if e, ok := d.Extra.(hclsyntax.FunctionCallUnknownDiagExtra); ok {
			h.explainFunction(d, e.CalledFunctionName())
		}
	}
	return v, h.report.hcl(diags)
}

// explainFunction suggests the nearest function; HCL suggests any that is near, another one each time.
func (h *hclLoader) explainFunction(d *hcl.Diagnostic, name string) {
	d.Detail = fmt.Sprintf("There is no function named %q.", name)
	if near := schema.Nearest(name, slices.Sorted(maps.Keys(h.functions))); near != "" {
		d.Detail += fmt.Sprintf(" Did you mean %q?", near)
	}
}

// traversalAt finds the reference in an expression that a diagnostic is about.
func traversalAt(expr hcl.Expression, at *hcl.Range) hcl.Traversal {
	if at == nil {
		return nil
	}
	for _, t := range expr.Variables() {
		if r := t.SourceRange(); r.Filename == at.Filename && r.Start.Byte <= at.Start.Byte && at.End.Byte <= r.End.Byte {
			return t
		}
	}
	return nil
}

// explain says what a reference to nothing refers to, and what was probably meant.
func (h *hclLoader) explain(d *hcl.Diagnostic, t hcl.Traversal) {
	names := attributeNames(t)
	if len(names) < 2 {
		return
	}
	known, what := h.known(names)
	if what == "" || slices.Contains(known, names[len(names)-1]) {
		return
	}
	d.Summary = fmt.Sprintf("there is no %s %q", what, names[len(names)-1])
	d.Detail = ""
	if near := schema.Nearest(names[len(names)-1], known); near != "" {
		d.Detail = fmt.Sprintf("Did you mean %q?", near)
	} else if what == "variable" {
		d.Detail = fmt.Sprintf("Did you mean to declare it? Write a block variable %q { }.", names[1])
	}
}

// attributeNames returns the leading names of a reference: var, name; or data, type, name.
func attributeNames(t hcl.Traversal) []string {
	names := []string{t.RootName()}
	for _, step := range t[1:] {
		attr, ok := step.(hcl.TraverseAttr)
		if !ok || len(names) == 2 && names[0] != "data" || len(names) == 3 {
			break
		}
		names = append(names, attr.Name)
	}
	return names
}

// known lists what the last of the names could have been.
func (h *hclLoader) known(names []string) (known []string, what string) {
	switch names[0] {
	case "var":
		return slices.Sorted(maps.Keys(h.variables)), "variable"
	case "local":
		return h.values.names("local"), "local"
	case "data":
		if len(names) == 2 {
			return h.values.names("data"), "data source of type"
		}
		return h.values.names("data." + names[1]), "data source " + names[1]
	case "build":
		return append(interpolate.BuildValues(), "name"), "build value"
	case "source":
		return []string{"name", "type"}, "source value"
	case "path":
		return []string{"cwd", "root"}, "path"
	case "packer":
		return []string{"version"}, "packer value"
	}
	return nil, ""
}

// scope is what expressions may refer to besides variables, locals and data sources.
type scope struct {
	build, source cty.Value // cty.NilVal where there is none
}

// context is the context of expressions.
func (h *hclLoader) context(s scope) *hcl.EvalContext {
	inputs := map[string]cty.Value{}
	for name, v := range h.variables {
		inputs[name] = v.value
	}
	vars := map[string]cty.Value{
		"var":    cty.ObjectVal(inputs),
		"local":  h.values.locals(),
		"data":   h.values.data(),
		"path":   cty.ObjectVal(map[string]cty.Value{"root": cty.StringVal(h.template.Root), "cwd": cty.StringVal(h.abs("."))}),
		"packer": cty.ObjectVal(map[string]cty.Value{"version": cty.StringVal(h.options.PackerVersion)}),
	}
	if s.build != cty.NilVal {
		vars["build"] = s.build
	}
	if s.source != cty.NilVal {
		vars["source"] = s.source
	}
	return &hcl.EvalContext{Functions: h.functions, Variables: vars}
}

// runningBuild is the object build as provisioners and post-processors see it: text that is replaced while it runs.
func runningBuild(name string) cty.Value {
	values := map[string]cty.Value{"name": cty.StringVal(name)}
	for _, v := range interpolate.BuildValues() {
		values[v] = cty.StringVal(placeholder(v)).Mark(runtime(v))
	}
	return cty.ObjectVal(values)
}

// asString returns the text of a known string, number or boolean, without its marks.
func asString(v cty.Value) (string, bool) {
	v, _ = v.UnmarkDeep()
	s, err := convert.Convert(v, cty.String)
	if err != nil || s.IsNull() || !s.IsKnown() {
		return "", false
	}
	return s.AsString(), true
}

// asBool returns a known boolean.
func asBool(v cty.Value) (value, ok bool) {
	v, _ = v.UnmarkDeep()
	b, err := convert.Convert(v, cty.Bool)
	if err != nil || b.IsNull() || !b.IsKnown() {
		return false, false
	}
	return b.True(), true
}

// asJSON returns a value as JSON, or nil if it is not known.
func asJSON(v cty.Value) json.RawMessage {
	v, _ = v.UnmarkDeep()
	if v == cty.NilVal || !v.IsWhollyKnown() {
		return nil
	}
	b, err := ctyjson.SimpleJSONValue{Value: v}.MarshalJSON()
	if err != nil { // a capsule; no function makes one
		return nil
	}
	return b
}

// remember adds the texts in a sensitive value to the secrets.
func (l *loader) remember(v cty.Value) {
	v, _ = v.UnmarkDeep()
	_ = cty.Walk(v, func(_ cty.Path, e cty.Value) (bool, error) { // the callback has no errors
		if s, ok := asString(e); ok && e.Type().IsPrimitiveType() && e.Type() != cty.Bool {
			l.secret(s)
		}
		return true, nil
	})
}
