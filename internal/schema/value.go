package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/zclconf/go-cty/cty"
)

// check decodes the JSON as the owner of the block will, so that a value that would fail there fails here.
func (a *Arg) check(b []byte) error {
	err := json.Unmarshal(b, reflect.New(a.goType).Interface())
	var wrong *json.UnmarshalTypeError
	if !errors.As(err, &wrong) {
		return err
	}
	switch wrong.Type.Kind() {
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return fmt.Errorf("a whole number of at least 0 is needed, not %s", shorten(string(b)))
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return fmt.Errorf("a whole number is needed, not %s", shorten(string(b)))
	}
	return fmt.Errorf("%s is needed, not %s", wrong.Type, shorten(string(b)))
}

// checkNumbers refuses numbers that would take thousands of digits to write out.
func checkNumbers(v cty.Value) error {
	const longest = 1024 // bits
	return cty.Walk(v, func(_ cty.Path, e cty.Value) (bool, error) {
		if e.Type() != cty.Number || e.IsNull() {
			return true, nil
		}
		f := e.AsBigFloat()
		if exponent := f.MantExp(nil); f.IsInf() || exponent > longest || exponent < -longest {
			return false, fmt.Errorf("the number %s is too large or too small", f.Text('g', 6))
		}
		return true, nil
	})
}

// need names a type in the words of a template's author.
func need(t cty.Type) string {
	return typeName(t) + " is needed"
}

func typeName(t cty.Type) string {
	switch {
	case t == cty.String:
		return "a string"
	case t == cty.Number:
		return "a number"
	case t == cty.Bool:
		return "true or false"
	case t.IsListType() && t.ElementType() == cty.String:
		return "a list of strings"
	case t.IsListType() && t.ElementType() == cty.Number:
		return "a list of numbers"
	case t.IsListType():
		return "a list of lists"
	case t.IsMapType() && t.ElementType() == cty.String:
		return "a map of strings"
	}
	return "a map"
}

// describe shows a value shortly.
func describe(v cty.Value) string {
	switch {
	case v.IsNull():
		return "null"
	case v.Type() == cty.String:
		return strconv.Quote(shorten(v.AsString()))
	case v.Type() == cty.Number:
		return v.AsBigFloat().Text('f', -1)
	case v.Type() == cty.Bool:
		return strconv.FormatBool(v.True())
	case isObject(v):
		return "an object"
	}
	return "a list"
}

// shorten keeps a value from flooding a message.
func shorten(s string) string {
	const longest = 60
	if len(s) <= longest {
		return s
	}
	cut := longest
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "..."
}

func isObject(v cty.Value) bool {
	return !v.IsNull() && (v.Type().IsObjectType() || v.Type().IsMapType())
}

func isSequence(v cty.Value) bool {
	t := v.Type()
	return !v.IsNull() && (t.IsTupleType() || t.IsListType() || t.IsSetType())
}

func sortedKeys(m map[string]cty.Value) []string { return slices.Sorted(maps.Keys(m)) }

// encode writes JSON without the escapes for web pages; maps come out sorted.
func encode(v any) json.RawMessage {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic("schema: " + err.Error()) // only values that this package made come here, and they can be encoded
	}
	return bytes.TrimRight(b.Bytes(), "\n")
}
