package template

import (
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/boxkiln/boxkiln/internal/interpolate"
	"github.com/boxkiln/boxkiln/internal/schema"
)

// hclSource resolves one source of a build, and what follows it.
type hclSource struct {
	*hclLoader
	build  *buildBlock
	use    sourceUse
	interp *interpolate.Context
	// ctx is the context of provisioners and post-processors.
	ctx *hcl.EvalContext
	out Source
}

// resolveSource adds a source to its build. Where it has errors, which are reported, what could be resolved is added.
func (h *hclLoader) resolveSource(b *buildBlock, u sourceUse) {
	s := &hclSource{hclLoader: h, build: b, use: u,
		out: Source{Type: u.typ, Name: u.name, Declared: u.declared, BuildName: b.Name, Pos: u.at}}
	block := h.sources[u.typ+"."+u.declared]
	described, typ, ok := h.lookup("source", h.parts.Sources, u.typ, position(block.LabelRanges[0]))
	if !ok {
		return
	}
	s.out.Type, s.out.Pos = typ, position(block.DefRange)
	s.interp = h.interpolation(u.declared, typ)
	s.ctx = h.context(scope{build: runningBuild(b.Name), source: sourceObject(u)})
	s.own(block, described)
	for _, p := range b.provisioners {
		if out, ok := s.provisioner(p); ok {
			s.out.Provisioners = append(s.out.Provisioners, out)
		}
	}
	if b.cleanup != nil {
		if out, ok := s.provisioner(b.cleanup); ok {
			s.out.ErrorCleanup = &out
		}
	}
	for _, chain := range b.postProcessors {
		if out := s.chain(chain); len(out) > 0 {
			s.out.PostProcessors = append(s.out.PostProcessors, out)
		}
	}
	b.Sources = append(b.Sources, s.out)
}

// own resolves the arguments of the source itself.
func (s *hclSource) own(block *hcl.Block, described *schema.Block) {
	ctx := s.context(scope{build: cty.ObjectVal(map[string]cty.Value{"name": cty.StringVal(s.build.Name)}), source: sourceObject(s.use)})
	args, ok := s.arguments(block.Body, described, nil, ctx, position(block.DefRange))
	if s.use.body != nil {
		over, good := s.arguments(s.use.body, described, nil, ctx, s.use.at)
		ok = good && ok
		args.override(described, over)
	}
	c, good := s.resolve(described, fmt.Sprintf("source %q", s.use.typ+"."+s.use.name), args, s.interp, schema.Strict)
	if good && ok {
		s.out.Args, s.out.Volatile = c.args, c.volatile
	}
	s.lacks(c.missing)
}

// lacks remembers the first reason why the source cannot be built.
func (s *hclSource) lacks(missing string) {
	if s.out.Missing == "" {
		s.out.Missing = missing
	}
}

// names are what only, except and override may call the source.
func (s *hclSource) names() []string {
	return []string{s.use.typ + "." + s.use.name, s.use.typ + "." + s.use.declared}
}

// provisioner resolves a provisioner; ok is false if it is not for this source or has errors.
func (s *hclSource) provisioner(block *hcl.Block) (Provisioner, bool) {
	title := fmt.Sprintf("provisioner %q", block.Labels[0])
	meta := provisionerMetaBlock()
	if !s.concerns(block) {
		return Provisioner{}, false
	}
	described, typ, ok := s.lookup("provisioner", s.parts.Provisioners, block.Labels[0], position(block.LabelRanges[0]))
	if !ok {
		return Provisioner{}, false
	}
	args, ok := s.arguments(block.Body, described, meta, s.ctx, position(block.DefRange))
	var m provisionerMeta
	override, metaOK := s.takeMeta(meta, title, args, s.interp, schema.Strict, &m)
	overrideOK := s.applyOverride(title, args, override, append(s.names(), s.use.name, s.use.declared)...)
	c, argsOK := s.resolve(described, title, args, s.interp, schema.Strict)
	s.lacks(c.missing)
	return m.provisioner(typ, c, position(block.DefRange)), ok && metaOK && overrideOK && argsOK
}

// concerns tells whether only and except of a block leave it in for the source, before anything else of it is looked at: it
// may be of a type that only other sources need. Errors in them are reported when the whole block is resolved.
func (s *hclSource) concerns(block *hcl.Block) bool {
	content, _, _ := block.Body.PartialContent(&hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "only"}, {Name: "except"}}})
	lists := map[string][]string{}
	for name, a := range content.Attributes {
		v, diags := a.Expr.Value(s.ctx)
		if v, _ = v.UnmarkDeep(); diags.HasErrors() || v.IsNull() || !v.IsWhollyKnown() || !v.CanIterateElements() {
			continue
		}
		for _, e := range v.AsValueSlice() {
			if text, ok := asString(e); ok {
				lists[name] = append(lists[name], text)
			}
		}
	}
	if len(lists["only"]) > 0 && len(lists["except"]) > 0 {
		s.report.errorf(position(block.DefRange), "remove one of them", "%s %q has both only and except", block.Type, block.Labels[0])
	}
	return applies(lists["only"], lists["except"], s.names()...)
}

// chain resolves a chain of post-processors. One that -except names ends it, as in Packer.
func (s *hclSource) chain(blocks hcl.Blocks) []PostProcessor {
	var out []PostProcessor
	for _, block := range blocks {
		if !s.concerns(block) {
			continue
		}
		if s.excepted(s.postProcessorName(block)) {
			break
		}
		if pp, ok := s.postProcessor(block); ok {
			out = append(out, pp)
		}
	}
	return out
}

func (s *hclSource) postProcessor(block *hcl.Block) (PostProcessor, bool) {
	title := fmt.Sprintf("post-processor %q", block.Labels[0])
	meta := postProcessorMetaBlock()
	described, typ, ok := s.lookup("post-processor", s.parts.PostProcessors, block.Labels[0], position(block.LabelRanges[0]))
	if !ok {
		return PostProcessor{}, false
	}
	args, ok := s.arguments(block.Body, described, meta, s.ctx, position(block.DefRange))
	var m postProcessorMeta
	_, metaOK := s.takeMeta(meta, title, args, s.interp, schema.Strict, &m)
	c, argsOK := s.resolve(described, title, args, s.interp, schema.Strict)
	s.lacks(c.missing)
	return PostProcessor{Type: typ, Name: m.Name, Args: c.args, Volatile: c.volatile, KeepInputArtifact: m.KeepInputArtifact, Pos: position(block.DefRange)},
		ok && metaOK && argsOK
}
