package template

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/zclconf/go-cty/cty"

	"github.com/boxkiln/boxkiln/internal/interpolate"
	"github.com/boxkiln/boxkiln/internal/schema"
	"github.com/boxkiln/boxkiln/template/functions"
)

// unevaluated marks a value that a data source would have given; it names the data source and what is missing.
type unevaluated string

// runtime marks the text that stands for a value of the running build; it names the value.
type runtime string

// placeholder is the text that stands for a value of the running build until interpolate.Render replaces it.
func placeholder(name string) string { return "{{ build `" + name + "` }}" }

// arguments are the arguments of one block as the template gave them.
type arguments struct {
	values map[string]cty.Value
	places map[string]Pos // by path, such as "tag[0].key"
	at     Pos            // of the block
}

func newArguments(at Pos) *arguments {
	return &arguments{values: map[string]cty.Value{}, places: map[string]Pos{}, at: at}
}

// place returns where the argument at a path was given, or else the nearest thing around it.
func (a *arguments) place(path string) Pos {
	for path != "" {
		if p, ok := a.places[path]; ok {
			return p
		}
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
	return a.at
}

// component is a block whose arguments are resolved.
type component struct {
	args     json.RawMessage
	volatile []Use
	missing  string
}

// resolve checks the arguments of a block, renders their {{ }} and converts them. ok is false if there were errors, all
// of which are reported.
func (l *loader) resolve(b *schema.Block, title string, args *arguments, ctx *interpolate.Context, how schema.Leniency) (c component, ok bool) {
	r := &resolver{loader: l, args: args, ctx: ctx, late: b.Missing != "", ok: true}
	values := map[string]cty.Value{}
	for _, name := range slices.Sorted(maps.Keys(args.values)) {
		r.top = name
		v := r.unmark(args.values[name])
		if a := b.Arg(name); a != nil {
			v = r.render(a, name, v)
		}
		values[name] = v
	}
	out, problems := b.Convert(values, how)
	for _, p := range problems {
		place := args.place(p.Path)
		if errors.Is(p.Err, schema.ErrMissingArgument) && !strings.Contains(p.Path, ".") {
			place = args.at
		}
		message := p.Err.Error()
		if !errors.Is(p.Err, schema.ErrMissingArgument) && !errors.Is(p.Err, schema.ErrUnknownArgument) {
			message = p.Path + ": " + message
		}
		l.report.errorf(place, p.Remedy, "%s: %s", title, message)
	}
	slices.SortFunc(r.volatile, func(a, b Use) int { return strings.Compare(a.Arg+a.Function, b.Arg+b.Function) })
	missing := r.missing
	if b.Missing != "" {
		missing = title + ": " + b.Missing
	}
	return component{args: out, volatile: slices.Compact(r.volatile), missing: missing}, r.ok && len(problems) == 0
}

// resolver prepares the values of one block's arguments.
type resolver struct {
	*loader
	args     *arguments
	ctx      *interpolate.Context
	top      string // the argument that is being prepared
	late     bool   // every argument counts as late: of a kind that is not built nobody has said which are
	volatile []Use
	missing  string
	ok       bool
}

// unmark takes the marks off a value and acts on them.
func (r *resolver) unmark(v cty.Value) cty.Value {
	v, marks := v.UnmarkDeep()
	for m := range marks {
		switch m := m.(type) {
		case functions.Volatile:
			r.volatile = append(r.volatile, Use{Arg: r.top, Function: string(m)})
		case unevaluated:
			if r.missing == "" || string(m) < r.missing {
				r.missing = string(m)
			}
		case runtime:
			r.intact(v, string(m))
		}
	}
	return v
}

// intact reports a value of the running build that was computed with: its text stands for what is not known yet.
func (r *resolver) intact(v cty.Value, name string) {
	found := false
	err := cty.Walk(v, func(_ cty.Path, e cty.Value) (bool, error) {
		if e.Type() == cty.String && e.IsKnown() && !e.IsNull() && strings.Contains(e.AsString(), placeholder(name)) {
			found = true
		}
		return true, nil
	})
	if err != nil || !found {
		r.fail(r.args.place(r.top), "use it in a script through its environment instead",
			"%s: build.%s is known only while the build runs; it can be put into text but not computed with", r.top, name)
	}
}

func (r *resolver) fail(at Pos, remedy, format string, args ...any) {
	r.ok = false
	r.report.errorf(at, remedy, format, args...)
}

// render renders the strings in the value of an argument.
func (r *resolver) render(a *schema.Arg, path string, v cty.Value) cty.Value {
	if a.Block != nil {
		return r.renderBlock(a.Block, path, v)
	}
	out, err := cty.Transform(v, func(_ cty.Path, e cty.Value) (cty.Value, error) {
		if e.Type() != cty.String || e.IsNull() || !e.IsKnown() {
			return e, nil
		}
		return cty.StringVal(r.text(a, path, e.AsString())), nil
	})
	if err != nil { // cannot happen: strings become strings
		r.fail(r.args.place(path), "", "%s: %v", path, err)
		return v
	}
	return out
}

// renderBlock renders a nested block, or a list of them.
func (r *resolver) renderBlock(b *schema.Block, path string, v cty.Value) cty.Value {
	switch t := v.Type(); {
	case v.IsNull() || !v.IsKnown():
		return v
	case t.IsObjectType() || t.IsMapType():
		out := v.AsValueMap()
		for name, e := range out {
			if a := b.Arg(name); a != nil {
				out[name] = r.render(a, path+"."+name, e)
			}
		}
		return cty.ObjectVal(out)
	case t.IsTupleType() || t.IsListType():
		out := v.AsValueSlice()
		for i, e := range out {
			out[i] = r.renderBlock(b, fmt.Sprintf("%s[%d]", path, i), e)
		}
		return cty.TupleVal(out)
	}
	return v
}

// text renders one string: partly if its argument is late, finally otherwise.
func (r *resolver) text(a *schema.Arg, path, s string) string {
	out := s
	var err error
	if a.Late || r.late {
		var result interpolate.Result
		result, err = interpolate.Partial(s, r.ctx)
		out = result.Text
	} else {
		out, err = interpolate.Render(s, r.ctx, nil)
	}
	if err != nil {
		r.failText(path, err)
		return s
	}
	for _, f := range interpolate.Volatile(s) {
		r.volatile = append(r.volatile, Use{Arg: r.top, Function: f})
	}
	if a.Sensitive {
		r.private(out)
	}
	return out
}

func (r *resolver) failText(path string, err error) {
	var e *interpolate.Error
	if !errors.As(err, &e) {
		e = &interpolate.Error{Message: err.Error()}
	}
	r.fail(r.args.place(path), e.Remedy, "%s: %s", path, e.Message)
}

// lookup finds the description of a type, by an alias if need be, and reports a type that there is not.
func (l *loader) lookup(kind string, table map[string]*schema.Block, typ string, at Pos) (*schema.Block, string, bool) {
	if b, ok := table[typ]; ok {
		return b, typ, true
	}
	if name, ok := l.parts.Aliases[typ]; ok && table[name] != nil {
		l.report.notef(at, "%s type %q is an old name of %q", kind, typ, name)
		return table[name], name, true
	}
	known := slices.Sorted(maps.Keys(table))
	remedy := "known are: " + strings.Join(known, ", ")
	if near := schema.Nearest(typ, known); near != "" {
		remedy = fmt.Sprintf("did you mean %q?", near)
	}
	l.report.errorf(at, remedy, "unknown %s type %q", kind, typ)
	return nil, typ, false
}
