package template

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"

	"github.com/boxkiln/boxkiln/template/functions"
)

// variable is an input variable of an HCL template.
type variable struct {
	name        string
	typ         cty.Type // cty.DynamicPseudoType if neither a type nor a default says more
	typeText    string
	defaults    *typeexpr.Defaults
	description string
	sensitive   bool
	validations []*hcl.Block
	at          hcl.Range

	fallback cty.Value // of default; NilVal if there is none
	value    cty.Value // unknown until something gives one
	from     string
	valueAt  Pos
	broken   bool // its value was refused, which was reported
}

// loadVariables reads the declarations, collects the values, and checks them.
func (h *hclLoader) loadVariables(folder bool) {
	for _, b := range h.blocks["variable"] {
		h.declare(b)
	}
	for _, b := range h.blocks["variables"] {
		attrs, diags := b.Body.JustAttributes()
		h.report.hcl(diags)
		for _, a := range attrs {
			v := &variable{name: a.Name, typ: cty.DynamicPseudoType, at: a.Range}
			if h.isNew(v, a.NameRange) {
				h.setDefault(v, a.Expr)
			}
		}
	}
	h.collect(folder)
	for _, name := range slices.Sorted(maps.Keys(h.variables)) {
		h.finish(h.variables[name])
	}
}

func (h *hclLoader) isNew(v *variable, at hcl.Range) bool {
	if other, ok := h.variables[v.name]; ok {
		h.report.errorf(position(at), "remove one of them", "variable %q is declared twice; the other is at %s", v.name, position(other.at))
		return false
	}
	v.value = cty.UnknownVal(v.typ)
	h.variables[v.name] = v
	return true
}

var variableSchema = &hcl.BodySchema{
	Attributes: []hcl.AttributeSchema{{Name: "type"}, {Name: "default"}, {Name: "description"}, {Name: "sensitive"}},
	Blocks:     []hcl.BlockHeaderSchema{{Type: "validation"}},
}

func (h *hclLoader) declare(b *hcl.Block) {
	v := &variable{name: b.Labels[0], typ: cty.DynamicPseudoType, at: b.DefRange}
	if !hclsyntax.ValidIdentifier(v.name) {
		h.report.errorf(position(b.LabelRanges[0]), "use letters, digits, _ and -, and a letter first", "%q cannot be the name of a variable", v.name)
		return
	}
	if !h.isNew(v, b.LabelRanges[0]) {
		return
	}
	content, diags := b.Body.Content(variableSchema)
	h.report.hcl(diags)
	if a, ok := content.Attributes["description"]; ok {
		v.description = h.literal(a)
	}
	if a, ok := content.Attributes["sensitive"]; ok {
		v.sensitive = h.flag(a)
	}
	if a, ok := content.Attributes["type"]; ok {
		var diags hcl.Diagnostics
		v.typ, v.defaults, diags = typeexpr.TypeConstraintWithDefaults(a.Expr)
		v.broken = !h.report.hcl(diags)
		v.typeText = typeexpr.TypeString(v.typ)
		v.value = cty.UnknownVal(v.typ)
	}
	if a, ok := content.Attributes["default"]; ok {
		h.setDefault(v, a.Expr)
	}
	v.validations = content.Blocks
}

// literal evaluates a string attribute that may not refer to anything.
func (h *hclLoader) literal(a *hcl.Attribute) string {
	v, ok := h.eval(a.Expr, nil)
	if !ok {
		return ""
	}
	s, ok := asString(v)
	if !ok {
		h.report.errorf(position(a.Expr.Range()), "", "%s must be a string", a.Name)
	}
	return s
}

// flag evaluates a boolean attribute that may not refer to anything.
func (h *hclLoader) flag(a *hcl.Attribute) bool {
	v, ok := h.eval(a.Expr, nil)
	if !ok {
		return false
	}
	b, ok := asBool(v)
	if !ok {
		h.report.errorf(position(a.Expr.Range()), "", "%s must be true or false", a.Name)
	}
	return b
}

// setDefault evaluates a default, the one place where env may be called.
func (h *hclLoader) setDefault(v *variable, expr hcl.Expression) {
	ctx := &hcl.EvalContext{Functions: map[string]function.Function{
		"env": functions.Env(func(name string) string { return h.env[name] }),
	}}
	value, ok := h.eval(expr, ctx)
	if !ok {
		v.broken = true
		return
	}
	h.assign(v, value, "default", position(expr.Range()))
	v.fallback = v.value
	if t := v.value.Type(); v.typ == cty.DynamicPseudoType && !t.Equals(cty.EmptyObject) && !t.Equals(cty.EmptyTuple) {
		v.typ = t
	}
}

// assign converts a value to the variable's type and makes it the current one.
func (h *hclLoader) assign(v *variable, value cty.Value, from string, at Pos) {
	if v.defaults != nil && !value.IsNull() {
		value = v.defaults.Apply(value)
	}
	converted, err := convert.Convert(value, v.typ)
	if err != nil {
		v.broken = true
		h.report.errorf(at, "", "the value of variable %q does not fit its type %s: %v", v.name, typeexpr.TypeString(v.typ), err)
		return
	}
	v.value, v.from, v.valueAt, v.broken = converted, from, at, false
}

// finish checks the value that a variable has in the end.
func (h *hclLoader) finish(v *variable) {
	out := Variable{Name: v.name, Type: v.typeText, Description: v.description, Sensitive: v.sensitive, From: v.from, Pos: position(v.at)}
	if v.fallback != cty.NilVal {
		out.Default = asJSON(v.fallback)
	}
	switch {
	case v.broken:
	case v.from == "":
		h.report.errorf(position(v.at), fmt.Sprintf("pass -var %s=..., or set %s = ... in a file for -var-file, or the environment variable PKR_VAR_%s", v.name, v.name, v.name),
			"variable %q has no value", v.name)
	default:
		out.Value = asJSON(v.value)
		h.validate(v)
	}
	if v.sensitive {
		h.remember(v.value)
		if v.fallback != cty.NilVal {
			h.remember(v.fallback)
		}
	}
	h.template.Variables = append(h.template.Variables, out)
}

var validationSchema = &hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "condition", Required: true}, {Name: "error_message", Required: true}}}

// validate applies the validation blocks of a variable. A condition sees the variable alone.
func (h *hclLoader) validate(v *variable) {
	ctx := &hcl.EvalContext{Functions: h.functions, Variables: map[string]cty.Value{
		"var": cty.ObjectVal(map[string]cty.Value{v.name: v.value}),
	}}
	for _, b := range v.validations {
		content, diags := b.Body.Content(validationSchema)
		condition, message := content.Attributes["condition"], content.Attributes["error_message"]
		if !h.report.hcl(diags) || condition == nil || message == nil {
			continue
		}
		result, ok := h.eval(condition.Expr, ctx)
		if !ok || !result.IsKnown() {
			continue
		}
		text := h.literal(message)
		switch met, ok := asBool(result); {
		case !ok:
			h.report.errorf(position(condition.Expr.Range()), "", "the condition of variable %q must be true or false", v.name)
		case !met:
			h.report.errorf(v.valueAt, fmt.Sprintf("the rule is at %s", position(b.DefRange)), "variable %q: %s", v.name, strings.TrimSuffix(text, "."))
		}
	}
}
