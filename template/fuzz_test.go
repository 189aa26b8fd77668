package template_test

import (
	"testing"

	"github.com/boxkiln/boxkiln/template"
)

// fuzzLoad checks that a template of any content gives diagnostics or a template whose arguments are JSON, and that it
// can be shown.
func fuzzLoad(t *testing.T, name string, source []byte) {
	tmpl, diags := template.Load(name, parts(), folder(t, map[string]string{name: string(source)}))
	if tmpl == nil {
		t.Fatal("no template")
	}
	_ = diags.String()
	if diags.HasErrors() {
		return
	}
	for _, s := range tmpl.Sources() {
		if s.Missing == "" {
			args(t, s.Args)
		}
	}
}

func FuzzLoadHCL(f *testing.F) {
	for _, s := range []string{debian, minimal, "locals {\n a = local.a\n}\n", "variable \"x\" {\n type = any\n default = {}\n}\n", "build {\n dynamic \"provisioner\" {\n for_each = [1]\n labels = [\"shell\"]\n content {}\n }\n}\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, source []byte) { fuzzLoad(t, "t.pkr.hcl", source) })
}

func FuzzLoadHCLInJSON(f *testing.F) {
	f.Add([]byte(`{"source": {"qemu": {"a": {"iso_url": "x", "network_interface": {"type": "y"}}}}, "build": {"sources": ["qemu.a"]}}`))
	f.Fuzz(func(t *testing.T, source []byte) { fuzzLoad(t, "t.pkr.json", source) })
}

func FuzzLoadJSON(f *testing.F) {
	f.Add([]byte(robox))
	f.Add([]byte(`{"variables": {"a": null}, "builders": [{"type": "qemu", "iso_url": "{{user ` + "`a`" + `}}", "network_interface": [{}]}], "post-processors": [["vagrant"], {"type": "manifest"}]}`))
	f.Fuzz(func(t *testing.T, source []byte) { fuzzLoad(t, "t.json", source) })
}
