package functions

import (
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"golang.org/x/crypto/bcrypt"

	"github.com/boxkiln/boxkiln/internal/interpolate"
)

// clock are the functions whose values change with every run, and those that resemble them.
func (c Config) clock() map[string]function.Function {
	return map[string]function.Function{
		"timestamp": c.volatile("timestamp", nil, func([]cty.Value) (string, error) { return c.Now.UTC().Format(time.RFC3339), nil }),
		"uuidv4": c.volatile("uuidv4", nil, func([]cty.Value) (string, error) {
			if c.NewUUID == nil {
				return uuid.NewString(), nil
			}
			return c.NewUUID(), nil
		}),
		"uuidv5": text2("namespace", "name", uuidV5, cty.String),
		"legacy_isotime": c.volatile("legacy_isotime", &function.Parameter{Name: "format", Type: cty.String}, func(args []cty.Value) (string, error) {
			switch len(args) {
			case 0:
				return c.Now.UTC().Format(time.RFC3339), nil
			case 1:
				return c.Now.UTC().Format(args[0].AsString()), nil
			}
			return "", errors.New("legacy_isotime takes one format at most")
		}),
		"legacy_strftime": c.volatile("legacy_strftime", &function.Parameter{Name: "format", Type: cty.String}, func(args []cty.Value) (string, error) {
			if len(args) != 1 {
				return "", errors.New("legacy_strftime takes one format")
			}
			return interpolate.Strftime(args[0].AsString(), c.Now.UTC()), nil
		}),
		"bcrypt": c.volatile("bcrypt", &function.Parameter{Name: "args", Type: cty.DynamicPseudoType}, bcryptHash),
	}
}

// volatile makes a function whose string carries the mark of its name.
func (c Config) volatile(name string, params *function.Parameter, impl func([]cty.Value) (string, error)) function.Function {
	return function.New(&function.Spec{
		VarParam: params,
		Type:     function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			s, err := impl(args)
			return cty.StringVal(s).Mark(Volatile(name)), err
		},
	})
}

func uuidV5(namespace, name string) (cty.Value, error) {
	known := map[string]uuid.UUID{"dns": uuid.NameSpaceDNS, "url": uuid.NameSpaceURL, "oid": uuid.NameSpaceOID, "x500": uuid.NameSpaceX500}
	space, ok := known[namespace]
	if !ok {
		var err error
		if space, err = uuid.Parse(namespace); err != nil {
			return cty.NilVal, fmt.Errorf("uuidv5: %q is neither dns, url, oid, x500 nor a UUID", namespace)
		}
	}
	return cty.StringVal(uuid.NewSHA1(space, []byte(name)).String()), nil
}

// bcryptHash takes a text and the cost, 10 unless given.
func bcryptHash(args []cty.Value) (string, error) {
	cost := 10
	if len(args) == 0 || len(args) > 2 || args[0].Type() != cty.String {
		return "", errors.New("bcrypt takes a string and a cost")
	}
	if len(args) == 2 {
		var err error
		if cost, err = whole("bcrypt", args[1]); err != nil {
			return "", err
		}
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(args[0].AsString()), cost)
	return string(hash), err
}

// whole reads a small whole number.
func whole(function string, v cty.Value) (int, error) {
	if v.Type() != cty.Number {
		return 0, fmt.Errorf("%s: a number is needed, not %s", function, v.Type().FriendlyName())
	}
	n, accuracy := v.AsBigFloat().Int64()
	if accuracy != 0 || n != int64(int32(n)) {
		return 0, fmt.Errorf("%s: a whole number is needed, not %s", function, v.AsBigFloat().Text('g', -1))
	}
	return int(n), nil
}
