package functions

import (
	"encoding/base64"
	"errors"
	"fmt"
	"path/filepath"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

func paths(files *Files) map[string]function.Function {
	return map[string]function.Function{
		"abspath": text(func(p string) (string, error) {
			if filepath.IsAbs(p) {
				return filepath.Clean(p), nil
			}
			return filepath.Join(files.Bases[len(files.Bases)-1], p), nil // the last base is the current directory
		}),
		"basename":   text(func(p string) (string, error) { return filepath.Base(p), nil }),
		"dirname":    text(func(p string) (string, error) { return filepath.Dir(p), nil }),
		"pathexpand": text(files.Expand),
		"file":       text(func(p string) (string, error) { return readText(files, "file", p) }),
		"filebase64": text(func(p string) (string, error) {
			b, err := files.Read(p)
			return base64.StdEncoding.EncodeToString(b), err
		}),
		"fileexists": function.New(&function.Spec{
			Params: []function.Parameter{{Name: "path", Type: cty.String}},
			Type:   function.StaticReturnType(cty.Bool),
			Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
				found, err := files.Exists(args[0].AsString())
				return cty.BoolVal(found), err
			},
		}),
		"fileset": text2("path", "pattern", func(path, pattern string) (cty.Value, error) {
			names, err := files.Set(path, pattern)
			if err != nil || len(names) == 0 {
				return cty.SetValEmpty(cty.String), err
			}
			values := make([]cty.Value, len(names))
			for i, n := range names {
				values[i] = cty.StringVal(n)
			}
			return cty.SetVal(values), nil
		}, cty.Set(cty.String)),
	}
}

func readText(files *Files, function, path string) (string, error) {
	b, err := files.Read(path)
	if err != nil {
		return "", err
	}
	if !utf8.Valid(b) {
		return "", fmt.Errorf("%s: %q is not UTF-8 text; filebase64 reads any file", function, path)
	}
	return string(b), nil
}

// templateFile renders a file as an HCL template with the given variables. The file may call every function but
// templatefile itself.
func templateFile(files *Files, inner map[string]function.Function) function.Function {
	inner["templatefile"] = function.New(&function.Spec{
		VarParam: &function.Parameter{Name: "args", Type: cty.DynamicPseudoType},
		Type: func([]cty.Value) (cty.Type, error) {
			return cty.NilType, errors.New("templatefile cannot be called inside a file that it renders")
		},
	})
	render := func(args []cty.Value) (cty.Value, error) {
		vars := args[1]
		if t := vars.Type(); !t.IsObjectType() && !t.IsMapType() {
			return cty.NilVal, fmt.Errorf("templatefile: the variables must be an object, not %s", t.FriendlyName())
		}
		path := args[0].AsString()
		source, err := readText(files, "templatefile", path)
		if err != nil {
			return cty.NilVal, err
		}
		expr, diags := hclsyntax.ParseTemplate([]byte(source), path, hcl.InitialPos)
		if diags.HasErrors() {
			return cty.NilVal, diags
		}
		named := vars.AsValueMap()
		if named == nil { // HCL would say that variables are not allowed at all
			named = map[string]cty.Value{}
		}
		v, diags := expr.Value(&hcl.EvalContext{Variables: named, Functions: inner})
		if diags.HasErrors() {
			return cty.NilVal, diags
		}
		return v, nil
	}
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "path", Type: cty.String}, {Name: "vars", Type: cty.DynamicPseudoType}},
		Type: func(args []cty.Value) (cty.Type, error) {
			if !args[0].IsKnown() || !args[1].IsKnown() {
				return cty.DynamicPseudoType, nil
			}
			v, err := render(args)
			if err != nil {
				return cty.NilType, err
			}
			return v.Type(), nil
		},
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) { return render(args) },
	})
}
