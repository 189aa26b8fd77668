package schema

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
)

// Further reaches of fields. ReachesArtifact is a value that changes the files made of the guest, but not the guest.
// The last two are for structs that are not arguments themselves: SaysInside leaves it to the struct's own fields, and
// CountsApart says that whoever makes the fingerprint takes care of the field by itself.
const (
	ReachesArtifact Reach = "artifact"
	SaysInside      Reach = "inside"
	CountsApart     Reach = "apart"
)

// Value is what an argument was given, as a tree of JSON: nil, bool, [json.Number], string, []any and map[string]any.
type Value struct {
	Name  string
	Tree  any
	Late  bool // see Arg
	Local bool // see Arg
}

// Reaching lists the fields of group, a struct or a pointer to one, that reach as far as r says, in the order of their
// declaration. Fields that are empty are left out, so that a new argument changes nothing where it is not used.
func Reaching(group any, r Reach) ([]Value, error) {
	return reaching(reflect.Indirect(reflect.ValueOf(group)), r)
}

func reaching(v reflect.Value, r Reach) ([]Value, error) {
	var all []Value
	for i := range v.NumField() {
		f := v.Type().Field(i)
		tag := Reach(f.Tag.Get("guest"))
		switch {
		case f.Anonymous && f.Tag.Get("json") == "", tag == SaysInside:
			inner, err := reaching(v.Field(i), r)
			if err != nil {
				return nil, err
			}
			all = append(all, inner...)
		case tag == r && !empty(v.Field(i)), (tag == ReachesGuest || tag == ReachesArtifact) && f.Type.Kind() == reflect.Struct && declares(f.Type):
			t, err := tree(v.Field(i), r)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", jsonName(f), err)
			}
			if object, ok := t.(map[string]any); ok && len(object) == 0 {
				continue
			}
			all = append(all, Value{Name: jsonName(f), Tree: t, Late: hasFlag(f, "late"), Local: hasFlag(f, "local")})
		}
	}
	return all, nil
}

func empty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Slice, reflect.Map:
		return v.Len() == 0
	}
	return v.IsZero()
}

func hasFlag(f reflect.StructField, flag string) bool { return slices.Contains(flags(f), flag) }

// tree is a value as JSON; of the structs in it only the fields that reach as far as r.
func tree(v reflect.Value, r Reach) (any, error) {
	switch {
	case v.Kind() == reflect.Pointer && v.IsNil():
		return nil, nil
	case v.Kind() == reflect.Pointer:
		return tree(v.Elem(), r)
	case v.Kind() == reflect.Slice && declares(v.Type().Elem()):
		list := make([]any, v.Len())
		for i := range list {
			var err error
			if list[i], err = tree(v.Index(i), r); err != nil {
				return nil, err
			}
		}
		return list, nil
	case declares(v.Type()):
		fields, err := reaching(v, r)
		object := make(map[string]any, len(fields))
		for _, f := range fields {
			object[f.Name] = f.Tree
		}
		return object, err
	}
	data, err := json.Marshal(v.Interface())
	if err != nil {
		return nil, err
	}
	return Decode(data)
}

// declares tells whether t is a struct whose fields say how far they reach.
func declares(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return false
	}
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Tag.Get("guest") != "" || f.Anonymous && declares(f.Type) {
			return true
		}
	}
	return false
}

// Undeclared lists the fields of a struct type that do not say how far they reach, and those of the structs that it
// leaves it to. Names are paths of Go's names.
func Undeclared(t reflect.Type) []string {
	var missing []string
	for i := range t.NumField() {
		f := t.Field(i)
		switch tag := Reach(f.Tag.Get("guest")); tag {
		case StaysOutside:
			continue
		case ReachesGuest, ReachesArtifact, SaysInside, CountsApart:
		default:
			if !f.Anonymous {
				missing = append(missing, f.Name)
				continue
			}
		}
		inner := f.Type
		for inner.Kind() == reflect.Slice || inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		if inner.Kind() != reflect.Struct {
			continue
		}
		for _, name := range Undeclared(inner) {
			missing = append(missing, f.Name+"."+name)
		}
	}
	return missing
}

// Decode reads JSON into a tree, with numbers as they are written.
func Decode(data []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if d.More() {
		return nil, fmt.Errorf("%s is more than one value", shorten(string(data)))
	}
	return v, nil
}

// Reaching lists the arguments in a JSON object that reach as far as one of the reaches, sorted by name. Those that
// nobody has declared count as reaching the guest, and with no reaches all are listed; null is nothing.
func (b *Block) Reaching(args json.RawMessage, reaches ...Reach) ([]Value, error) {
	if len(args) == 0 {
		return nil, nil
	}
	t, err := Decode(args)
	if err != nil {
		return nil, err
	}
	object, ok := t.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%s is no JSON object", shorten(string(args)))
	}
	var all []Value
	for _, name := range slices.Sorted(maps.Keys(object)) {
		v := Value{Name: name, Tree: object[name]}
		reach := ReachesGuest
		if a := b.arg(name); a != nil {
			v.Late, v.Local = a.Late, a.Local
			if a.Guest != "" {
				reach = a.Guest
			}
			if a.Block != nil && len(reaches) > 0 {
				v.Tree = a.Block.only(v.Tree, reaches)
			}
		}
		if v.Tree != nil && (len(reaches) == 0 || slices.Contains(reaches, reach)) {
			all = append(all, v)
		}
	}
	return all, nil
}

// arg is Arg of a block that may not be described at all.
func (b *Block) arg(name string) *Arg {
	if b == nil {
		return nil
	}
	return b.Arg(name)
}

// only leaves of a nested block, or a list of them, the arguments of the reaches.
func (b *Block) only(t any, reaches []Reach) any {
	switch t := t.(type) {
	case []any:
		list := make([]any, len(t))
		for i, e := range t {
			list[i] = b.only(e, reaches)
		}
		return list
	case map[string]any:
		object := make(map[string]any, len(t))
		for name, e := range t {
			a := b.Arg(name)
			switch {
			case a == nil || a.Guest == "":
				object[name] = e
			case !slices.Contains(reaches, a.Guest):
			case a.Block != nil:
				object[name] = a.Block.only(e, reaches)
			default:
				object[name] = e
			}
		}
		return object
	}
	return t
}
