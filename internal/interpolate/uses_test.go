package interpolate_test

import (
	"strings"
	"testing"

	"github.com/boxkiln/boxkiln/internal/interpolate"
)

func TestRuntime(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"plain":                               "",
		"{{ .HTTPIP }}:{{.HTTPPort}}":         "HTTPIP HTTPPort",
		"{{ .Name }} {{ .Name | upper }}":     "Name",
		"{{ build `ID` }}":                    "build.ID",
		`{{ build "PackerRunUUID" | lower }}`: "build.PackerRunUUID",
		"{{ if .Debug }}{{ build `User` }}{{ else }}{{ $.Path }}{{ end }}": "Debug Path build.User",
		"{{ build .Name }}":                 "Name build",
		"{{ `ID` | build }}":                "build",
		"{{ with build `Host` }}x{{ end }}": "build.Host",
		"{{ upper (build `Port`) }}":        "build.Port",
		"{{ broken":                         "",
	} {
		if got := strings.Join(interpolate.Runtime(text), " "); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}
