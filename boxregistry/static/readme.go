package static

import (
	"bytes"
	_ "embed"
	"fmt"
	"text/template"
)

//go:embed readme.md.tmpl
var readmeText string

var readmeTemplate = template.Must(template.New("README.md").Parse(readmeText))

// readme says how to serve the tree.
func readme(o Options, base string) []byte {
	var out bytes.Buffer
	if err := readmeTemplate.Execute(&out, struct{ Dir, Base string }{o.Dir, base}); err != nil {
		return fmt.Appendf(nil, "%v\n", err) // the template takes two strings
	}
	return out.Bytes()
}
