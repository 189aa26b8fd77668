package interpolate

import (
	"reflect"
	"slices"
	"text/template/parse"
)

// walk visits n and everything below it, parents first.
func walk(n parse.Node, visit func(parse.Node)) {
	if n == nil || reflect.ValueOf(n).IsNil() {
		return
	}
	visit(n)
	for _, child := range children(n) {
		walk(child, visit)
	}
}

func children(n parse.Node) []parse.Node {
	switch n := n.(type) {
	case *parse.ListNode:
		return n.Nodes
	case *parse.ActionNode:
		return []parse.Node{n.Pipe}
	case *parse.PipeNode:
		var all []parse.Node
		for _, d := range n.Decl {
			all = append(all, d)
		}
		for _, c := range n.Cmds {
			all = append(all, c)
		}
		return all
	case *parse.CommandNode:
		return n.Args
	case *parse.ChainNode:
		return []parse.Node{n.Node}
	case *parse.IfNode:
		return []parse.Node{n.Pipe, n.List, n.ElseList}
	case *parse.WithNode:
		return []parse.Node{n.Pipe, n.List, n.ElseList}
	}
	return nil
}

// about collects what decides when a node can be evaluated.
type about struct {
	late      bool // it needs the running build
	variables bool // it declares or reads $variables
	context   bool // it calls a function of the plan's context
}

func describe(n parse.Node) about {
	var a about
	walk(n, func(n parse.Node) {
		switch n := n.(type) {
		case *parse.FieldNode, *parse.DotNode:
			a.late = true
		case *parse.VariableNode:
			root := n.Ident[0] == "$" // the running build's data
			a.late, a.variables = a.late || root, a.variables || !root
		case *parse.IdentifierNode:
			a.late = a.late || n.Ident == "build"
			a.context = a.context || slices.Contains(contextFuncs, n.Ident)
		}
	})
	return a
}
