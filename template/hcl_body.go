package template

import (
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/dynblock"
	"github.com/zclconf/go-cty/cty"

	"github.com/boxkiln/boxkiln/internal/schema"
)

// hclSchema is what the body of a block may hold: its arguments, and those of meta if it is not nil.
func hclSchema(b, meta *schema.Block) *hcl.BodySchema {
	out := &hcl.BodySchema{}
	for _, block := range []*schema.Block{b, meta} {
		if block == nil {
			continue
		}
		for _, a := range block.Args {
			switch {
			case block == b && meta != nil && meta.Arg(a.Name) != nil: // added with meta
			case a.Block != nil:
				out.Blocks = append(out.Blocks, hcl.BlockHeaderSchema{Type: a.Name})
			default:
				out.Attributes = append(out.Attributes, hcl.AttributeSchema{Name: a.Name})
			}
		}
	}
	return out
}

// arguments evaluates the body of a block, its dynamic blocks expanded. ok is false if anything in it was reported.
func (h *hclLoader) arguments(body hcl.Body, b, meta *schema.Block, ctx *hcl.EvalContext, at Pos) (args *arguments, ok bool) {
	args = newArguments(at)
	return args, h.fill(args, args.values, "", dynblock.Expand(body, withoutMarks(ctx)), hclSchema(b, meta), b, ctx)
}

// fill evaluates a body, already expanded, into values; prefix is the path of the block.
func (h *hclLoader) fill(args *arguments, values map[string]cty.Value, prefix string, body hcl.Body, s *hcl.BodySchema, b *schema.Block, ctx *hcl.EvalContext) bool {
	content, diags := body.Content(s)
	ok := h.report.hcl(diags)
	for _, name := range slices.Sorted(maps.Keys(content.Attributes)) {
		a := content.Attributes[name]
		args.places[prefix+name] = position(a.NameRange)
		v, good := h.eval(a.Expr, ctx)
		if !good {
			v, ok = cty.DynamicVal, false // given, so not missing
		}
		values[name] = v
	}
	counts := map[string]int{}
	for _, nested := range content.Blocks {
		arg := b.Arg(nested.Type)
		path := fmt.Sprintf("%s%s[%d]", prefix, nested.Type, counts[nested.Type])
		counts[nested.Type]++
		args.places[path] = position(nested.DefRange)
		inner := map[string]cty.Value{}
		ok = h.fill(args, inner, path+".", nested.Body, hclSchema(arg.Block, nil), arg.Block, ctx) && ok
		values[nested.Type] = appendBlock(values[nested.Type], cty.ObjectVal(inner))
	}
	return ok
}

// appendBlock adds a nested block to those of its type, which are a tuple.
func appendBlock(list, block cty.Value) cty.Value {
	if list == cty.NilVal {
		return cty.TupleVal([]cty.Value{block})
	}
	return cty.TupleVal(append(list.AsValueSlice(), block))
}

// withoutMarks is ctx for the expansion of dynamic blocks, which does not take marked values.
func withoutMarks(ctx *hcl.EvalContext) *hcl.EvalContext {
	out := &hcl.EvalContext{Functions: ctx.Functions, Variables: map[string]cty.Value{}}
	for name, v := range ctx.Variables {
		if name != "build" { // its marks tell that a value was computed with
			v, _ = v.UnmarkDeep()
		}
		out.Variables[name] = v
	}
	return out
}

// override lays the arguments of a build's source block over those of the source: attributes replace, and nested blocks
// that may be repeated add up.
func (args *arguments) override(b *schema.Block, over *arguments) {
	for name, v := range over.values {
		a := b.Arg(name)
		if old, ok := args.values[name]; ok && a != nil && a.Block != nil && a.Repeat {
			both := append(old.AsValueSlice(), v.AsValueSlice()...)
			for i := range v.AsValueSlice() {
				args.places[fmt.Sprintf("%s[%d]", name, len(both)-len(v.AsValueSlice())+i)] = over.place(fmt.Sprintf("%s[%d]", name, i))
			}
			v = cty.TupleVal(both)
		} else {
			maps.Copy(args.places, over.places)
		}
		args.values[name] = v
	}
}
