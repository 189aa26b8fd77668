package template

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/boxkiln/boxkiln/internal/schema"
)

// named is a local or a data source. It is evaluated when something needs it, so the order in the files does not matter.
type named struct {
	name      string // local.x, data.type.x
	expr      hcl.Expression
	data      *hcl.Block // instead of expr
	sensitive bool
	at        hcl.Range

	state state
	value cty.Value
}

type state int

const (
	waiting state = iota
	evaluating
	done
)

// values are the locals and data sources of a template, by name.
type values map[string]*named

// names lists what follows a prefix: the locals, the types of data sources, or the data sources of a type.
func (vs values) names(prefix string) []string {
	var names []string
	for name := range vs {
		if rest, ok := strings.CutPrefix(name, prefix+"."); ok {
			first, _, _ := strings.Cut(rest, ".")
			names = append(names, first)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// locals is the object local, as far as it is evaluated.
func (vs values) locals() cty.Value {
	out := map[string]cty.Value{}
	for name, v := range vs {
		if rest, ok := strings.CutPrefix(name, "local."); ok && v.state == done {
			out[rest] = v.value
		}
	}
	return cty.ObjectVal(out)
}

// data is the object data, as far as it is evaluated.
func (vs values) data() cty.Value {
	types := map[string]map[string]cty.Value{}
	for name, v := range vs {
		parts := strings.SplitN(name, ".", 3)
		if parts[0] != "data" || v.state != done {
			continue
		}
		if types[parts[1]] == nil {
			types[parts[1]] = map[string]cty.Value{}
		}
		types[parts[1]][parts[2]] = v.value
	}
	out := map[string]cty.Value{}
	for typ, m := range types {
		out[typ] = cty.ObjectVal(m)
	}
	return cty.ObjectVal(out)
}

// loadValues reads the locals and data sources of all files and evaluates them.
func (h *hclLoader) loadValues() {
	for _, b := range h.blocks["locals"] {
		attrs, diags := b.Body.JustAttributes()
		h.report.hcl(diags)
		for _, a := range attrs {
			h.addValue(&named{name: "local." + a.Name, expr: a.Expr, at: a.NameRange})
		}
	}
	for _, b := range h.blocks["local"] {
		h.addLocal(b)
	}
	for _, b := range h.blocks["data"] {
		h.addValue(&named{name: "data." + b.Labels[0] + "." + b.Labels[1], data: b, at: b.DefRange})
	}
	var order []*named
	for _, v := range h.values {
		order = append(order, v)
	}
	slices.SortFunc(order, func(a, b *named) int { return strings.Compare(a.name, b.name) })
	for _, v := range order {
		h.evaluate(v, nil)
	}
}

func (h *hclLoader) addValue(v *named) {
	if other, ok := h.values[v.name]; ok {
		h.report.errorf(position(v.at), "remove one of them", "%s is defined twice; the other is at %s", v.name, position(other.at))
		return
	}
	h.values[v.name] = v
}

func (h *hclLoader) addLocal(b *hcl.Block) {
	name := b.Labels[0]
	if !hclsyntax.ValidIdentifier(name) {
		h.report.errorf(position(b.LabelRanges[0]), "use letters, digits, _ and -, and a letter first", "%q cannot be the name of a local", name)
		return
	}
	content, diags := b.Body.Content(&hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "expression", Required: true}, {Name: "sensitive"}}})
	h.report.hcl(diags)
	v := &named{name: "local." + name, at: b.DefRange}
	if a, ok := content.Attributes["sensitive"]; ok {
		v.sensitive = h.flag(a)
	}
	if a, ok := content.Attributes["expression"]; ok {
		v.expr = a.Expr
		h.addValue(v)
	}
}

// evaluate evaluates a value after everything that it refers to. path holds the names that are being evaluated.
func (h *hclLoader) evaluate(v *named, path []string) {
	path = append(path, v.name)
	switch v.state {
	case done:
		return
	case evaluating:
		start := slices.Index(path, v.name)
		h.report.errorf(position(v.at), "break the circle", "%s depends on itself: %s", v.name, strings.Join(path[start:], " -> "))
		return
	}
	v.state, v.value = evaluating, cty.DynamicVal
	for _, name := range h.references(v) {
		h.evaluate(h.values[name], path)
	}
	if v.data != nil {
		h.evaluateData(v)
	} else if value, ok := h.eval(v.expr, h.context(scope{})); ok {
		v.value = value
	}
	v.state = done
	if v.sensitive {
		h.remember(v.value)
	}
}

// references lists the locals and data sources that a value refers to.
func (h *hclLoader) references(v *named) []string {
	var traversals []hcl.Traversal
	if v.data == nil {
		traversals = v.expr.Variables()
	} else if b := h.dataBlock(v.data); b != nil {
		content, _, _ := v.data.Body.PartialContent(hclSchema(b, nil))
		for _, a := range content.Attributes {
			traversals = append(traversals, a.Expr.Variables()...)
		}
	}
	var names []string
	for _, t := range traversals {
		name := strings.Join(attributeNames(t), ".")
		if _, ok := h.values[name]; ok && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// nullInput is the argument of the data source null, which gives back its input.
type nullInput struct {
	Input string `json:"input" doc:"The value that output gives back." arg:"required"`
}

func (h *hclLoader) dataBlock(b *hcl.Block) *schema.Block {
	if b.Labels[0] == "null" {
		return schema.New("null", "Gives back its input.", nullInput{})
	}
	return h.parts.DataSources[b.Labels[0]]
}

// evaluateData checks a data source's arguments. Only null can be evaluated; what uses another one is marked.
func (h *hclLoader) evaluateData(v *named) {
	b := h.dataBlock(v.data)
	title := strings.Replace(v.name, "data.", "data source ", 1)
	if b == nil {
		h.lookup("data source", h.parts.DataSources, v.data.Labels[0], position(v.data.LabelRanges[0]))
		return
	}
	args, ok := h.arguments(v.data.Body, b, nil, h.context(scope{}), position(v.data.DefRange))
	if !ok {
		return
	}
	ctx := h.interpolation(v.data.Labels[1], v.data.Labels[0])
	if _, ok := h.resolve(b, title, args, ctx, schema.Strict); !ok {
		return
	}
	if b.Type == "null" {
		v.value = cty.ObjectVal(map[string]cty.Value{"output": args.values["input"]})
		return
	}
	reason := b.Missing
	if reason == "" {
		reason = "data sources of this type cannot be evaluated yet"
	}
	v.value = cty.DynamicVal.Mark(unevaluated(fmt.Sprintf("%s: %s", title, reason)))
	h.report.warnf(position(v.data.DefRange), "what uses it can be validated but not built", "%s: %s", title, reason)
}
