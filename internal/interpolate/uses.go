package interpolate

import (
	"slices"
	"strings"
	"text/template/parse"
)

// Runtime lists the values of the running build that a text names, sorted: "Name" for {{ .Name }}, "build.ID" for
// {{ build `ID` }} and "build" alone for a name that is computed. It lists none if the text cannot be parsed.
func Runtime(text string) []string {
	if !strings.Contains(text, leftDelim) {
		return nil
	}
	t, err := parseText(text)
	if err != nil {
		return nil
	}
	var names []string
	walk(t.tree.Root, func(n parse.Node) {
		switch n := n.(type) {
		case *parse.FieldNode:
			names = append(names, n.Ident[0])
		case *parse.VariableNode:
			if n.Ident[0] == "$" && len(n.Ident) > 1 {
				names = append(names, n.Ident[1])
			}
		case *parse.CommandNode:
			names = append(names, buildValues(n)...)
		}
	})
	slices.Sort(names)
	return slices.Compact(names)
}

// buildValues lists what a command asks the function build for.
func buildValues(n *parse.CommandNode) []string {
	var names []string
	for i, arg := range n.Args {
		id, ok := arg.(*parse.IdentifierNode)
		if !ok || id.Ident != "build" {
			continue
		}
		name := "build"
		if i == 0 && len(n.Args) == 2 {
			if s, ok := n.Args[1].(*parse.StringNode); ok {
				name += "." + s.Text
			}
		}
		names = append(names, name)
	}
	return names
}
