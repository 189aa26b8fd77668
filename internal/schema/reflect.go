package schema

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/zclconf/go-cty/cty"
)

var (
	durationType = reflect.TypeFor[Duration]()
	rawType      = reflect.TypeFor[json.RawMessage]()
)

// New reads the arguments of a block from its groups: values of plain structs with the tags that the package comment
// describes. Embedded structs are part of the struct around them. Two groups may declare the same argument if they give
// it the same type; the first one counts. A group that cannot be described is a mistake in the program, so New panics,
// as regexp.MustCompile does.
func New(typ, doc string, groups ...any) *Block {
	b := &Block{Type: typ, Doc: doc}
	for _, g := range groups {
		b.addGroup(reflect.TypeOf(g))
	}
	b.sort()
	return b
}

// Unbuilt is New for a kind that is validated but cannot be built; missing says what is not there.
func Unbuilt(typ, doc, missing string, groups ...any) *Block {
	b := New(typ, doc, groups...)
	b.Missing = missing
	return b
}

func (b *Block) sort() {
	slices.SortFunc(b.Args, func(x, y Arg) int { return strings.Compare(x.Name, y.Name) })
}

func (b *Block) addGroup(t reflect.Type) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		panic(fmt.Sprintf("schema: block %q: a group must be a struct, not %s", b.Type, t))
	}
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous && f.Tag.Get("json") == "" {
			b.addGroup(f.Type)
			continue
		}
		if name := jsonName(f); name != "-" && f.IsExported() {
			b.add(newArg(b.Type, t, name, f))
		}
	}
}

// add appends the argument unless another group declared it already.
func (b *Block) add(a Arg) {
	for _, other := range b.Args {
		if other.Name != a.Name {
			continue
		}
		if other.goType != a.goType {
			panic(fmt.Sprintf("schema: block %q: argument %q is declared as %s and as %s", b.Type, a.Name, other.goType, a.goType))
		}
		return
	}
	b.Args = append(b.Args, a)
}

func jsonName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}

func newArg(block string, group reflect.Type, name string, f reflect.StructField) Arg {
	if name == "" {
		panic(fmt.Sprintf("schema: block %q: %s.%s has no json tag", block, group, f.Name))
	}
	a := Arg{Name: name, Doc: f.Tag.Get("doc"), Guest: Reach(f.Tag.Get("guest")), goType: f.Type}
	nested := false
	for _, flag := range flags(f) {
		switch flag {
		case "required":
			a.Required = true
		case "sensitive":
			a.Sensitive = true
		case "late":
			a.Late = true
		case "local":
			a.Local = true
		case "block":
			nested = true
		default:
			panic(fmt.Sprintf("schema: block %q: %s.%s has the unknown flag %q", block, group, f.Name, flag))
		}
	}
	if nested {
		a.Type, a.Block, a.Repeat = cty.DynamicPseudoType, nestedBlock(name, a.Doc, f.Type), isSlice(f.Type)
		return a
	}
	t, ok := ctyType(f.Type)
	if !ok {
		panic(fmt.Sprintf("schema: block %q: %s.%s has the type %s, which no argument can have", block, group, f.Name, f.Type))
	}
	a.Type = t
	return a
}

// flags are the words of a field's arg tag.
func flags(f reflect.StructField) []string {
	return strings.FieldsFunc(f.Tag.Get("arg"), func(r rune) bool { return r == ',' || r == ' ' })
}

func isSlice(t reflect.Type) bool { return t.Kind() == reflect.Slice }

func nestedBlock(name, doc string, t reflect.Type) *Block {
	for t.Kind() == reflect.Slice || t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	b := &Block{Type: name, Doc: doc}
	b.addGroup(t)
	b.sort()
	return b
}

// ctyType is the type in a template of a value that is decoded into t.
func ctyType(t reflect.Type) (cty.Type, bool) {
	switch t {
	case durationType:
		return cty.String, true
	case rawType:
		return cty.DynamicPseudoType, true
	}
	switch t.Kind() {
	case reflect.Pointer:
		return ctyType(t.Elem())
	case reflect.String:
		return cty.String, true
	case reflect.Bool:
		return cty.Bool, true
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Float32, reflect.Float64:
		return cty.Number, true
	case reflect.Slice:
		elem, ok := ctyType(t.Elem())
		return listOf(elem), ok
	case reflect.Map:
		elem, ok := ctyType(t.Elem())
		if t.Key().Kind() != reflect.String || !ok {
			return cty.NilType, false
		}
		return mapOf(elem), ok
	}
	return cty.NilType, false
}

// listOf and mapOf turn collections of anything into the dynamic type: cty lists hold one type only.
func listOf(elem cty.Type) cty.Type {
	if elem == cty.NilType || elem == cty.DynamicPseudoType {
		return cty.DynamicPseudoType
	}
	return cty.List(elem)
}

func mapOf(elem cty.Type) cty.Type {
	if elem == cty.DynamicPseudoType {
		return elem
	}
	return cty.Map(elem)
}
