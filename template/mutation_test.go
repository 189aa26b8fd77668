package template_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/boxkiln/boxkiln/template"
)

// tokens are the pieces of a template that mutation replaces.
var tokens = regexp.MustCompile("\"[^\"\n]*\"|[A-Za-z_][A-Za-z_.-]*|[0-9]+|[{}\\[\\]=:,]")

// TestMutations replaces each piece of real templates by something that does not belong there, and cuts the templates off
// everywhere. Nothing of that may make Load panic. Random fuzzing seldom gets past the parsers; this does.
func TestMutations(t *testing.T) {
	t.Parallel()
	stride := 1
	if os.Getenv("MUTATIONS") == "" {
		stride = 23
	}
	for name, seed := range map[string]string{"t.pkr.hcl": debian, "t.json": robox} {
		o := folder(t, map[string]string{"x.txt": "content"})
		o.Environ = []string{"PASSWORD=hunter2"}
		o.Vars = []string{"token=x"}
		n := 0
		try := func(source string) {
			if n++; n%stride != 0 {
				return
			}
			if err := os.WriteFile(filepath.Join(o.Dir, name), []byte(source), 0o644); err != nil {
				t.Fatal(err)
			}
			defer func() {
				if e := recover(); e != nil {
					t.Errorf("panic: %v\n%s", e, source)
				}
			}()
			_, diags := template.Load(name, parts(), o)
			_ = diags.String()
		}
		for _, at := range tokens.FindAllStringIndex(seed, -1) {
			for _, other := range []string{"null", "true", "1e5000", "\"\"", "\"{{ .Name }}\"", "\"{{\"", "[]", "[null]", "{}", "{ a = null }", "var.nics", "data.null.dir", "timestamp()", "build", ""} {
				try(seed[:at[0]] + other + seed[at[1]:])
			}
		}
		for i := range seed {
			try(seed[:i])
		}
	}
}
