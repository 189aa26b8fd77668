package template

import (
	"fmt"
	"slices"
	"strings"

	"github.com/zclconf/go-cty/cty"

	"github.com/boxkiln/boxkiln/internal/interpolate"
	"github.com/boxkiln/boxkiln/internal/schema"
)

// jsonLoader reads a template in Packer's older JSON. Source: packer-plugin-sdk template/parse.go and packer core.go.
type jsonLoader struct {
	*loader
	variables userVariables
	names     []string // of the builders
}

func newJSONLoader(l *loader) *jsonLoader { return &jsonLoader{loader: l, variables: userVariables{}} }

// sections are the keys of a template.
func sections() []string {
	return []string{"builders", "description", "error-cleanup-provisioner", "min_packer_version", "post-processors", "provisioners", "push", "sensitive-variables", "variables"}
}

func (j *jsonLoader) load() {
	j.template.Legacy = true
	src, ok := j.read(j.template.Path)
	if !ok {
		return
	}
	root, ok := j.parseJSON(j.template.Path, src)
	if !ok || !j.is(root, root.object, "a template must be an object") {
		return
	}
	j.checkSections(root)
	j.loadVariables(root)
	j.loadBuilders(root)
}

// is reports a node that is not what it has to be.
func (j *jsonLoader) is(n *jsonNode, ok bool, message string) bool {
	if !ok {
		j.report.errorf(n.at, "", "%s", message)
	}
	return ok
}

func (j *jsonLoader) checkSections(root *jsonNode) {
	for _, m := range root.members {
		switch {
		case m.comment():
		case !slices.Contains(sections(), m.name):
			remedy := "known are: " + strings.Join(sections(), ", ")
			if near := schema.Nearest(m.name, sections()); near != "" {
				remedy = fmt.Sprintf("did you mean %q?", near)
			}
			j.report.errorf(m.at, remedy, "a template has no section %q", m.name)
		case m.name == "push":
			j.report.notef(m.at, "push is ignored: Packer took it out in version 1.5")
		case m.name == "description":
			j.template.Description, _ = j.scalarText(m.value)
		case m.name == "min_packer_version":
			j.checkVersion(m)
		}
	}
}

func (j *jsonLoader) checkVersion(m jsonMember) {
	text, _ := j.scalarText(m.value)
	switch met, err := satisfies(j.options.PackerVersion, ">="+text); {
	case err != nil:
		j.report.errorf(m.value.at, "write it like \"1.7.0\"", "min_packer_version: %v", err)
	case !met:
		j.report.errorf(m.value.at, "lower it if the template needs nothing newer", "the template requires Packer %s; Boxkiln reads the templates of Packer %s", text, j.options.PackerVersion)
	}
}

// objects returns the items of an array section that are objects; others are reported.
func (j *jsonLoader) objects(root *jsonNode, section string) []*jsonNode {
	n := root.member(section)
	if n == nil || !j.is(n, n.isArray(), section+" must be an array") {
		return nil
	}
	var out []*jsonNode
	for _, item := range n.items {
		if j.is(item, item.object, "each of the "+section+" must be an object") {
			out = append(out, item)
		}
	}
	return out
}

// kind returns the type of a builder, provisioner or post-processor.
func (j *jsonLoader) kind(n *jsonNode, what string) (typ string, at Pos, ok bool) {
	m := n.member("type")
	if m == nil {
		j.report.errorf(n.at, "add \"type\"", "the %s has no type", what)
		return "", n.at, false
	}
	typ, ok = j.scalarText(m)
	return typ, m.at, j.is(m, ok && typ != "", "the type of a "+what+" must be a string")
}

// builder is a builder with the name by which the rest of the template calls it.
type builder struct {
	node      *jsonNode
	typ, name string
	typeAt    Pos
}

func (j *jsonLoader) loadBuilders(root *jsonNode) {
	b := Build{Pos: root.at}
	builders := j.builders(root)
	provisioners, cleanup, chains := j.objects(root, "provisioners"), root.member("error-cleanup-provisioner"), j.chains(root)
	j.checkSelection(j.names, j.postProcessorNames(chains))
	for _, n := range provisioners {
		j.checkNames(n, true)
	}
	for _, n := range slices.Concat(chains...) {
		j.checkNames(n, false) // the override of the vagrant post-processor names providers
	}
	for _, item := range builders {
		if !j.selected(item.name) {
			continue
		}
		s := &jsonSource{jsonLoader: j, builder: item}
		if s.own() {
			s.follow(provisioners, cleanup, chains)
			b.Sources = append(b.Sources, s.out)
		}
	}
	j.template.Builds = append(j.template.Builds, b)
}

// builders reads types and names of the builders.
func (j *jsonLoader) builders(root *jsonNode) []builder {
	nodes := j.objects(root, "builders")
	if len(nodes) == 0 {
		j.report.errorf(root.at, "add \"builders\": [{ \"type\": \"qemu\", ... }]", "the template has no builders")
	}
	var out []builder
	for _, n := range nodes {
		typ, at, ok := j.kind(n, "builder")
		if !ok {
			continue
		}
		item := builder{node: n, typ: typ, name: typ, typeAt: at}
		if m := n.member("name"); m != nil {
			text, _ := j.scalarText(m)
			name, err := interpolate.Render(text, j.context("", "", m.at), nil)
			if err != nil || name == "" {
				j.report.errorf(m.at, "write a string", "the name of a builder must be known before the build: %v", err)
				continue
			}
			item.name = name
		}
		if slices.Contains(j.names, item.name) {
			j.report.errorf(n.at, "give each a \"name\" of its own", "there are two builders with the name %q", item.name)
			continue
		}
		j.names = append(j.names, item.name)
		out = append(out, item)
	}
	return out
}

// context is the context of the {{ }} outside of the variables, where a variable that is not declared is empty, as in
// Packer.
func (j *jsonLoader) context(name, typ string, at Pos) *interpolate.Context {
	ctx := j.interpolation(name, typ)
	ctx.User = func(name string) (string, error) {
		v := j.variables[name]
		if v == nil {
			j.report.warnf(at, j.nearVariable(name), "variable %q is not declared; it is empty here", name)
			return "", nil
		}
		return v.value, nil // an error in it was reported with its declaration
	}
	return ctx
}

// chains reads the post-processors: each a name, an object, or an array of these.
func (j *jsonLoader) chains(root *jsonNode) [][]*jsonNode {
	n := root.member("post-processors")
	if n == nil || !j.is(n, n.isArray(), "post-processors must be an array") {
		return nil
	}
	var out [][]*jsonNode
	for _, item := range n.items {
		links := []*jsonNode{item}
		if item.isArray() {
			links = item.items
		}
		var chain []*jsonNode
		for _, link := range links {
			if link = j.link(link); link != nil {
				chain = append(chain, link)
			}
		}
		out = append(out, chain)
	}
	return out
}

// link turns a post-processor that is given by its type alone into an object.
func (j *jsonLoader) link(n *jsonNode) *jsonNode {
	if n.scalar != cty.NilVal && n.scalar.Type() == cty.String {
		return &jsonNode{at: n.at, object: true, members: []jsonMember{{name: "type", at: n.at, value: n}}}
	}
	if !j.is(n, n.object, "a post-processor must be an object, or its type") {
		return nil
	}
	return n
}

func (j *jsonLoader) postProcessorNames(chains [][]*jsonNode) []string {
	var names []string
	for _, chain := range chains {
		for _, pp := range chain {
			names = append(names, j.postProcessorName(pp))
		}
	}
	return names
}

// postProcessorName is the name of a post-processor, or else its type.
func (j *jsonLoader) postProcessorName(pp *jsonNode) string {
	for _, key := range []string{"name", "type"} {
		if m := pp.member(key); m != nil {
			if name, ok := j.scalarText(m); ok && name != "" {
				return name
			}
		}
	}
	return ""
}

// checkNames reports builders that only, except and override name but that there are not.
func (j *jsonLoader) checkNames(n *jsonNode, overrides bool) {
	check := func(name string, at Pos) {
		if slices.Contains(j.names, name) {
			return
		}
		remedy := "known are: " + strings.Join(j.names, ", ")
		if near := schema.Nearest(name, j.names); near != "" {
			remedy = fmt.Sprintf("did you mean %q?", near)
		}
		j.report.errorf(at, remedy, "there is no builder %q", name)
	}
	for _, key := range []string{"only", "except"} {
		if m := n.member(key); m != nil && j.is(m, m.isArray(), key+" must be an array of names") {
			for _, item := range m.items {
				name, _ := j.scalarText(item)
				check(name, item.at)
			}
		}
	}
	if m := n.member("override"); m != nil && overrides && m.object {
		for _, o := range m.members {
			if !o.comment() {
				check(o.name, o.at)
			}
		}
	}
}
