package template

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/dynblock"
	"github.com/zclconf/go-cty/cty"

	"github.com/boxkiln/boxkiln/internal/schema"
)

// loadSources collects the source blocks. Their arguments are looked at when a build uses them.
func (h *hclLoader) loadSources() {
	for _, b := range h.blocks["source"] {
		name := b.Labels[0] + "." + b.Labels[1]
		if other, ok := h.sources[name]; ok {
			h.report.errorf(position(b.DefRange), "give one of them another name", "source %q is defined twice; the other is at %s", name, position(other.DefRange))
			continue
		}
		h.sources[name] = b
	}
}

// sourceUse is a source as a build names it.
type sourceUse struct {
	typ, declared, name string
	body                hcl.Body // more arguments; may be nil
	at                  Pos
}

func (u sourceUse) label(build string) string {
	s := Source{Type: u.typ, Name: u.name, BuildName: build}
	return s.Label()
}

// buildBlock is a build block, expanded.
type buildBlock struct {
	Build
	uses           []sourceUse
	provisioners   hcl.Blocks
	cleanup        *hcl.Block
	postProcessors []hcl.Blocks
}

var buildSchema = &hcl.BodySchema{
	Attributes: []hcl.AttributeSchema{{Name: "name"}, {Name: "description"}, {Name: "sources"}},
	Blocks: []hcl.BlockHeaderSchema{
		{Type: "source", LabelNames: []string{"reference"}},
		{Type: "provisioner", LabelNames: []string{"type"}},
		{Type: "error-cleanup-provisioner", LabelNames: []string{"type"}},
		{Type: "post-processor", LabelNames: []string{"type"}},
		{Type: "post-processors"},
		{Type: "hcp_packer_registry"},
	},
}

var chainSchema = &hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{{Type: "post-processor", LabelNames: []string{"type"}}}}

// loadBuilds reads the build blocks, picks sources by -only and -except, and resolves those.
func (h *hclLoader) loadBuilds() {
	if len(h.blocks["build"]) == 0 {
		h.report.warnf(Pos{File: h.template.Path}, "add build { sources = [\"source.type.name\"] }", "the template has no build block, so there is nothing to build")
	}
	var builds []*buildBlock
	labels, postProcessors := []string{}, []string{}
	seen := map[string]Pos{}
	for _, block := range h.blocks["build"] {
		b := h.loadBuild(block)
		builds = append(builds, b)
		for _, u := range b.uses {
			label := u.label(b.Name)
			if other, ok := seen[label]; ok {
				h.report.errorf(u.at, "give the build, or the source within it, a name", "%q is built twice; the other is at %s", label, other)
			}
			seen[label] = u.at
			labels = append(labels, label)
		}
		postProcessors = append(postProcessors, h.postProcessorNames(b)...)
	}
	h.checkSelection(labels, postProcessors)
	for _, b := range builds {
		for _, u := range b.uses {
			if h.selected(u.label(b.Name)) {
				h.resolveSource(b, u)
			}
		}
		h.template.Builds = append(h.template.Builds, b.Build)
	}
}

// loadBuild reads a build block without looking into its components. After an error it returns what it understood, so
// that errors in the rest are found too.
func (h *hclLoader) loadBuild(block *hcl.Block) *buildBlock {
	ctx := h.context(scope{})
	content, diags := dynblock.Expand(block.Body, withoutMarks(ctx)).Content(buildSchema)
	ok := h.report.hcl(diags)
	b := &buildBlock{Build: Build{Pos: position(block.DefRange)}}
	text := func(name string, into *string) {
		a, given := content.Attributes[name]
		if !given {
			return
		}
		v, good := h.eval(a.Expr, ctx)
		s, isText := asString(v)
		if good && !isText && !v.IsNull() {
			h.report.errorf(position(a.Expr.Range()), "", "the %s of a build must be a known string", name)
		}
		*into = s
		ok = ok && good
	}
	text("name", &b.Name)
	text("description", &b.Description)
	if b.Description != "" && h.template.Description == "" {
		h.template.Description = b.Description
	}
	if a, given := content.Attributes["sources"]; given {
		ok = h.useSources(b, a, ctx) && ok
	}
	for _, inner := range content.Blocks {
		ok = h.addToBuild(b, inner, ctx) && ok
	}
	if ok && len(b.uses) == 0 {
		h.report.errorf(b.Pos, "write sources = [\"source.type.name\"]", "the build has no source")
	}
	return b
}

// useSources takes the sources attribute of a build.
func (h *hclLoader) useSources(b *buildBlock, a *hcl.Attribute, ctx *hcl.EvalContext) bool {
	v, ok := h.eval(a.Expr, ctx)
	if !ok {
		return false
	}
	v, _ = v.UnmarkDeep()
	if v.IsNull() {
		return true
	}
	if !v.IsWhollyKnown() || !v.CanIterateElements() {
		h.report.errorf(position(a.Expr.Range()), "write sources = [\"source.type.name\"]", "sources must be a list of strings")
		return false
	}
	exprs, diags := hcl.ExprList(a.Expr)
	for i, e := range v.AsValueSlice() {
		place := a.Expr.Range()
		if !diags.HasErrors() && i < len(exprs) {
			place = exprs[i].Range()
		}
		reference, isText := asString(e)
		if !isText {
			h.report.errorf(position(place), "write \"source.type.name\"", "a source is named by a string")
			ok = false
			continue
		}
		ok = h.use(b, reference, sourceUse{at: position(place)}) && ok
	}
	return ok
}

// use adds a source to a build. The reference is type.name, or source.type.name.
func (h *hclLoader) use(b *buildBlock, reference string, u sourceUse) bool {
	u.typ, u.declared, _ = strings.Cut(strings.TrimPrefix(reference, "source."), ".")
	if u.typ == "" || u.declared == "" || strings.Contains(u.declared, ".") {
		h.report.errorf(u.at, "write source.type.name", "%q does not name a source", reference)
		return false
	}
	if u.name == "" {
		u.name = u.declared
	}
	if _, ok := h.sources[u.typ+"."+u.declared]; !ok {
		known := make([]string, 0, len(h.sources))
		for name := range h.sources {
			known = append(known, name)
		}
		slices.Sort(known)
		remedy := "known are: " + strings.Join(known, ", ")
		if near := schema.Nearest(u.typ+"."+u.declared, known); near != "" {
			remedy = fmt.Sprintf("did you mean %q?", near)
		}
		h.report.errorf(u.at, remedy, "there is no source %q", u.typ+"."+u.declared)
		return false
	}
	b.uses = append(b.uses, u)
	return true
}

// addToBuild takes one block of a build.
func (h *hclLoader) addToBuild(b *buildBlock, inner *hcl.Block, ctx *hcl.EvalContext) bool {
	switch inner.Type {
	case "source":
		content, rest, diags := inner.Body.PartialContent(&hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "name"}}})
		u := sourceUse{body: rest, at: position(inner.DefRange)}
		if !h.report.hcl(diags) {
			return false
		}
		if a, ok := content.Attributes["name"]; ok {
			v, good := h.eval(a.Expr, ctx)
			if u.name, ok = asString(v); !ok || !good {
				h.report.errorf(position(a.Expr.Range()), "", "the name of a source must be a known string")
				return false
			}
		}
		return h.use(b, inner.Labels[0], u)
	case "provisioner":
		b.provisioners = append(b.provisioners, inner)
	case "error-cleanup-provisioner":
		if b.cleanup != nil {
			h.report.errorf(position(inner.DefRange), "remove one of them", "a build can have one error-cleanup-provisioner; the other is at %s", position(b.cleanup.DefRange))
			return false
		}
		b.cleanup = inner
	case "post-processor":
		b.postProcessors = append(b.postProcessors, hcl.Blocks{inner})
	case "post-processors":
		content, diags := inner.Body.Content(chainSchema)
		b.postProcessors = append(b.postProcessors, content.Blocks)
		return h.report.hcl(diags)
	case "hcp_packer_registry":
		h.report.notef(position(inner.DefRange), "hcp_packer_registry is ignored: boxes go to Boxkiln's own registry")
	}
	return true
}

// postProcessorNames lists the names by which -except may call the post-processors of a build.
func (h *hclLoader) postProcessorNames(b *buildBlock) []string {
	var names []string
	for _, chain := range b.postProcessors {
		for _, pp := range chain {
			names = append(names, h.postProcessorName(pp))
		}
	}
	return names
}

// postProcessorName is the name of a post-processor, or else its type.
func (h *hclLoader) postProcessorName(pp *hcl.Block) string {
	content, _, _ := pp.Body.PartialContent(&hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "name"}}})
	if a, ok := content.Attributes["name"]; ok {
		v, diags := a.Expr.Value(h.context(scope{})) // reported when the post-processor is resolved
		if s, ok := asString(v); ok && !diags.HasErrors() {
			return s
		}
	}
	return pp.Labels[0]
}

// sourceObject is the object source as expressions see it.
func sourceObject(u sourceUse) cty.Value {
	return cty.ObjectVal(map[string]cty.Value{"type": cty.StringVal(u.typ), "name": cty.StringVal(u.name)})
}
