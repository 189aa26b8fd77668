package template

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	hcljson "github.com/hashicorp/hcl/v2/json"
	"github.com/zclconf/go-cty/cty/function"

	"github.com/boxkiln/boxkiln/template/functions"
)

// hclLoader reads a template in HCL2. Its fields fill up in the order of load.
type hclLoader struct {
	*loader
	functions map[string]function.Function
	blocks    map[string]hcl.Blocks // the top-level blocks of all files, by type
	variables map[string]*variable
	values    values                // locals and data sources
	sources   map[string]*hcl.Block // by type.name
}

func newHCLLoader(l *loader) *hclLoader {
	return &hclLoader{
		loader:    l,
		functions: functions.New(functions.Config{Now: l.now, NewUUID: l.options.NewUUID, Files: l.files}),
		blocks:    map[string]hcl.Blocks{},
		variables: map[string]*variable{},
		values:    values{},
		sources:   map[string]*hcl.Block{},
	}
}

// rootSchema is what a file may hold. Source: packer hcl2template/parser.go.
var rootSchema = &hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{
	{Type: "packer"},
	{Type: "variables"},
	{Type: "variable", LabelNames: []string{"name"}},
	{Type: "locals"},
	{Type: "local", LabelNames: []string{"name"}},
	{Type: "data", LabelNames: []string{"type", "name"}},
	{Type: "source", LabelNames: []string{"type", "name"}},
	{Type: "build"},
	{Type: "communicator", LabelNames: []string{"type", "name"}},
}}

func (h *hclLoader) load(folder bool) {
	for _, path := range h.paths(folder, ".pkr.hcl", ".pkr.json") {
		h.loadFile(path)
	}
	if folder && len(h.template.Files) == 0 {
		h.report.errorf(Pos{File: h.template.Path}, "give another folder, or a JSON template's own name",
			"the folder holds no *.pkr.hcl or *.pkr.json file")
	}
	if h.report.list.HasErrors() { // after a syntax error half of what follows would be wrong
		return
	}
	for _, b := range h.blocks["packer"] {
		h.loadPacker(b)
	}
	for _, b := range h.blocks["communicator"] {
		h.report.warnf(position(b.DefRange), "write the communicator's arguments into the source", "communicator blocks have no effect, as in Packer")
	}
	h.loadVariables(folder)
	h.loadValues()
	h.loadSources()
	h.loadBuilds()
}

// paths lists the files of a template that end in one of the suffixes, sorted within each; the template itself if it is
// a file.
func (h *hclLoader) paths(folder bool, suffixes ...string) []string {
	if !folder {
		return []string{h.template.Path}
	}
	entries, err := os.ReadDir(h.template.Dir)
	if err != nil {
		h.report.errorf(Pos{File: h.template.Path}, "check its permissions", "the folder cannot be read: %v", plain(err))
		return nil
	}
	var paths []string
	for _, suffix := range suffixes {
		for _, e := range entries {
			if strings.HasSuffix(e.Name(), suffix) && !e.IsDir() {
				paths = append(paths, filepath.Join(h.template.Root, e.Name()))
			}
		}
	}
	return paths
}

func (h *hclLoader) loadFile(path string) {
	body, ok := h.parse(path)
	if !ok {
		return
	}
	content, diags := body.Content(rootSchema)
	h.report.hcl(diags)
	for _, b := range content.Blocks {
		h.blocks[b.Type] = append(h.blocks[b.Type], b)
	}
}

// parse parses a file of HCL, or of JSON if its name ends so.
func (h *hclLoader) parse(path string) (hcl.Body, bool) {
	src, ok := h.read(path)
	if !ok {
		return nil, false
	}
	if strings.HasSuffix(path, ".json") {
		file, diags := hcljson.Parse(src, path)
		return bodyOf(file), h.report.hcl(diags)
	}
	file, diags := hclsyntax.ParseConfig(src, path, hcl.InitialPos)
	return bodyOf(file), h.report.hcl(diags)
}

func bodyOf(f *hcl.File) hcl.Body {
	if f == nil {
		return hcl.EmptyBody()
	}
	return f.Body
}

// loadPacker reads required_version; plugins are built in.
func (h *hclLoader) loadPacker(b *hcl.Block) {
	content, diags := b.Body.Content(&hcl.BodySchema{
		Attributes: []hcl.AttributeSchema{{Name: "required_version"}},
		Blocks:     []hcl.BlockHeaderSchema{{Type: "required_plugins"}},
	})
	h.report.hcl(diags)
	for _, p := range content.Blocks {
		attrs, diags := p.Body.JustAttributes()
		h.report.hcl(diags)
		names := make([]string, 0, len(attrs))
		for name := range attrs {
			names = append(names, name)
		}
		slices.Sort(names)
		h.report.notef(position(p.DefRange), "required_plugins is not needed: what Boxkiln knows of %s is built in", strings.Join(names, ", "))
	}
	attr, ok := content.Attributes["required_version"]
	if !ok {
		return
	}
	v, ok := h.eval(attr.Expr, nil)
	if !ok {
		return
	}
	constraint, ok := asString(v)
	if !ok {
		h.report.errorf(position(attr.Expr.Range()), "", "required_version must be a string such as \">= 1.7.0\"")
		return
	}
	switch met, err := satisfies(h.options.PackerVersion, constraint); {
	case err != nil:
		h.report.errorf(position(attr.Expr.Range()), "write it like \">= 1.7.0, < 2.0.0\"", "required_version: %v", err)
	case !met:
		h.report.errorf(position(attr.Expr.Range()), "relax required_version if the template needs nothing newer",
			"the template requires Packer %s; Boxkiln reads the templates of Packer %s", constraint, h.options.PackerVersion)
	}
}
