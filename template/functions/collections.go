package functions

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
)

// collections are functions on strings, lists and maps that go-cty lacks or has in another sense.
func collections() map[string]function.Function {
	return map[string]function.Function{
		"alltrue":  truths("alltrue", false),
		"anytrue":  truths("anytrue", true),
		"coalesce": coalesce(),
		"index":    index(),
		"length":   length(),
		"sum":      sum(),
		"transpose": function.New(&function.Spec{
			Params: []function.Parameter{{Name: "values", Type: cty.Map(cty.List(cty.String))}},
			Type:   function.StaticReturnType(cty.Map(cty.List(cty.String))),
			Impl:   func(args []cty.Value, _ cty.Type) (cty.Value, error) { return transpose(args[0]) },
		}),
		"startswith": text2("str", "prefix", func(s, p string) (cty.Value, error) { return cty.BoolVal(strings.HasPrefix(s, p)), nil }, cty.Bool),
		"endswith":   text2("str", "suffix", func(s, p string) (cty.Value, error) { return cty.BoolVal(strings.HasSuffix(s, p)), nil }, cty.Bool),
		"strcontains": text2("str", "substr", func(s, p string) (cty.Value, error) {
			return cty.BoolVal(strings.Contains(s, p)), nil
		}, cty.Bool),
	}
}

// truths tells whether any element of a list is true, or all are: it looks for the first that decides.
func truths(name string, decisive bool) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "list", Type: cty.List(cty.Bool)}},
		Type:   function.StaticReturnType(cty.Bool),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			result := cty.BoolVal(!decisive)
			for _, v := range args[0].AsValueSlice() {
				switch {
				case !v.IsKnown():
					result = cty.UnknownVal(cty.Bool)
				case !v.IsNull() && v.True() == decisive, v.IsNull() && !decisive:
					return cty.BoolVal(decisive), nil
				}
			}
			return result, nil
		},
	})
}

// coalesce returns the first argument that is neither null nor an empty string.
func coalesce() function.Function {
	return function.New(&function.Spec{
		VarParam: &function.Parameter{Name: "vals", Type: cty.DynamicPseudoType, AllowUnknown: true, AllowDynamicType: true, AllowNull: true},
		Type: func(args []cty.Value) (cty.Type, error) {
			types := make([]cty.Type, len(args))
			for i, a := range args {
				types[i] = a.Type()
			}
			t, _ := convert.UnifyUnsafe(types)
			if t == cty.NilType {
				return t, errors.New("coalesce: all arguments must have the same type")
			}
			return t, nil
		},
		Impl: func(args []cty.Value, t cty.Type) (cty.Value, error) {
			for _, a := range args {
				v, err := convert.Convert(a, t)
				switch {
				case err != nil:
					return cty.NilVal, err
				case !v.IsKnown():
					return cty.UnknownVal(t), nil
				case v.IsNull() || v.Type() == cty.String && v.AsString() == "":
					continue
				}
				return v, nil
			}
			return cty.NilVal, errors.New("coalesce: every argument is null or empty")
		},
	})
}

// index returns the place of a value in a list.
func index() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "list", Type: cty.DynamicPseudoType}, {Name: "value", Type: cty.DynamicPseudoType}},
		Type:   function.StaticReturnType(cty.Number),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			if t := args[0].Type(); !t.IsListType() && !t.IsTupleType() {
				return cty.NilVal, fmt.Errorf("index: a list is needed, not %s", t.FriendlyName())
			}
			for i, v := range args[0].AsValueSlice() {
				if eq := v.Equals(args[1]); !eq.IsKnown() {
					return cty.UnknownVal(cty.Number), nil
				} else if eq.True() {
					return cty.NumberIntVal(int64(i)), nil
				}
			}
			return cty.NilVal, errors.New("index: the list does not hold this value")
		},
	})
}

// length counts the elements of a collection, or the characters of a string.
func length() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "value", Type: cty.DynamicPseudoType, AllowDynamicType: true, AllowUnknown: true}},
		Type:   function.StaticReturnType(cty.Number),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			v := args[0]
			t := v.Type()
			switch {
			case t.IsTupleType():
				return cty.NumberIntVal(int64(len(t.TupleElementTypes()))), nil
			case t.IsObjectType():
				return cty.NumberIntVal(int64(len(t.AttributeTypes()))), nil
			case !v.IsKnown():
				return cty.UnknownVal(cty.Number), nil
			case t == cty.String:
				return cty.NumberIntVal(int64(len([]rune(v.AsString())))), nil
			case t.IsCollectionType():
				return v.Length(), nil
			}
			return cty.NilVal, fmt.Errorf("length: a string or a collection is needed, not %s", t.FriendlyName())
		},
	})
}

func sum() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "list", Type: cty.DynamicPseudoType}},
		Type:   function.StaticReturnType(cty.Number),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			if !args[0].CanIterateElements() || args[0].LengthInt() == 0 {
				return cty.NilVal, errors.New("sum: a list of at least one number is needed")
			}
			total := cty.Zero
			for _, v := range args[0].AsValueSlice() {
				n, err := convert.Convert(v, cty.Number)
				if err != nil || n.IsNull() {
					return cty.NilVal, errors.New("sum: every element must be a number")
				}
				total = total.Add(n)
			}
			return total, nil
		},
	})
}

// transpose turns a map of lists inside out.
func transpose(in cty.Value) (cty.Value, error) {
	lists := map[string][]string{}
	for key, list := range in.AsValueMap() {
		if list.IsNull() {
			return cty.NilVal, fmt.Errorf("transpose: the list of %q is null", key)
		}
		for _, v := range list.AsValueSlice() {
			if v.IsNull() {
				return cty.NilVal, fmt.Errorf("transpose: the list of %q holds a null", key)
			}
			lists[v.AsString()] = append(lists[v.AsString()], key)
		}
	}
	if len(lists) == 0 {
		return cty.MapValEmpty(cty.List(cty.String)), nil
	}
	out := map[string]cty.Value{}
	for key, names := range lists {
		slices.Sort(names)
		values := make([]cty.Value, len(names))
		for i, n := range names {
			values[i] = cty.StringVal(n)
		}
		out[key] = cty.ListVal(values)
	}
	return cty.MapVal(out), nil
}
