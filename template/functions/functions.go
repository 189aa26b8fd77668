// Package functions holds the functions that HCL templates may call, with the names and the behaviour of Packer's
// (hcl2template/functions.go).
//
// [New] makes the table for one template. The functions are pure but for these: the clock and the source of UUIDs come
// from the [Config], so that a template can be resolved twice with the same result, and files are read only below the
// folders that [Files] allows. Values that change with every run carry a [Volatile] mark, which HCL carries on into
// everything computed from them.
package functions

import (
	"fmt"
	"maps"
	"time"

	"github.com/hashicorp/hcl/v2/ext/tryfunc"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	ctyyaml "github.com/zclconf/go-cty-yaml"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// Config is what the functions that are not pure need.
type Config struct {
	// Now is the moment of timestamp and its like: one for the whole run, as in Packer.
	Now time.Time
	// NewUUID makes the value of uuidv4.
	NewUUID func() string
	// Files reads files for file, templatefile and their like.
	Files *Files
}

// Volatile marks a value that differs in every run; it names the function that made it.
type Volatile string

// New returns the table of functions.
func New(c Config) map[string]function.Function {
	all := map[string]function.Function{}
	for _, group := range []map[string]function.Function{standardScalars(), standardLists(), collections(), encodings(), hashes(), networks(), paths(c.Files), c.clock(), outside()} {
		maps.Copy(all, group)
	}
	all["templatefile"] = templateFile(c.Files, maps.Clone(all))
	return all
}

// standardScalars are the functions on texts, numbers and values of any kind that go-cty and HCL bring along.
func standardScalars() map[string]function.Function {
	return map[string]function.Function{
		"abs":           stdlib.AbsoluteFunc,
		"can":           tryfunc.CanFunc,
		"ceil":          stdlib.CeilFunc,
		"chomp":         stdlib.ChompFunc,
		"convert":       typeexpr.ConvertFunc,
		"csvdecode":     stdlib.CSVDecodeFunc,
		"floor":         stdlib.FloorFunc,
		"format":        stdlib.FormatFunc,
		"formatdate":    stdlib.FormatDateFunc,
		"indent":        stdlib.IndentFunc,
		"join":          stdlib.JoinFunc,
		"jsondecode":    stdlib.JSONDecodeFunc,
		"jsonencode":    stdlib.JSONEncodeFunc,
		"log":           stdlib.LogFunc,
		"lower":         stdlib.LowerFunc,
		"max":           stdlib.MaxFunc,
		"min":           stdlib.MinFunc,
		"parseint":      stdlib.ParseIntFunc,
		"pow":           stdlib.PowFunc,
		"regex":         stdlib.RegexFunc,
		"regex_replace": stdlib.RegexReplaceFunc,
		"regexall":      stdlib.RegexAllFunc,
		"replace":       stdlib.ReplaceFunc,
		"signum":        stdlib.SignumFunc,
		"split":         stdlib.SplitFunc,
		"strrev":        stdlib.ReverseFunc,
		"substr":        stdlib.SubstrFunc,
		"timeadd":       stdlib.TimeAddFunc,
		"title":         stdlib.TitleFunc,
		"trim":          stdlib.TrimFunc,
		"trimprefix":    stdlib.TrimPrefixFunc,
		"trimspace":     stdlib.TrimSpaceFunc,
		"trimsuffix":    stdlib.TrimSuffixFunc,
		"try":           tryfunc.TryFunc,
		"upper":         stdlib.UpperFunc,
		"yamldecode":    ctyyaml.YAMLDecodeFunc,
		"yamlencode":    ctyyaml.YAMLEncodeFunc,
		"tobool":        stdlib.MakeToFunc(cty.Bool),
		"tonumber":      stdlib.MakeToFunc(cty.Number),
		"tostring":      stdlib.MakeToFunc(cty.String),
	}
}

// standardLists are the functions on lists, sets and maps that go-cty brings along.
func standardLists() map[string]function.Function {
	return map[string]function.Function{
		"chunklist":       stdlib.ChunklistFunc,
		"coalescelist":    stdlib.CoalesceListFunc,
		"compact":         stdlib.CompactFunc,
		"concat":          stdlib.ConcatFunc,
		"contains":        stdlib.ContainsFunc,
		"distinct":        stdlib.DistinctFunc,
		"element":         stdlib.ElementFunc,
		"flatten":         stdlib.FlattenFunc,
		"formatlist":      stdlib.FormatListFunc,
		"keys":            stdlib.KeysFunc,
		"lookup":          stdlib.LookupFunc,
		"merge":           stdlib.MergeFunc,
		"range":           stdlib.RangeFunc,
		"reverse":         stdlib.ReverseListFunc,
		"setintersection": stdlib.SetIntersectionFunc,
		"setproduct":      stdlib.SetProductFunc,
		"setsubtract":     stdlib.SetSubtractFunc,
		"setunion":        stdlib.SetUnionFunc,
		"slice":           stdlib.SliceFunc,
		"sort":            stdlib.SortFunc,
		"values":          stdlib.ValuesFunc,
		"zipmap":          stdlib.ZipmapFunc,
		"tolist":          stdlib.MakeToFunc(cty.List(cty.DynamicPseudoType)),
		"tomap":           stdlib.MakeToFunc(cty.Map(cty.DynamicPseudoType)),
		"toset":           stdlib.MakeToFunc(cty.Set(cty.DynamicPseudoType)),
	}
}

// outside are the functions that ask a system which Boxkiln has no client for. They say so when they are called.
func outside() map[string]function.Function {
	missing := func(name, system string) function.Function {
		return function.New(&function.Spec{
			VarParam: &function.Parameter{Name: "args", Type: cty.DynamicPseudoType, AllowNull: true, AllowUnknown: true, AllowDynamicType: true},
			Type:     function.StaticReturnType(cty.String),
			Impl: func([]cty.Value, cty.Type) (cty.Value, error) {
				return cty.NilVal, fmt.Errorf("%s needs a client for %s, which Boxkiln does not have yet; "+
					"fetch the value with that system's own tool and pass it with -var or PKR_VAR_", name, system)
			},
		})
	}
	return map[string]function.Function{
		"vault":                  missing("vault", "HashiCorp Vault"),
		"consul_key":             missing("consul_key", "Consul"),
		"aws_secretsmanager":     missing("aws_secretsmanager", "AWS Secrets Manager"),
		"aws_secretsmanager_raw": missing("aws_secretsmanager_raw", "AWS Secrets Manager"),
	}
}

// Env is the function env, which only the defaults of variables may call.
func Env(lookup func(name string) string) function.Function {
	return text(func(name string) (string, error) { return lookup(name), nil })
}

// text makes a function of one string.
func text(impl func(string) (string, error)) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "str", Type: cty.String}},
		Type:   function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			s, err := impl(args[0].AsString())
			return cty.StringVal(s), err
		},
	})
}

// text2 makes a function of two strings.
func text2(first, second string, impl func(string, string) (cty.Value, error), result cty.Type) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: first, Type: cty.String}, {Name: second, Type: cty.String}},
		Type:   function.StaticReturnType(result),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			return impl(args[0].AsString(), args[1].AsString())
		},
	})
}
