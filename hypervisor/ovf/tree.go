package ovf

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

// node is an element of a descriptor.
type node struct {
	space, name string
	attrs       []xml.Attr
	children    []*node
	text        string
	line        int
}

// Limits of a tree, so that a small file cannot take much memory.
const (
	maxDepth = 64
	maxNodes = 50_000
)

// parse reads a document without a document type, the place where entities are declared.
func parse(r io.Reader) (*node, error) {
	text, err := io.ReadAll(io.LimitReader(r, MaxDescriptor+1))
	if err != nil {
		return nil, err
	}
	if len(text) > MaxDescriptor {
		return nil, fmt.Errorf("it is longer than %d MiB, which no descriptor is", MaxDescriptor>>20)
	}
	d := xml.NewDecoder(bytes.NewReader(text))
	d.CharsetReader = func(charset string, _ io.Reader) (io.Reader, error) {
		return nil, fmt.Errorf("it is written in %s: save it in UTF-8", charset)
	}
	p := parser{d: d}
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) && p.root != nil && len(p.open) == 0 {
			return p.root, nil
		}
		if err != nil {
			line, _ := d.InputPos()
			return nil, fmt.Errorf("line %d: it is no well-formed XML: %w", line, err)
		}
		if err := p.take(token); err != nil {
			line, _ := d.InputPos()
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
	}
}

type parser struct {
	d     *xml.Decoder
	root  *node
	open  []*node
	nodes int
}

func (p *parser) take(token xml.Token) error {
	switch t := token.(type) {
	case xml.Directive:
		return errors.New("it has a document type (<!DOCTYPE>), which descriptors do not need: remove it")
	case xml.StartElement:
		return p.start(t)
	case xml.EndElement:
		p.open = p.open[:len(p.open)-1]
	case xml.CharData:
		if len(p.open) > 0 {
			p.open[len(p.open)-1].text += string(t)
		}
	}
	return nil
}

func (p *parser) start(t xml.StartElement) error {
	if p.nodes++; p.nodes > maxNodes || len(p.open) >= maxDepth {
		return fmt.Errorf("more than %d elements, or %d inside each other: no descriptor has so many", maxNodes, maxDepth)
	}
	line, _ := p.d.InputPos()
	n := &node{space: t.Name.Space, name: t.Name.Local, attrs: t.Attr, line: line}
	if len(p.open) == 0 {
		if p.root != nil {
			return fmt.Errorf("<%s> after the end of the document", n.name)
		}
		p.root = n
	} else {
		parent := p.open[len(p.open)-1]
		parent.children = append(parent.children, n)
		parent.text = "" // text between elements is layout
	}
	n.modernise()
	p.open = append(p.open, n)
	return nil
}

// modernise gives the elements of OVF 0.9, which are typed by an attribute, the names that they have since 1.0.
func (n *node) modernise() {
	if n.name != "Section" && n.name != "Content" {
		return
	}
	if typ, ok := n.attrIn(nsXSI, "type"); ok {
		typ = typ[strings.IndexByte(typ, ':')+1:]
		n.name = strings.TrimSuffix(typ, "_Type")
	}
}

func isEnvelope(space string) bool {
	return space == nsEnvelope09 || space == nsEnvelope1 || space == nsEnvelope2
}

// attr is an attribute of OVF's, with or without its namespace, or with a prefix that nobody declared.
func (n *node) attr(name string) (string, bool) {
	if n == nil {
		return "", false
	}
	for _, a := range n.attrs {
		if a.Name.Local == name && (a.Name.Space == "" || a.Name.Space == "ovf" || isEnvelope(a.Name.Space)) {
			return a.Value, true
		}
	}
	return "", false
}

func (n *node) attrOr(name, otherwise string) string {
	if v, ok := n.attr(name); ok {
		return v
	}
	return otherwise
}

// attrIn is an attribute of another namespace.
func (n *node) attrIn(space, name string) (string, bool) {
	for _, a := range n.attrs {
		if a.Name.Local == name && a.Name.Space == space {
			return a.Value, true
		}
	}
	return "", false
}

// child is the first child of a name; nil if there is none. So is its child, and so on: a nil node has neither children nor attributes.
func (n *node) child(names ...string) *node {
	for _, name := range names {
		if n == nil {
			return nil
		}
		var found *node
		for _, c := range n.children {
			if c.name == name {
				found = c
				break
			}
		}
		n = found
	}
	return n
}

// all are the children of a name.
func (n *node) all(name string) []*node {
	if n == nil {
		return nil
	}
	var list []*node
	for _, c := range n.children {
		if c.name == name {
			list = append(list, c)
		}
	}
	return list
}

// content is the text of a child, "" if there is none.
func (n *node) content(name string) string {
	if c := n.child(name); c != nil {
		return c.text
	}
	return ""
}

// required tells whether a reader that does not know the element must give up, which is so unless it says otherwise.
func (n *node) required() bool { return n.attrOr("required", "true") == "true" }

// errorf names the element.
func (n *node) errorf(format string, args ...any) error {
	return fmt.Errorf("line %d: <%s>: "+format, append([]any{n.line, n.name}, args...)...)
}
