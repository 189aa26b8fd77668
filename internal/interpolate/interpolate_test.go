package interpolate_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/internal/interpolate"
)

// plan is the context of a plan.
func plan() *interpolate.Context {
	vars := map[string]string{"name": "debian", "braces": "{{ .HTTPIP }}", "open": "{", "empty": ""}
	return &interpolate.Context{
		User: func(name string) (string, error) {
			v, ok := vars[name]
			if !ok {
				return "", fmt.Errorf("no variable %q", name)
			}
			return v, nil
		},
		Now:       time.Date(2026, 3, 7, 8, 9, 10, 0, time.FixedZone("", 3600)),
		NewUUID:   func() string { return "uuid-1" },
		BuildName: "disk", BuildType: "qemu", Dir: "/src", TemplateDir: "/src/t", PackerVersion: "1.11.0",
	}
}

func TestRenderFunctions(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"plain { text }":                             "plain { text }",
		"{{user `name`}}-{{ user \"name\" }}":        "debian-debian",
		"{{timestamp}}":                              "1772867350",
		"{{isotime}}":                                "2026-03-07T07:09:10Z",
		"{{isotime \"2006-01-02\"}}":                 "2026-03-07",
		"{{ strftime \"%Y%m%d %H:%M:%S %j %% %Q\"}}": "20260307 07:09:10 066 % %Q",
		"{{build_name}}/{{build_type}}":              "disk/qemu",
		"{{pwd}} {{template_dir}}":                   "/src /src/t",
		"{{uuid}}":                                   "uuid-1",
		"{{packer_version}}":                         "1.11.0",
		"{{ user `name` | upper }}{{lower \"AB\"}}":  "DEBIANab",
		"{{replace \"a\" \"b\" 1 \"aa\"}}":           "ba",
		"{{replace_all \"a\" \"b\" \"aa\"}}":         "bb",
		"{{split \"a-b-c\" \"-\" 1}}":                "b",
		"{{isotime | clean_resource_name}}":          "2026-03-07T07-09-10Z",
		"{{ `{{` }}.Names{{ `}}` }}":                 "{{.Names}}",
		"{{if user `empty`}}x{{else}}y{{end}}":       "y",
		"{{ $a := user `name` }}{{ $a }}{{ $a }}":    "debiandebian",
		"a {{- /* a comment */ -}} b":                "ab",
	} {
		got, err := interpolate.Render(text, plan(), nil)
		if err != nil || got != want {
			t.Errorf("Render(%q) = %q, %v; want %q", text, got, err, want)
		}
	}
}

// Whatever Partial leaves must give, rendered later without the plan's context, what rendering at once would have given.
func TestPartial(t *testing.T) {
	t.Parallel()
	data := interpolate.Data{"HTTPIP": "10.0.2.2", "Name": "vm", "Vars": "A=1", "Path": "/tmp/x", "Sudo": ""}
	tests := []struct{ text, want, final string }{
		{"no actions", "no actions", "no actions"},
		{"{{user `name`}}", "debian", "debian"},
		{"http://{{ .HTTPIP }}/{{user `name`}}", "http://{{ .HTTPIP }}/debian", "http://10.0.2.2/debian"},
		{"{{.Vars}} sudo -E sh '{{ .Path }}'", "{{.Vars}} sudo -E sh '{{ .Path }}'", "A=1 sudo -E sh '/tmp/x'"},
		{"id={{ build `ID` }}", "id={{ build `ID` }}", "id=i-1"},
		{"{{ user `braces` }}", `{{"{{"}} .HTTPIP }}`, "{{ .HTTPIP }}"},
		{"{{ user `open` }}{{ user `open` }}{{.Name}}", `{{"{{"}}{{.Name}}`, "{{vm"},
		{"{{ user `open` }}{{.Name}}", `{{"{"}}{{.Name}}`, "{vm"},
		{"{{ `{{` }}.Names{{ `}}` }} {{.Name}}", `{{"{{"}}.Names}} {{.Name}}`, "{{.Names}} vm"},
		{"a {{- .Name -}} b", "a{{.Name}}b", "avmb"},
		{"{{ .Name | replace_all \"v\" (user `name`) }}", `{{.Name | replace_all "v" ("debian")}}`, "debianm"},
		{"{{ user `name` | printf \"%s%s\" .Name }}", `{{"debian" | printf "%s%s" .Name}}`, "vmdebian"},
		{"{{ printf \"%s%s\" .Name build_name }}", `{{printf "%s%s" .Name "disk"}}`, "vmdisk"},
		{"{{ if .Sudo }}sudo {{ end }}{{ user `name` }}", "{{if .Sudo}}sudo {{end}}debian", "debian"},
		{"{{ if .Sudo }}sudo{{ else }}{{ user `name` }}{{ end }}", `{{if .Sudo}}sudo{{else}}{{"debian"}}{{end}}`, "debian"},
		{"{{ with .Name }}{{ . }}{{ end }}", "{{with .Name}}{{.}}{{end}}", "vm"},
		{"{{ $x := .Name }}{{ $x }}{{ user `name` }}", `{{$x := .Name}}{{$x}}{{"debian"}}`, "vmdebian"},
		{"{{ $.Name }}", "{{ $.Name }}", "vm"},
		{"{{ printf \"%s}}\" .Name }}", "{{ printf \"%s}}\" .Name }}", "vm}}"},
		{"{{ .Name }}\n{{timestamp}}", "{{ .Name }}\n1772867350", "vm\n1772867350"},
	}
	for _, test := range tests {
		r, err := interpolate.Partial(test.text, plan())
		if err != nil {
			t.Errorf("Partial(%q): %v", test.text, err)
			continue
		}
		late := strings.Contains(test.text, ".Name") || strings.Contains(test.text, "{{.") || strings.Contains(test.text, " .") || strings.Contains(test.text, "build `")
		if r.Text != test.want || r.Late != late {
			t.Errorf("Partial(%q) = %q, want %q", test.text, r.Text, test.want)
		}
		later := &interpolate.Context{Build: map[string]string{"ID": "i-1"}}
		final, err := interpolate.Render(r.Text, later, data)
		if err != nil || final != test.final {
			t.Errorf("Render(%q) = %q, %v; want %q", r.Text, final, err, test.final)
		}
	}
}

func TestVolatileIsTold(t *testing.T) {
	t.Parallel()
	r, err := interpolate.Partial("{{timestamp}} {{uuid}} {{timestamp}} {{ .Name }} {{isotime | lower}}", plan())
	if diff := cmp.Diff([]string{"timestamp", "uuid", "isotime"}, r.Volatile); diff != "" || err != nil || !r.Late {
		t.Error(diff, err, r.Late)
	}
	if v := interpolate.Volatile("{{timestamp}}"); !slices.Equal(v, []string{"timestamp"}) {
		t.Errorf("Volatile: %v", v)
	}
	if v := interpolate.Volatile("{{timestamp"); v != nil {
		t.Errorf("Volatile of a broken text: %v", v)
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	tests := []struct {
		text    string
		offset  int
		message string
	}{
		{"a {{ usr `name` }}", 5, `unknown function "usr"; did you mean "user"?`},
		{"a {{ .HTTPPrt }}", 5, `unknown value {{ .HTTPPrt }}; did you mean "HTTPPort"?`},
		{"a {{ .HTTPIP", 2, "cannot read the {{ }} in this text: unclosed action"},
		{"a\nb {{ if }}", 4, "cannot read the {{ }} in this text: missing value for if"},
		{"{{ user `other` }}", 3, `no variable "other"`},
		{"{{ env `HOME` }}", 3, "the environment can be read only in the defaults of variables"},
		{"{{ sed `a` `b` }}", 3, "use replace or replace_all"},
		{"{{ vault `a` `b` }}", 3, "vault needs a client for HashiCorp Vault"},
		{"{{ consul_key `a` }}", 3, "consul_key needs a client for Consul"},
		{"{{ aws_secretsmanager `a` }}", 3, "aws_secretsmanager needs a client"},
		{"{{ aws_secretsmanager_raw `a` }}", 3, "aws_secretsmanager_raw needs a client"},
		{"{{ split `a` `,` 3 }}", 3, "split: \"a\" has 1 parts"},
		{"{{ isotime `a` `b` }}", 3, "isotime takes one format"},
		{"{{ user .Name }}", 3, "user needs a value that is known before the build starts"},
		{"{{ .Name | user }}", 11, "user needs a value that is known before the build starts"},
		{"{{ range $i, $e := .Name }}x{{ end }}", 9, "range and template cannot be used"},
		{"{{ define `a` }}{{ end }}", 0, "define and block cannot be used"},
		{"{{ user }}", 3, "wrong number of args for user"},
		{"{{ upper 1 }}", 3, "cannot evaluate"},
	}
	for _, test := range tests {
		_, err := interpolate.Partial(test.text, plan())
		var e *interpolate.Error
		if !errors.As(err, &e) || !strings.Contains(e.Error(), test.message) || e.Offset != test.offset {
			t.Errorf("Partial(%q): %#v, want %q at %d", test.text, err, test.message, test.offset)
		}
	}
}

func TestErrorsOfTheRunningBuild(t *testing.T) {
	t.Parallel()
	running := &interpolate.Context{Build: map[string]string{"Host": "h"}}
	for text, want := range map[string]string{
		"{{ .Pth }}":          `{{ .Pth }} has no value here; did you mean "Path"?`,
		"{{ build `Hosst` }}": `build value "Hosst" is not known here; did you mean "Host"?`,
		"{{ build_name }}":    "build_name has no value here",
		"{{ user `x` }}":      "there are no user variables here",
	} {
		_, err := interpolate.Render(text, running, interpolate.Data{"Path": "/tmp/x"})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Render(%q): %v, want %q", text, err, want)
		}
	}
	for _, text := range []string{"{{ .Name }}", "{{ build `ID` }}"} {
		_, err := interpolate.Render(text, plan(), nil)
		if err == nil || !strings.Contains(err.Error(), "this argument is read before the build starts") {
			t.Errorf("Render(%q) before the build: %v", text, err)
		}
	}
}

func TestTooLong(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("{{ printf `%1000000d` 1 }}", 20)
	if _, err := interpolate.Render(text, plan(), nil); err == nil || !strings.Contains(err.Error(), "longer than 16 MiB") {
		t.Error(err)
	}
}

func TestStrftime(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 4, 5, 6, 7_000_000, time.UTC)
	for format, want := range map[string]string{
		"%a %A %b %B %d %e":  "Sun Sunday Mar March 01  1",
		"%C %y %Y %m %F %D":  "20 26 2026 03 2026-03-01 03/01/26",
		"%H %I %M %S %p %L":  "04 04 05 06 AM 007",
		"%f %j %u %w %V":     "007000 060 7 0 09",
		"%s%n%t%z%Z %T %R %": "1772337906\n\t+0000UTC 04:05:06 04:05 %",
	} {
		if got := interpolate.Strftime(format, at); got != want {
			t.Errorf("%q: %q, want %q", format, got, want)
		}
	}
}

func FuzzPartialThenRender(f *testing.F) {
	for _, s := range []string{"{{ .Name }}", "{{ user `braces` }}{{.Name}}", "{ {{- user `open` -}} {{ .Name }}", "{{ if .Name }}{{ user `name` }}{{ else }}x{{ end }}",
		"{{ printf \"%s\" (user `name` | upper) | replace_all .Name `{{` }}", "{{/* c */}}", "{{`}}`}}", "{{'a'}}", "{{$x := .Name}}{{$x}}"} {
		f.Add(s)
	}
	data := interpolate.Data{"Name": "vm"}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := interpolate.Partial(text, plan())
		if err != nil {
			return
		}
		now := plan()
		now.Build = map[string]string{"ID": "i"}
		at, errAt := interpolate.Render(text, now, data)
		later := *now
		later.User = nil
		then, errThen := interpolate.Render(r.Text, &later, data)
		if errAt == nil && (errThen != nil || at != then) {
			t.Fatalf("%q at once is %q; by way of %q it is %q, %v", text, at, r.Text, then, errThen)
		}
	})
}
