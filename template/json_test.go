package template_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/template"
)

const robox = `{
  "_comment": "in the manner of robox",
  "min_packer_version": "1.7.0",
  "description": "Generic boxes.",
  "variables": {
    "box_basename": "generic-{{user ` + "`os`" + `}}",
    "os": "debian12",
    "home": "{{env ` + "`HOME`" + `}}",
    "token": null,
    "cpus": 2,
    "stamp": "{{isotime \"20060102\"}}"
  },
  "sensitive-variables": ["token"],
  "builders": [
    {
      "type": "qemu",
      "name": "generic-debian12-libvirt-x64",
      "_note": "not an argument",
      "iso_url": "file://{{template_dir}}/debian.iso",
      "iso_urls": "http://a/x.iso,http://b/x.iso",
      "iso_checksum": "sha256:{{user ` + "`os`" + `}}",
      "boot_command": ["<esc>auto url=http://{{ .HTTPIP }}:{{.HTTPPort}}/{{user ` + "`os`" + `}}.cfg <enter>"],
      "boot_wait": "10s",
      "headless": "true",
      "cpus": "{{ user ` + "`cpus`" + ` }}",
      "memory": 2048,
      "vm_name": "{{ build_name }}-{{timestamp}}",
      "qemuargs": [["-m", 2048], ["-cpu", "host"]],
      "ssh_password": "{{user ` + "`token`" + `}}",
      "network_interface": {"type": "user"},
      "output_directory": "output/{{user ` + "`box_basename`" + `}}-{{user ` + "`stamp`" + `}}"
    },
    { "type": "virtualbox", "name": "vb", "iso_url": "x" },
    { "type": "amazon-ebs", "ami_name": "packer {{timestamp | clean_resource_name}}", "tags": {"Built": 1}, "access_key": "AKIA{{user ` + "`os`" + `}}" }
  ],
  "provisioners": [
    {
      "type": "shell",
      "scripts": ["scripts/a.sh", "scripts/{{ user ` + "`os`" + `}}.sh"],
      "execute_command": "{{ .Vars }} sudo -E bash '{{ .Path }}'",
      "pause_before": "5s",
      "timeout": "1h",
      "max_retries": "2",
      "only": ["generic-debian12-libvirt-x64", "vb"],
      "override": { "vb": { "execute_command": "sh {{ .Path }}", "scripts": "vb.sh" } }
    },
    { "type": "chef-solo", "except": ["generic-debian12-libvirt-x64", "vb"] }
  ],
  "error-cleanup-provisioner": { "type": "shell", "inline": "dmesg" },
  "post-processors": [
    [
      { "type": "vagrant", "output": "output/{{user ` + "`os`" + `}}-{{.Provider}}.box", "compression_level": 9, "keep_input_artifact": "true", "except": ["amazon-ebs"] },
      { "type": "checksum", "name": "sums", "checksum_types": ["sha256"] }
    ],
    "manifest"
  ]
}`

func roboxOptions(t *testing.T) template.Options {
	o := folder(t, map[string]string{"r/generic.json": robox, "vars.json": `{"token": "s3cret", "os": "debian11"}`})
	o.VarFiles, o.Vars, o.Environ = []string{"vars.json"}, []string{"os=debian13"}, []string{"HOME=/home/me"}
	return o
}

func TestJSON(t *testing.T) {
	t.Parallel()
	o := roboxOptions(t)
	tmpl, diags := mustLoad(t, "r/generic.json", o)
	contains(t, diags, `builder type "virtualbox" is an old name of "virtualbox-iso"`)
	sources := tmpl.Sources()
	if len(sources) != 3 || !tmpl.Legacy || tmpl.Description != "Generic boxes." || sources[1].Label() != "vb" || sources[2].Label() != "amazon-ebs" {
		t.Fatalf("%+v", tmpl)
	}
	want := map[string]any{
		"iso_url": "file://" + o.Dir + "/r/debian.iso", "iso_urls": []any{"http://a/x.iso", "http://b/x.iso"}, "iso_checksum": "sha256:debian13",
		"boot_command": []any{"<esc>auto url=http://{{ .HTTPIP }}:{{.HTTPPort}}/debian13.cfg <enter>"}, "boot_wait": "10s", "headless": true,
		"cpus": 2.0, "memory": 2048.0, "vm_name": "generic-debian12-libvirt-x64-1772870950", "ssh_password": "s3cret",
		"qemuargs": []any{[]any{"-m", "2048"}, []any{"-cpu", "host"}}, "network_interface": []any{map[string]any{"type": "user"}},
		"output_directory": "output/generic-debian13-20260307",
	}
	if diff := cmp.Diff(want, args(t, sources[0].Args)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"s3cret"}, tmpl.Secrets); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"AKIAdebian13", "s3cret"}, tmpl.Private); diff != "" {
		t.Error(diff)
	}
	ami := map[string]any{"ami_name": "packer 1772870950", "tags": map[string]any{"Built": "1"}, "access_key": "AKIAdebian13"}
	if diff := cmp.Diff(ami, args(t, sources[2].Args)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]template.Use{{Arg: "ami_name", Function: "timestamp"}}, sources[2].Volatile); diff != "" {
		t.Error(diff)
	}
}

func TestJSONProvisionersAndPostProcessors(t *testing.T) {
	t.Parallel()
	tmpl, _ := mustLoad(t, "r/generic.json", roboxOptions(t))
	kvm, vb, ami := tmpl.Sources()[0], tmpl.Sources()[1], tmpl.Sources()[2]
	p := kvm.Provisioners[0]
	if p.PauseBefore != 5*time.Second || p.Timeout != time.Hour || p.MaxRetries != 2 || len(kvm.Provisioners) != 1 {
		t.Errorf("%+v", kvm.Provisioners)
	}
	want := map[string]any{"scripts": []any{"scripts/a.sh", "scripts/debian13.sh"}, "execute_command": "{{ .Vars }} sudo -E bash '{{ .Path }}'"}
	if diff := cmp.Diff(want, args(t, p.Args)); diff != "" {
		t.Error(diff)
	}
	if got := args(t, vb.Provisioners[0].Args); !cmp.Equal(got, map[string]any{"scripts": []any{"vb.sh"}, "execute_command": "sh {{ .Path }}"}) {
		t.Errorf("override: %v", got)
	}
	if kvm.ErrorCleanup == nil || string(kvm.ErrorCleanup.Args) != `{"inline":["dmesg"]}` {
		t.Errorf("error-cleanup-provisioner: %+v", kvm.ErrorCleanup)
	}
	if len(kvm.PostProcessors) != 2 || len(kvm.PostProcessors[0]) != 2 || kvm.PostProcessors[1][0].Type != "manifest" || len(ami.PostProcessors[0]) != 1 {
		t.Errorf("post-processors: %+v", kvm.PostProcessors)
	}
	if keep := kvm.PostProcessors[0][0].KeepInputArtifact; keep == nil || !*keep {
		t.Error("keep_input_artifact is lost")
	}
	if kvm.Missing != "" || vb.Missing != `builder "vb": the driver is not written` || ami.Missing != `builder "amazon-ebs": the driver is not written` {
		t.Errorf("missing: %q %q %q", kvm.Missing, vb.Missing, ami.Missing)
	}
}

func TestJSONSelection(t *testing.T) {
	t.Parallel()
	o := roboxOptions(t)
	o.Only, o.Except = []string{"generic-*", "vb"}, []string{"v?", "sums"}
	tmpl, _ := mustLoad(t, "r/generic.json", o)
	if s := tmpl.Sources(); len(s) != 1 || len(s[0].PostProcessors[0]) != 1 {
		t.Errorf("%+v", s)
	}
	o.Only, o.Except = []string{"nothing"}, []string{"nobody", "[", "manifest"}
	_, diags := template.Load("r/generic.json", parts(), o)
	contains(t, diags, "-only=nothing matches nothing in this template", "known are: generic-debian12-libvirt-x64, vb, amazon-ebs",
		"-except=nobody matches nothing", "known are: generic-debian12-libvirt-x64, vb, amazon-ebs, vagrant, sums, manifest", `the pattern "[" cannot be understood`)
}

func TestJSONProblems(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		source string
		want   []string
	}{
		"trailing comma": {"{\n  \"builders\": [],\n}", []string{"t.json:3:1: error: this is not JSON", "    3 | }", "no comma before }"}},
		"cut off":        {"{\n \"builders\": [", []string{"t.json:2:15: error", "ends too early"}},
		"empty":          {"", []string{"ends too early"}},
		"no object":      {"[]", []string{"t.json:1:1: error: a template must be an object"}},
		"no builders":    {"{}", []string{"the template has no builders"}},
		"sections":       {`{"builder": [], "provisioners": {}, "post-processors": 1, "variables": []}`, []string{`no section "builder"`, `did you mean "builders"?`, "provisioners must be an array", "post-processors must be an array", "variables must be an object"}},
		"types": {`{"builders": [{"name": "x"}, {"type": "qmu"}, 3, {"type": "qemu", "iso_url": ""}, {"type": "qemu"}], "provisioners": [{"type": "shel"}, {}], "post-processors": [{"type": "vagrnt"}, 7, {"output": "x"}]}`,
			[]string{"the builder has no type", `unknown builder type "qmu"`, `did you mean "qemu"?`, "each of the builders must be an object", `two builders with the name "qemu"`,
				`unknown provisioner type "shel"`, "the provisioner has no type", `unknown post-processor type "vagrnt"`, "a post-processor must be an object", "the post-processor has no type"}},
		"arguments": {"{\"builders\": [{\"type\": \"qemu\",\n  \"iso_uri\": \"x\",\n  \"cpus\": \"many\",\n  \"boot_wait\": 10,\n  \"vm_name\": \"{{usr `x`}}\", \"disk_size\": \"{{ .Name }}\", \"network_interface\": [{\"bridge\": 1}], \"output_directory\": \"{{env `HOME`}}\"}]}",
			[]string{`t.json:2:3: error: builder "qemu": no such argument: "iso_uri"`, `did you mean "iso_url"?`, `t.json:3:3: error: builder "qemu": cpus: a number is needed, not "many"`,
				`boot_wait: "10" is not a duration`, `t.json:5:3: error: vm_name: unknown function "usr"`, `did you mean "user"?`, "disk_size: {{ .Name }} has no value here",
				`a required argument is missing: "iso_url"`, `a required argument is missing: "type"`, "the environment can be read only in the defaults of variables"}},
		"variables": {"{\"variables\": {\"a\": \"{{user `b`}}\", \"b\": \"{{user `a`}}\", \"c\": null, \"d\": {}, \"e\": \"{{nope}}\", \"f\": \"{{user `zz`}}\", \"g\": [\"x\", 1]}, \"sensitive-variables\": [\"gg\"], \"builders\": [{\"type\": \"qemu\", \"iso_url\": \"{{user `gg`}}\"}]}",
			[]string{`depends on itself: `, `variable "c" has no value`, "pass -var c=...", `the value of variable "d" must be a string`, `variable "e": unknown function "nope"`,
				`variable "f" refers to the variable "zz", which is not declared`, `the sensitive variable "gg" is not declared`, `variable "gg" is not declared; it is empty here`, `declare it: "variables": { "gg": "" }`}},
		"meta": {`{"builders": [{"type": "qemu", "iso_url": "x"}], "provisioners": [{"type": "shell", "only": ["qem"], "override": {"kemu": {}}}, {"type": "shell", "only": "qemu"}, {"type": "shell", "pause_before": "soon", "max_retries": -1.5, "override": 3}, {"type": "shell", "only": ["qemu"], "except": ["qemu"]}]}`,
			[]string{`there is no builder "qem"`, `did you mean "qemu"?`, `there is no builder "kemu"`, "only must be an array of names", `"soon" is not a duration`, "a whole number is needed", "override must be an object", "both only and except"}},
		"version":      {`{"min_packer_version": "9.0", "builders": [{"type": "qemu", "iso_url": "x"}]}`, []string{"requires Packer 9.0"}},
		"bad version":  {`{"min_packer_version": "new", "builders": [{"type": "qemu", "iso_url": "x"}]}`, []string{`"new" is not a version`}},
		"huge number":  {`{"builders": [{"type": "qemu", "iso_url": "x", "cpus": 1e999999999}]}`, []string{"too large"}},
		"builder name": {`{"builders": [{"type": "qemu", "iso_url": "x", "name": "{{ .Name }}"}]}`, []string{"must be known before the build"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, diags := template.Load("t.json", parts(), folder(t, map[string]string{"t.json": test.source}))
			if !diags.HasErrors() {
				t.Error("no errors")
			}
			contains(t, diags, test.want...)
		})
	}
}

func TestJSONVariableFiles(t *testing.T) {
	t.Parallel()
	o := folder(t, map[string]string{
		"t.json": "{\"variables\": {\"a\": \"1\", \"l\": \"\"}, \"builders\": [{\"type\": \"qemu\", \"iso_url\": \"{{user `a`}}\", \"iso_urls\": \"{{user `l`}}\"}]}",
		"1.json": `{"a": 2, "l": ["x", "y"], "unknown": 1, "_c": 1}`, "2.json": `{"a": true}`, "bad.json": `[1]`, "worse.json": `{"a": {}}`,
	})
	o.VarFiles, o.WarnUndeclared = []string{"1.json", "2.json"}, true
	tmpl, diags := mustLoad(t, "t.json", o)
	if diff := cmp.Diff(map[string]any{"iso_url": "true", "iso_urls": []any{"x", "y"}}, args(t, tmpl.Sources()[0].Args)); diff != "" {
		t.Error(diff)
	}
	contains(t, diags, `1.json:1:38: warning: variable "unknown" is not declared`)
	if len(tmpl.Variables) != 2 || tmpl.Variables[0].From != "2.json" || string(tmpl.Variables[0].Value) != `"true"` || string(tmpl.Variables[0].Default) != `"1"` {
		t.Errorf("%+v", tmpl.Variables)
	}
	o.VarFiles, o.Vars = []string{"bad.json", "worse.json", "none.json"}, []string{"a", "bb=1"}
	_, diags = template.Load("t.json", parts(), o)
	contains(t, diags, "a file of variables must be an object", `the value of variable "a" must be a string`, "none.json: error: the file cannot be read", `-var "a" has no value`, `-var bb: warning: variable "bb" is not declared`)
}
