package schema

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// Leniency tells how far a value may be from the type of its argument.
type Leniency int

const (
	// Strict converts as HCL does: "10" for 10, "true" for true, 10 for "10".
	Strict Leniency = iota
	// Weak converts as Packer does with JSON templates: also "" for false and 0, 1 for true, true for "1", a lone value
	// for a list of one, and "a,b" for a list of two strings. Source: packer-plugin-sdk template/config/decode.go.
	Weak
)

// Problem is what is wrong with one argument.
type Problem struct {
	// Path leads from the block to the value, such as "network_interface[1].bridge".
	Path string
	// Err says what is wrong, without the path.
	Err error
	// Remedy says how to mend it; it may be empty.
	Remedy string
}

// Errors that a Problem wraps, for telling kinds of problems apart.
var (
	ErrUnknownArgument = errors.New("no such argument")
	ErrMissingArgument = errors.New("a required argument is missing")
)

// Convert checks the given arguments against the block and returns them as canonical JSON: an object with sorted names
// that holds only what was given. Nested blocks are objects, or lists of objects. A null is an argument that was not
// given; a value that is not known yet is taken as given and left out. All problems are found at once; the JSON is nil
// if there are any.
func (b *Block) Convert(args map[string]cty.Value, how Leniency) (json.RawMessage, []Problem) {
	c := converter{how: how}
	out := c.block(b, "", args)
	if len(c.problems) > 0 {
		return nil, c.problems
	}
	return out, nil
}

type converter struct {
	how      Leniency
	problems []Problem
}

func (c *converter) report(path string, err error, remedy string) json.RawMessage {
	c.problems = append(c.problems, Problem{Path: path, Err: err, Remedy: remedy})
	return nil
}

func (c *converter) block(b *Block, prefix string, args map[string]cty.Value) json.RawMessage {
	out := map[string]json.RawMessage{}
	for _, name := range sortedKeys(args) {
		v, path := args[name], prefix+name
		a := b.Arg(name)
		switch {
		case a == nil:
			c.report(path, fmt.Errorf("%w: %q", ErrUnknownArgument, name), didYouMean(b, name))
		case v.IsNull() || !v.IsWhollyKnown():
		case a.Block != nil:
			out[name] = c.nested(a, path, v)
		default:
			out[name] = c.attribute(a, path, v)
		}
	}
	for i := range b.Args {
		a := &b.Args[i]
		if v, given := args[a.Name]; a.Required && (!given || v.IsNull()) {
			c.report(prefix+a.Name, fmt.Errorf("%w: %q", ErrMissingArgument, a.Name), a.Doc)
		}
	}
	return encode(out)
}

func didYouMean(b *Block, name string) string {
	if near := b.Suggest(name); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return fmt.Sprintf("see the arguments of %q in docs/template.md", b.Type)
}

// nested takes an object, or a list of objects where the block may be repeated.
func (c *converter) nested(a *Arg, path string, v cty.Value) json.RawMessage {
	if isObject(v) {
		one := c.block(a.Block, path+".", v.AsValueMap())
		if a.Repeat {
			return encode([]json.RawMessage{one})
		}
		return one
	}
	if !isSequence(v) {
		return c.report(path, fmt.Errorf("a block is needed, not %s", describe(v)), "")
	}
	items := []json.RawMessage{}
	for i, e := range v.AsValueSlice() {
		at := fmt.Sprintf("%s[%d]", path, i)
		switch {
		case !isObject(e):
			return c.report(at, fmt.Errorf("a block is needed, not %s", describe(e)), "")
		case i > 0 && !a.Repeat:
			return c.report(at, errors.New("this block can be given only once"), "remove the second one")
		}
		items = append(items, c.block(a.Block, at+".", e.AsValueMap()))
	}
	switch {
	case a.Repeat:
		return encode(items)
	case len(items) == 0:
		return encode(struct{}{})
	}
	return items[0]
}

func (c *converter) attribute(a *Arg, path string, v cty.Value) json.RawMessage {
	if c.how == Weak {
		v = weaken(v, a.Type)
	}
	if a.Type != cty.DynamicPseudoType {
		conv, err := convert.Convert(v, a.Type)
		if err != nil {
			return c.report(path, fmt.Errorf("%s, not %s", need(a.Type), describe(v)), "")
		}
		v = conv
	}
	if err := checkNumbers(v); err != nil {
		return c.report(path, err, "")
	}
	b, err := ctyjson.SimpleJSONValue{Value: v}.MarshalJSON()
	if err != nil {
		return c.report(path, err, "")
	}
	if err := a.check(b); err != nil {
		return c.report(path, err, "")
	}
	return b
}
