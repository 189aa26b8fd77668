package template_test

import (
	"testing"
	"time"

	"github.com/boxkiln/boxkiln/template"
)

// Both languages take what a provisioner says about the cache; override does not see it.
func TestCacheArgumentsOfProvisioners(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"a.pkr.hcl": `source "qemu" "a" {
  iso_url = "x"
}
build {
  sources = ["source.qemu.a"]
  provisioner "shell" {
    inline        = ["x"]
    cache         = false
    cache_max_age = "90m"
  }
  provisioner "shell" { inline = ["y"] }
}
`,
		"a.json": `{"builders": [{"type": "qemu", "iso_url": "x"}], "provisioners": [
  {"type": "shell", "inline": ["x"], "cache": "false", "cache_max_age": "90m"}, {"type": "shell", "inline": ["y"]}]}`,
	} {
		tmpl, _ := mustLoad(t, name, folder(t, map[string]string{name: text}))
		first, second := tmpl.Sources()[0].Provisioners[0], tmpl.Sources()[0].Provisioners[1]
		if first.Cache == nil || *first.Cache || first.CacheMaxAge != 90*time.Minute || second.Cache != nil || second.CacheMaxAge != 0 {
			t.Errorf("%s: %+v, %+v", name, first, second)
		}
		if got := args(t, first.Args); len(got) != 1 {
			t.Errorf("%s: %v", name, got)
		}
	}
	_, diags := template.Load("a.json", parts(), folder(t, map[string]string{
		"a.json": `{"builders": [{"type": "qemu", "iso_url": "x"}], "provisioners": [{"type": "shell", "cache": "perhaps", "cache_max_age": "old"}]}`}))
	contains(t, diags, "cache: ", `cache_max_age: "old" is not a duration`)
}
