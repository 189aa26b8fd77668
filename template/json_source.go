package template

import (
	"fmt"

	"github.com/boxkiln/boxkiln/internal/schema"
)

// jsonSource resolves one builder and what follows it.
type jsonSource struct {
	*jsonLoader
	builder builder
	out     Source
}

// own resolves the arguments of the builder itself; false if there is no such type.
func (s *jsonSource) own() bool {
	n := s.builder.node
	described, typ, ok := s.lookup("builder", s.parts.Sources, s.builder.typ, s.builder.typeAt)
	if !ok {
		return false
	}
	s.out = Source{Type: typ, Name: s.builder.name, Declared: s.builder.name, Legacy: true, Pos: n.at}
	c, ok := s.resolve(described, fmt.Sprintf("builder %q", s.builder.name), n.arguments("type", "name"), s.context(s.builder.name, typ, n.at), schema.Weak)
	if ok {
		s.out.Args, s.out.Volatile = c.args, c.volatile
	}
	s.lacks(c.missing)
	return true
}

// lacks remembers the first reason why the source cannot be built.
func (s *jsonSource) lacks(missing string) {
	if s.out.Missing == "" {
		s.out.Missing = missing
	}
}

// follow resolves the provisioners and post-processors that the builder is followed by.
func (s *jsonSource) follow(provisioners []*jsonNode, cleanup *jsonNode, chains [][]*jsonNode) {
	for _, n := range provisioners {
		if p, ok := s.provisioner(n); ok {
			s.out.Provisioners = append(s.out.Provisioners, p)
		}
	}
	if cleanup != nil && s.is(cleanup, cleanup.object, "error-cleanup-provisioner must be an object") {
		if p, ok := s.provisioner(cleanup); ok {
			s.out.ErrorCleanup = &p
		}
	}
	for _, chain := range chains {
		if out := s.chain(chain); len(out) > 0 {
			s.out.PostProcessors = append(s.out.PostProcessors, out)
		}
	}
}

// concerns tells whether only and except of a block leave it in for the builder.
func (s *jsonSource) concerns(n *jsonNode, what string) bool {
	var lists [2][]string
	for i, key := range []string{"only", "except"} {
		m := n.member(key)
		if m == nil {
			continue
		}
		for _, item := range m.items {
			name, _ := s.scalarText(item)
			lists[i] = append(lists[i], name)
		}
	}
	if len(lists[0]) > 0 && len(lists[1]) > 0 {
		s.report.errorf(n.at, "remove one of them", "the %s has both only and except", what)
	}
	return applies(lists[0], lists[1], s.builder.name)
}

func (s *jsonSource) provisioner(n *jsonNode) (Provisioner, bool) {
	typ, at, ok := s.kind(n, "provisioner")
	if !ok || !s.concerns(n, "provisioner") {
		return Provisioner{}, false
	}
	described, typ, ok := s.lookup("provisioner", s.parts.Provisioners, typ, at)
	if !ok {
		return Provisioner{}, false
	}
	title := fmt.Sprintf("provisioner %q", typ)
	ctx := s.context(s.builder.name, s.out.Type, n.at)
	args := n.arguments("type")
	var m provisionerMeta
	override, metaOK := s.takeMeta(provisionerMetaBlock(), title, args, ctx, schema.Weak, &m)
	overrideOK := s.applyOverride(title, args, override, s.builder.name)
	c, argsOK := s.resolve(described, title, args, ctx, schema.Weak)
	s.lacks(c.missing)
	return m.provisioner(typ, c, n.at), metaOK && overrideOK && argsOK
}

// chain resolves a chain of post-processors. One that -except names ends it, as in Packer.
func (s *jsonSource) chain(nodes []*jsonNode) []PostProcessor {
	var out []PostProcessor
	for _, n := range nodes {
		if !s.concerns(n, "post-processor") {
			continue
		}
		if s.excepted(s.postProcessorName(n)) {
			break
		}
		if pp, ok := s.postProcessor(n); ok {
			out = append(out, pp)
		}
	}
	return out
}

func (s *jsonSource) postProcessor(n *jsonNode) (PostProcessor, bool) {
	typ, at, ok := s.kind(n, "post-processor")
	if !ok {
		return PostProcessor{}, false
	}
	described, typ, ok := s.lookup("post-processor", s.parts.PostProcessors, typ, at)
	if !ok {
		return PostProcessor{}, false
	}
	title := fmt.Sprintf("post-processor %q", typ)
	ctx := s.context(s.builder.name, s.out.Type, n.at)
	args := n.arguments("type")
	var m postProcessorMeta
	_, metaOK := s.takeMeta(postProcessorMetaBlock(), title, args, ctx, schema.Weak, &m)
	c, argsOK := s.resolve(described, title, args, ctx, schema.Weak)
	s.lacks(c.missing)
	return PostProcessor{Type: typ, Name: m.Name, Args: c.args, Volatile: c.volatile, KeepInputArtifact: m.KeepInputArtifact, Pos: n.at}, metaOK && argsOK
}
