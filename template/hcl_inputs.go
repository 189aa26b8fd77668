package template

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/boxkiln/boxkiln/internal/schema"
)

// envPrefix begins the names of environment variables that give values.
const envPrefix = "PKR_VAR_"

// collect gives the variables their values: environment, then files that are taken by themselves, then those of
// -var-file, then -var. The last one counts. Source: packer hcl2template/types.variables.go.
func (h *hclLoader) collect(folder bool) {
	for _, name := range slices.Sorted(maps.Keys(h.env)) {
		if v, ok := h.variables[strings.TrimPrefix(name, envPrefix)]; ok && strings.HasPrefix(name, envPrefix) {
			h.assignText(v, h.env[name], "environment", Pos{File: "environment variable " + name})
		}
	}
	if folder {
		for _, path := range h.paths(folder, ".auto.pkrvars.hcl", ".auto.pkrvars.json") {
			h.varFile(path)
		}
	}
	for _, path := range h.options.VarFiles {
		h.varFile(path)
	}
	for _, pair := range h.options.Vars {
		h.varFlag(pair)
	}
}

// varFile takes values from a file of assignments.
func (h *hclLoader) varFile(path string) {
	body, ok := h.parse(path)
	if !ok {
		return
	}
	content, _, _ := body.PartialContent(&hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{{Type: "variable", LabelNames: []string{"name"}}}})
	for _, b := range content.Blocks {
		h.report.errorf(position(b.DefRange), fmt.Sprintf("write %s = ... here, and the block into a *.pkr.hcl file", b.Labels[0]),
			"variable %q is declared in a file of values", b.Labels[0])
	}
	if len(content.Blocks) > 0 {
		return
	}
	attrs, diags := body.JustAttributes()
	h.report.hcl(diags)
	for _, name := range slices.Sorted(maps.Keys(attrs)) {
		a := attrs[name]
		v, declared := h.variables[name]
		if !declared {
			if h.options.WarnUndeclared {
				h.report.warnf(position(a.NameRange), h.nearVariable(name), "variable %q is not declared in the template", name)
			}
			continue
		}
		if value, ok := h.eval(a.Expr, nil); ok {
			h.assign(v, value, path, position(a.Expr.Range()))
		} else {
			v.broken = true
		}
	}
}

func (h *hclLoader) nearVariable(name string) string {
	if near := schema.Nearest(name, slices.Sorted(maps.Keys(h.variables))); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return fmt.Sprintf("declare it: variable %q { type = string }", name)
}

// varFlag takes a value from a -var of the command line.
func (h *hclLoader) varFlag(pair string) {
	name, text, found := strings.Cut(pair, "=")
	at := Pos{File: "-var " + name}
	if !found {
		h.report.errorf(at, "write -var name=value", "-var %q has no value", pair)
		return
	}
	v, declared := h.variables[name]
	if !declared {
		h.report.errorf(at, h.nearVariable(name), "variable %q is not declared in the template", name)
		return
	}
	h.assignText(v, text, "-var", at)
}

// assignText takes a value that was written outside of HCL: as it is for strings and numbers, as HCL for other types.
func (h *hclLoader) assignText(v *variable, text, from string, at Pos) {
	switch v.typ {
	case cty.String, cty.Number, cty.DynamicPseudoType:
		h.assign(v, cty.StringVal(text), from, at)
		return
	}
	expr, diags := hclsyntax.ParseExpression([]byte(text), at.File, hcl.InitialPos)
	h.report.files[at.File] = []byte(text)
	value := cty.DynamicVal
	ok := h.report.hcl(diags)
	if ok {
		value, ok = h.eval(expr, nil)
	}
	if !ok {
		v.broken = true
		h.report.errorf(at, "write it as HCL, such as true, [\"a\", \"b\"] or {a = \"b\"}, in quotes for the shell",
			"the value %q of variable %q cannot be read", text, v.name)
		return
	}
	h.assign(v, value, from, at)
}
