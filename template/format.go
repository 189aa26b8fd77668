package template

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
)

// Format writes the HCL of a template in the house style. It refuses text that cannot be parsed: nobody knows what
// moving its white space would do. name is how errors call the text.
func Format(name string, src []byte) ([]byte, error) {
	if _, diags := hclsyntax.ParseConfig(src, name, hcl.InitialPos); diags.HasErrors() {
		r := newReport()
		r.files[name] = src
		r.hcl(diags)
		return nil, r.sorted().Err()
	}
	return hclwrite.Format(src), nil
}
