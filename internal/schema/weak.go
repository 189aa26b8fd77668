package schema

import (
	"math/big"
	"strconv"
	"strings"

	"github.com/zclconf/go-cty/cty"
)

// weaken brings v nearer to the type t in the ways that Packer does for JSON templates but HCL does not. What it cannot
// bring nearer it returns unchanged, for the conversion that follows to refuse.
func weaken(v cty.Value, t cty.Type) cty.Value {
	switch {
	case v.IsNull() || !v.IsWhollyKnown():
		return v
	case t == cty.Bool:
		return weakBool(v)
	case t == cty.Number:
		return weakNumber(v)
	case t == cty.String && v.Type() == cty.Bool:
		if v.True() {
			return cty.StringVal("1")
		}
		return cty.StringVal("0")
	case t.IsListType():
		return weakList(v, t.ElementType())
	case t.IsMapType():
		return weakMap(v, t.ElementType())
	}
	return v
}

func weakBool(v cty.Value) cty.Value {
	switch v.Type() {
	case cty.Number:
		return cty.BoolVal(v.AsBigFloat().Sign() != 0)
	case cty.String:
		if v.AsString() == "" {
			return cty.False
		}
		if b, err := strconv.ParseBool(v.AsString()); err == nil {
			return cty.BoolVal(b)
		}
	}
	return v
}

func weakNumber(v cty.Value) cty.Value {
	switch v.Type() {
	case cty.Bool:
		if v.True() {
			return cty.NumberIntVal(1)
		}
		return cty.Zero
	case cty.String:
		if v.AsString() == "" {
			return cty.Zero
		}
		if i, err := strconv.ParseInt(v.AsString(), 0, 64); err == nil {
			return cty.NumberVal(new(big.Float).SetInt64(i))
		}
	}
	return v
}

// weakList makes a list of a lone value. A string is split at its commas, as Packer's decoder does.
func weakList(v cty.Value, elem cty.Type) cty.Value {
	var items []cty.Value
	switch {
	case isSequence(v):
		items = v.AsValueSlice()
	case v.Type() == cty.String && v.AsString() == "":
		return cty.EmptyTupleVal
	case v.Type() == cty.String && !elem.IsListType():
		for _, part := range strings.Split(v.AsString(), ",") {
			items = append(items, cty.StringVal(part))
		}
	default:
		items = []cty.Value{v}
	}
	return tuple(items, elem)
}

func tuple(items []cty.Value, elem cty.Type) cty.Value {
	out := make([]cty.Value, len(items))
	for i, e := range items {
		out[i] = weaken(e, elem)
	}
	return cty.TupleVal(out)
}

// weakMap merges a list of objects into one, which is how HCL1 wrote a map.
func weakMap(v cty.Value, elem cty.Type) cty.Value {
	sources := []cty.Value{v}
	if isSequence(v) {
		sources = v.AsValueSlice()
	}
	out := map[string]cty.Value{}
	for _, s := range sources {
		if !isObject(s) || s.IsNull() {
			return v
		}
		for name, e := range s.AsValueMap() {
			out[name] = weaken(e, elem)
		}
	}
	return cty.ObjectVal(out)
}
