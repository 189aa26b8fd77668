package interpolate

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/template"
	"text/template/parse"

	"github.com/boxkiln/boxkiln/internal/schema"
)

const (
	leftDelim  = "{{"
	rightDelim = "}}"
	// longest is the size that a rendered text may have, in bytes.
	longest = 16 << 20
)

// text is a parsed text.
type text struct {
	source string
	tree   *parse.Tree
}

func parseText(source string) (*text, error) {
	tree := parse.New("text")
	tree.Mode = parse.SkipFuncCheck
	sets := map[string]*parse.Tree{}
	if _, err := tree.Parse(source, "", "", sets); err != nil {
		return nil, parseError(source, err)
	}
	t := &text{source: source, tree: tree}
	if len(sets) > 1 {
		return nil, &Error{Message: "define and block cannot be used in the {{ }} of a template"}
	}
	return t, nil
}

// moment is when a text is checked.
type moment int

const (
	planning moment = iota // values of the running build are left for later
	final                  // there will be no running build
	running                // the running build's values are at hand
)

// check looks for what can be known to be wrong without evaluating anything.
func (t *text) check(when moment) error {
	var found *Error
	known := Functions()
	walk(t.tree.Root, func(n parse.Node) {
		if found == nil {
			found = checkNode(n, known, when)
		}
	})
	if found == nil { // a nil *Error must not become an error
		return nil
	}
	return found
}

func checkNode(n parse.Node, known []string, when moment) *Error {
	fail := func(message, remedy string) *Error {
		return &Error{Offset: int(n.Position()), Message: message, Remedy: remedy}
	}
	switch n := n.(type) {
	case *parse.RangeNode, *parse.TemplateNode:
		return fail("range and template cannot be used in the {{ }} of a template", "")
	case *parse.IdentifierNode:
		if !slices.Contains(known, n.Ident) {
			return fail(fmt.Sprintf("unknown function %q", n.Ident), didYouMean(n.Ident, known))
		}
		if when == final && n.Ident == "build" {
			return fail("values of the running build are not known here", "this argument is read before the build starts")
		}
	case *parse.FieldNode:
		name := n.Ident[0]
		switch {
		case when == final:
			return fail(fmt.Sprintf("{{ .%s }} has no value here", name), "this argument is read before the build starts")
		case when == planning && misspelt(name):
			return fail(fmt.Sprintf("unknown value {{ .%s }}", name), didYouMean(name, fields))
		}
	}
	return nil
}

// misspelt tells whether a name is nobody's, but near to somebody's. A name that is near to none may still be given by
// the step that renders the text.
func misspelt(name string) bool {
	return !slices.Contains(fields, name) && !slices.Contains(BuildValues(), name) && schema.Nearest(name, fields) != ""
}

func didYouMean(name string, known []string) string {
	if near := schema.Nearest(name, known); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return ""
}

// volatile lists the volatile functions in the text, once each.
func (t *text) volatile() []string {
	var used []string
	walk(t.tree.Root, func(n parse.Node) {
		if id, ok := n.(*parse.IdentifierNode); ok && slices.Contains(volatileFuncs, id.Ident) && !slices.Contains(used, id.Ident) {
			used = append(used, id.Ident)
		}
	})
	return used
}

// execute evaluates the whole text. On an error it evaluates node by node to find the guilty one.
func (t *text) execute(c *Context, data Data) (string, error) {
	out, err := run(c, data, t.tree.Root)
	if err == nil {
		return out, nil
	}
	offset := t.tree.Root.Position()
	for _, n := range t.tree.Root.Nodes {
		if _, e := run(c, data, n); e != nil {
			offset = n.Position()
			break
		}
	}
	return "", runError(int(offset), err, data)
}

// run executes one node of a text.
func run(c *Context, data Data, n parse.Node) (string, error) {
	list, ok := n.(*parse.ListNode)
	if !ok {
		list = &parse.ListNode{NodeType: parse.NodeList, Pos: n.Position(), Nodes: []parse.Node{n}}
	}
	tmpl, err := template.New("text").Option("missingkey=error").Funcs(c.funcs()).AddParseTree("text", &parse.Tree{Name: "text", Root: list})
	if err != nil {
		return "", err
	}
	if data == nil {
		data = Data{}
	}
	out := &limited{}
	if err := tmpl.Execute(out, data); err != nil {
		return "", err
	}
	return out.String(), nil
}

// runError names the field that is missing, and the one that was probably meant.
func runError(offset int, err error, data Data) *Error {
	e := execError(offset, err)
	if _, name, found := strings.Cut(e.Message, "map has no entry for key "); found {
		name = strings.Trim(name, `"`)
		known := make([]string, 0, len(data))
		for k := range data {
			known = append(known, k)
		}
		slices.Sort(known)
		e.Message, e.Remedy = fmt.Sprintf("{{ .%s }} has no value here", name), didYouMean(name, known)
	}
	return e
}

// limited is a buffer that refuses to grow without end.
type limited struct{ strings.Builder }

var errTooLong = errors.New("the rendered text is longer than 16 MiB")

func (l *limited) Write(p []byte) (int, error) {
	if l.Len()+len(p) > longest {
		return 0, errTooLong
	}
	return l.Builder.Write(p)
}
