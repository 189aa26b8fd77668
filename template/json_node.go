package template

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/zclconf/go-cty/cty"
)

// jsonNode is a JSON value with its place, which encoding/json does not keep.
type jsonNode struct {
	at      Pos
	scalar  cty.Value    // of a string, number, boolean or null; NilVal otherwise
	members []jsonMember // of an object, in order
	items   []*jsonNode  // of an array
	object  bool
}

// jsonMember is a member of an object.
type jsonMember struct {
	name  string
	at    Pos // of the name
	value *jsonNode
}

// jsonParser builds nodes from the tokens of encoding/json.
type jsonParser struct {
	file    string
	src     []byte
	decoder *json.Decoder
	lines   lineCounter
}

// parseJSON parses a file. Syntax errors are reported.
func (l *loader) parseJSON(file string, src []byte) (*jsonNode, bool) {
	p := &jsonParser{file: file, src: src, lines: lineCounter{line: 1, column: 1}}
	var whole json.RawMessage
	if err := json.Unmarshal(src, &whole); err != nil {
		offset, remedy := len(src), "the text ends too early; check that every { [ and \" is closed"
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) && int(syntax.Offset) <= len(src) && !strings.Contains(err.Error(), "unexpected end") {
			offset, remedy = int(syntax.Offset)-1, "JSON has no comments and no comma before } or ]; a key that begins with _ can hold a comment"
		}
		l.report.errorf(p.place(max(offset, 0)), remedy, "this is not JSON: %v", err)
		return nil, false
	}
	p.decoder = json.NewDecoder(bytes.NewReader(src))
	p.decoder.UseNumber()
	n, err := p.node()
	if err != nil {
		l.report.errorf(Pos{File: file}, "", "this JSON cannot be read: %v", err)
		return nil, false
	}
	return n, true
}

// lineCounter turns growing offsets into lines and columns without starting over each time.
type lineCounter struct{ offset, line, column int }

func (p *jsonParser) place(offset int) Pos {
	for p.lines.offset < offset && p.lines.offset < len(p.src) {
		r, size := utf8.DecodeRune(p.src[p.lines.offset:])
		p.lines.offset += size
		p.lines.column++
		if r == '\n' {
			p.lines.line, p.lines.column = p.lines.line+1, 1
		}
	}
	return Pos{File: p.file, Line: p.lines.line, Column: p.lines.column}
}

// token returns the next token and where it begins.
func (p *jsonParser) token() (json.Token, Pos, error) {
	start := int(p.decoder.InputOffset())
	for start < len(p.src) && strings.IndexByte(" \t\r\n,:", p.src[start]) >= 0 {
		start++
	}
	at := p.place(start)
	t, err := p.decoder.Token()
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return t, at, err
}

func (p *jsonParser) node() (*jsonNode, error) {
	t, at, err := p.token()
	if err != nil {
		return nil, err
	}
	n := &jsonNode{at: at}
	switch t := t.(type) {
	case json.Delim:
		if t == '[' {
			return n, p.array(n)
		}
		n.object = true
		return n, p.members(n)
	case string:
		n.scalar = cty.StringVal(t)
	case json.Number:
		n.scalar, err = number(t)
	case bool:
		n.scalar = cty.BoolVal(t)
	default:
		n.scalar = cty.NullVal(cty.DynamicPseudoType)
	}
	return n, err
}

// number refuses numbers of absurd size, which would take as many digits to write out again.
func number(n json.Number) (cty.Value, error) {
	v, err := cty.ParseNumberVal(n.String())
	if err != nil {
		return cty.NilVal, fmt.Errorf("%q is not a number", n)
	}
	if exponent := v.AsBigFloat().MantExp(nil); v.AsBigFloat().IsInf() || exponent > 1024 || exponent < -1024 {
		return cty.NilVal, fmt.Errorf("the number %s is too large or too small", n)
	}
	return v, nil
}

func (p *jsonParser) array(n *jsonNode) error {
	for p.decoder.More() {
		item, err := p.node()
		if err != nil {
			return err
		}
		n.items = append(n.items, item)
	}
	_, _, err := p.token()
	return err
}

func (p *jsonParser) members(n *jsonNode) error {
	for p.decoder.More() {
		name, at, err := p.token()
		if err != nil {
			return err
		}
		value, err := p.node()
		if err != nil {
			return err
		}
		text, _ := name.(string) // the decoder gives nothing else here
		n.members = append(n.members, jsonMember{name: text, at: at, value: value})
	}
	_, _, err := p.token()
	return err
}

// comment tells whether a key is there for people only.
func (m jsonMember) comment() bool { return strings.HasPrefix(m.name, "_") }

// isArray tells whether the node is an array.
func (n *jsonNode) isArray() bool { return !n.object && n.scalar == cty.NilVal }

// value is the node as a value of a template; places takes in where its parts are, by path.
func (n *jsonNode) value(path string, places map[string]Pos) cty.Value {
	if _, ok := places[path]; !ok {
		places[path] = n.at
	}
	switch {
	case n.object:
		out := map[string]cty.Value{}
		for _, m := range n.members {
			if m.comment() {
				continue
			}
			inner := path + "." + m.name
			places[inner] = m.at
			out[m.name] = m.value.value(inner, places)
		}
		return cty.ObjectVal(out)
	case n.isArray():
		out := make([]cty.Value, len(n.items))
		for i, item := range n.items {
			out[i] = item.value(fmt.Sprintf("%s[%d]", path, i), places)
		}
		return cty.TupleVal(out)
	}
	return n.scalar
}

// arguments takes the members of an object, but for comments and those named in without.
func (n *jsonNode) arguments(without ...string) *arguments {
	args := newArguments(n.at)
	for _, m := range n.members {
		if m.comment() || containsAny(without, []string{m.name}) {
			continue
		}
		args.places[m.name] = m.at
		args.values[m.name] = m.value.value(m.name, args.places)
	}
	return args
}

// member returns a member of an object, or nil. Of several with the same name the last one counts.
func (n *jsonNode) member(name string) *jsonNode {
	var found *jsonNode
	for _, m := range n.members {
		if m.name == name {
			found = m.value
		}
	}
	return found
}
