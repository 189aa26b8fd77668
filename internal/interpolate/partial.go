package interpolate

import (
	"slices"
	"strconv"
	"strings"
	"text/template/parse"
)

// partial evaluates what is known now.
func (t *text) partial(c *Context) (Result, error) {
	whole, volatile := describe(t.tree.Root), t.volatile()
	if !whole.late {
		out, err := t.execute(c, nil)
		return Result{Text: escape(out, false), Volatile: volatile}, err
	}
	if whole.variables {
		err := freeze(c, t.tree.Root)
		return Result{Text: t.tree.Root.String(), Late: true, Volatile: volatile}, err
	}
	var b, literal strings.Builder
	flush := func(beforeAction bool) {
		b.WriteString(escape(literal.String(), beforeAction))
		literal.Reset()
	}
	for _, n := range t.tree.Root.Nodes {
		if !describe(n).late {
			out, err := run(c, nil, n)
			if err != nil {
				return Result{}, execError(int(n.Position()), err)
			}
			literal.WriteString(out)
			continue
		}
		late, err := t.late(c, n)
		if err != nil {
			return Result{}, err
		}
		flush(true)
		b.WriteString(late)
	}
	flush(false)
	return Result{Text: b.String(), Late: true, Volatile: volatile}, nil
}

// escape writes a literal as part of a template. Braces that would begin an action, by themselves or together with an
// action that follows, become actions.
func escape(literal string, beforeAction bool) string {
	s := strings.ReplaceAll(literal, leftDelim, `{{"{{"}}`)
	if beforeAction && strings.HasSuffix(s, "{") {
		s = s[:len(s)-1] + `{{"{"}}`
	}
	return s
}

// late returns a late node as its author wrote it, if that will still mean the same while the build runs.
func (t *text) late(c *Context, n parse.Node) (string, error) {
	if describe(n).context {
		err := freeze(c, n)
		return n.String(), err
	}
	action, ok := n.(*parse.ActionNode)
	if !ok {
		return n.String(), nil
	}
	return t.written(action), nil
}

func (t *text) written(action *parse.ActionNode) string {
	start := strings.LastIndex(t.source[:action.Pos], leftDelim)
	end := actionEnd(t.source, int(action.Pos))
	if start < 0 || end < 0 {
		return action.String()
	}
	s := t.source[start:end]
	if strings.HasPrefix(s, "{{-") || strings.HasSuffix(s, "-}}") {
		return action.String() // its effect on the text around is in there already
	}
	return s
}

// actionEnd returns the offset behind the right delimiter of the action that holds pos, or -1.
func actionEnd(s string, pos int) int {
	for pos < len(s) {
		switch {
		case s[pos] == '"' || s[pos] == '`' || s[pos] == '\'':
			pos = quoteEnd(s, pos)
		case strings.HasPrefix(s[pos:], rightDelim):
			return pos + len(rightDelim)
		default:
			pos++
		}
	}
	return -1
}

// quoteEnd returns the offset behind the quoted text that begins at pos.
func quoteEnd(s string, pos int) int {
	quote := s[pos]
	for pos++; pos < len(s); pos++ {
		switch {
		case s[pos] == '\\' && quote != '`':
			pos++
		case s[pos] == quote:
			return pos + 1
		}
	}
	return pos
}

// freeze replaces, inside a late node, the calls of functions that only the plan can evaluate by their values: the daemon
// that renders the rest has neither the variables nor the environment.
func freeze(c *Context, n parse.Node) error {
	var first error
	walk(n, func(n parse.Node) {
		pipe, ok := n.(*parse.PipeNode)
		if !ok || first != nil || !describe(pipe).context {
			return
		}
		first = freezePipe(c, pipe)
	})
	return first
}

// freezePipe evaluates the leading commands of a pipe that can be evaluated now, and lone functions among the arguments
// of the others. Parenthesised arguments are pipes of their own.
func freezePipe(c *Context, pipe *parse.PipeNode) error {
	n := 0
	for n < len(pipe.Cmds) && !describe(pipe.Cmds[n]).late && !describe(pipe.Cmds[n]).variables {
		n++
	}
	if n > 0 {
		s, err := constant(c, pipe.Pos, pipe.Cmds[:n])
		if err != nil {
			return err
		}
		first := &parse.CommandNode{NodeType: parse.NodeCommand, Pos: pipe.Pos, Args: []parse.Node{s}}
		pipe.Cmds = append([]*parse.CommandNode{first}, pipe.Cmds[n:]...)
	}
	for i, cmd := range pipe.Cmds {
		if err := freezeArgs(c, cmd, i > 0); err != nil {
			return err
		}
	}
	return nil
}

func freezeArgs(c *Context, cmd *parse.CommandNode, fed bool) error {
	for i, arg := range cmd.Args {
		id, ok := arg.(*parse.IdentifierNode)
		if !ok || !slices.Contains(contextFuncs, id.Ident) {
			continue
		}
		if i == 0 && (fed || len(cmd.Args) > 1) {
			return &Error{Offset: int(id.Pos), Message: id.Ident + " needs a value that is known before the build starts",
				Remedy: "do not give it values of the running build"}
		}
		s, err := constant(c, id.Pos, []*parse.CommandNode{{NodeType: parse.NodeCommand, Pos: id.Pos, Args: []parse.Node{id}}})
		if err != nil {
			return err
		}
		cmd.Args[i] = s
	}
	return nil
}

// constant evaluates commands to a string node.
func constant(c *Context, pos parse.Pos, cmds []*parse.CommandNode) (*parse.StringNode, error) {
	pipe := &parse.PipeNode{NodeType: parse.NodePipe, Pos: pos, Cmds: cmds}
	out, err := run(c, nil, &parse.ActionNode{NodeType: parse.NodeAction, Pos: pos, Pipe: pipe})
	if err != nil {
		return nil, execError(int(pos), err)
	}
	return &parse.StringNode{NodeType: parse.NodeString, Pos: pos, Quoted: strconv.Quote(out), Text: out}, nil
}
