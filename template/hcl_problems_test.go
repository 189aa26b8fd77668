package template_test

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/template"
)

// minimal is what a template needs besides what a test is about.
const minimal = "source \"qemu\" \"a\" {\n  iso_url = \"x\"\n}\nbuild {\n  sources = [\"qemu.a\"]\n}\n"

func TestHCLProblems(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		source string
		want   []string
	}{
		"syntax":           {"source \"qemu\" \"a\" {\n  iso_url = \n}\n", []string{"t.pkr.hcl:2:13: error: invalid expression", "    2 |   iso_url = \n"}},
		"unclosed":         {"source \"qemu\" \"a\" {\n", []string{"error: unclosed configuration block"}},
		"root block":       {"sauce \"qemu\" \"a\" {}\n" + minimal, []string{"t.pkr.hcl:1:1: error: unsupported block type", `did you mean "source"?`}},
		"unknown argument": {strings.Replace(minimal, "iso_url", "iso_uri", 1), []string{"t.pkr.hcl:2:3: error: unsupported argument", "    2 |   iso_uri = \"x\"\n      |   ^", `did you mean "iso_url"?`, `t.pkr.hcl:1:1: error: source "qemu.a": a required argument is missing: "iso_url"`}},
		"wrong type":       {strings.Replace(minimal, "\"x\"", "\"x\"\n  cpus = \"many\"\n  headless = \"perhaps\"\n boot_wait = 10\n iso_urls = \"x\"", 1), []string{`cpus: a number is needed, not "many"`, `headless: true or false is needed`, `boot_wait: "10" is not a duration`, "iso_urls: a list of strings is needed"}},
		"nested":           {strings.Replace(minimal, "\"x\"", "\"x\"\n  network_interface {\n    bridge = 1\n    tip = 2\n  }\n", 1), []string{"t.pkr.hcl:5:5: error: unsupported argument", "t.pkr.hcl:3:3", `a required argument is missing: "type"`}},
		"source type":      {strings.ReplaceAll(minimal, "qemu", "qmu"), []string{`t.pkr.hcl:1:8: error: unknown source type "qmu"`, `did you mean "qemu"?`}},
		"source reference": {strings.Replace(minimal, "qemu.a", "qemu.b", 1), []string{`t.pkr.hcl:5:14: error: there is no source "qemu.b"`, `did you mean "qemu.a"?`}},
		"bad reference":    {strings.Replace(minimal, "\"qemu.a\"", "\"qemu\", 1, \"\"", 1), []string{`"qemu" does not name a source`, `"1" does not name a source`}},
		"no source":        {"build {\n}\n", []string{"the build has no source"}},
		"sources type":     {"build {\n sources = 1\n}\n", []string{"sources must be a list of strings"}},
		"twice":            {minimal + minimal, []string{`source "qemu.a" is defined twice`, `"qemu.a" is built twice`}},
		"function":         {strings.Replace(minimal, "\"x\"", "filee(\"x\")", 1), []string{"call to unknown function", `did you mean "file"?`}},
		"outside":          {strings.Replace(minimal, "\"x\"", "file(\"/etc/passwd\")", 1), []string{"outside the template's folder"}},
		"braces":           {strings.Replace(minimal, "\"x\"", "\"{{usr `x`}}\"", 1), []string{`t.pkr.hcl:2:3: error: iso_url: unknown function "usr"`, `did you mean "user"?`}},
		"late braces":      {strings.Replace(minimal, "\"x\"", "\"{{ .HTTPIP }}\"", 1), []string{"iso_url: {{ .HTTPIP }} has no value here", "read before the build starts"}},
		"user":             {strings.Replace(minimal, "\"x\"", "\"{{user `x`}}\"", 1), []string{"in HCL templates write var.x"}},
		"references": {strings.Replace(minimal, "\"x\"", "\"${var.nme}${local.nme}${source.nme}${build.ID}${path.rot}${packer.versio}${data.null.x.output}\"", 1) + "variable \"name\" {\n default = 1\n}\nlocals {\n name = 1\n}\ndata \"null\" \"y\" {\n input = 1\n}\n",
			[]string{`there is no variable "nme"`, `did you mean "name"?`, `there is no local "nme"`, `there is no source value "nme"`, `there is no path "rot"`, `did you mean "root"?`, `there is no packer value "versio"`, `there is no data source null "x"`}},
		"undeclared": {strings.Replace(minimal, "\"x\"", "var.zzz", 1), []string{`there is no variable "zzz"`, "did you mean to declare it?"}},
		"build value": {minimal[:len(minimal)-2] + "provisioner \"shell\" {\n inline = [\"${build.Hosst}\"]\n}\nprovisioner \"shell\" {\n script = build.ID\n}\nprovisioner \"shell\" {\n inline = [build.Port == \"22\" ? \"a\" : \"b\"]\n}\n}\n",
			[]string{`there is no build value "Hosst"`, `did you mean "Host"?`, "script: values of the running build are not known here", "build.Port is known only while the build runs"}},
		"variables": {minimal + "variable \"a\" {\n type = number\n default = \"x\"\n}\nvariable \"b\" {\n}\nvariable \"b\" {\n}\nvariable \"1\" {\n}\nvariable \"c\" {\n tpye = string\n default = var.a\n}\nvariable \"d\" {\n type = strng\n default = \"\"\n sensitive = 3\n}\nvariables {\n e = nope()\n}\n",
			[]string{`the value of variable "a" does not fit its type number`, `variable "b" has no value`, "pass -var b=..., or set b = ... in a file for -var-file, or the environment variable PKR_VAR_b", `variable "b" is declared twice`, `"1" cannot be the name`, `did you mean "type"?`, "variables not allowed", "sensitive must be true or false", "call to unknown function"}},
		"validation": {minimal + "variable \"a\" {\n default = 1\n validation {\n  condition = var.a > 1\n  error_message = \"Too small.\"\n }\n validation {\n condition = 3\n error_message = \"x\"\n }\n validation {\n condition = var.b\n error_message = \"x\"\n }\n validation {\n }\n}\n",
			[]string{`variable "a": Too small`, "the rule is at t.pkr.hcl:9:2", "must be true or false", "missing required argument"}},
		"locals":    {minimal + "locals {\n a = local.b\n b = local.c\n c = local.a\n d = nope()\n}\nlocals {\n a = 1\n}\nlocal \"e\" {\n}\nlocal \"1\" {\n expression = 1\n}\n", []string{"local.a depends on itself: local.a -> local.b -> local.c -> local.a", "local.a is defined twice", "call to unknown function", `"1" cannot be the name of a local`, "missing required argument"}},
		"version":   {"packer {\n required_version = \">= 9.0\"\n}\n" + minimal, []string{"requires Packer >= 9.0"}},
		"version 2": {"packer {\n required_version = \"new\"\n}\n" + minimal, []string{`"new" is not a version`}},
		"version 3": {"packer {\n required_version = [1]\n}\n" + minimal, []string{"must be a string"}},
		"data":      {"data \"amazon-amy\" \"x\" {\n}\ndata \"amazon-ami\" \"y\" {\n owner = 1\n}\ndata \"null\" \"z\" {\n}\n" + minimal, []string{`unknown data source type "amazon-amy"`, `did you mean "amazon-ami"?`, "unsupported argument", `data source null.z: a required argument is missing: "input"`}},
		"components": {minimal[:len(minimal)-2] + "provisioner \"shel\" {\n}\nprovisioner \"shell\" {\n pause_before = \"soon\"\n max_retries = \"x\"\n override = 1\n}\nprovisioner \"shell\" {\n only = [\"qemu.a\"]\n except = [\"qemu.b\"]\n override = { a = 1 }\n}\npost-processor \"vagrnt\" {\n}\npost-processor \"vagrant\" {\n keep_input_artifact = \"maybe\"\n compression_levle = 1\n}\nerror-cleanup-provisioner \"shell\" {\n}\nerror-cleanup-provisioner \"shell\" {\n}\n}\n",
			[]string{`unknown provisioner type "shel"`, `did you mean "shell"?`, `pause_before: "soon" is not a duration`, `max_retries: a number is needed`, "override must be an object", "both only and except", `override of "a" must be an object`,
				`unknown post-processor type "vagrnt"`, "keep_input_artifact: true or false is needed", `did you mean "compression_level"?`, "a build can have one error-cleanup-provisioner"}},
		"build attributes": {strings.Replace(minimal, "build {", "build {\n name = [1]\n descripton = \"x\"\n", 1), []string{"the name of a build must be a known string", `did you mean "description"?`}},
		"dynamic":          {strings.Replace(minimal, "\"x\"", "\"x\"\n dynamic \"network_interfce\" {\n for_each = [1]\n content {}\n }\n dynamic \"network_interface\" {\n for_each = 3\n content {}\n }", 1), []string{`Blocks of type "network_interfce" are not expected`, "invalid dynamic for_each value"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, diags := template.Load("t.pkr.hcl", parts(), folder(t, map[string]string{"t.pkr.hcl": test.source}))
			if !diags.HasErrors() || diags.Err() == nil {
				t.Error("no errors")
			}
			contains(t, diags, test.want...)
		})
	}
}

func TestVariablePrecedence(t *testing.T) {
	t.Parallel()
	declare := "variable \"a\" {\n type = string\n default = \"0\"\n}\nvariable \"l\" {\n type = list(string)\n default = []\n}\nvariable \"o\" {\n type = object({ x = number, y = optional(bool, true) })\n default = { x = 1 }\n}\nvariable \"n\" {\n default = null\n}\n"
	use := strings.Replace(minimal, "\"x\"", "\"${var.a}-${join(\"+\", var.l)}-${var.o.x}${var.o.y}\"\n vm_name = var.n", 1)
	files := map[string]string{"d/t.pkr.hcl": declare + use, "d/z.auto.pkrvars.hcl": "a = \"auto\"\n", "d/a.auto.pkrvars.json": `{"l": ["j"], "undeclared": 1}`, "v.pkrvars.hcl": "a = \"file\"\n", "w.json": `{"a": "json"}`}
	with := func(change func(*template.Options)) string {
		o := folder(t, files)
		change(&o)
		tmpl, diags := template.Load("d", parts(), o)
		if diags.HasErrors() {
			t.Fatalf("%s", diags)
		}
		a := args(t, tmpl.Sources()[0].Args)
		if _, ok := a["vm_name"]; ok {
			t.Error("a null was taken as given")
		}
		return a["iso_url"].(string)
	}
	for want, change := range map[string]func(*template.Options){
		"auto-j-1true": func(o *template.Options) { o.Environ = []string{"PKR_VAR_a=env", "PKR_VAR_nobody=1", "odd"} },
		"file-j-1true": func(o *template.Options) { o.VarFiles = []string{"w.json", "v.pkrvars.hcl"} },
		"json-j-1true": func(o *template.Options) { o.VarFiles = []string{"v.pkrvars.hcl", "w.json"} },
		"2-x+y-2false": func(o *template.Options) {
			o.VarFiles = []string{"w.json"}
			o.Vars = []string{"a=1", "a=2", `l=["x", "y"]`, "o={x = 2, y = false}"}
		},
		"auto-j-5true": func(o *template.Options) { o.Environ = []string{"PKR_VAR_o={x = 5}"} },
		"a=b-j-1true":  func(o *template.Options) { o.Vars = []string{"a=a=b"} },
	} {
		if got := with(change); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestVariableInputProblems(t *testing.T) {
	t.Parallel()
	o := folder(t, map[string]string{
		"t.pkr.hcl":     "variable \"list\" {\n type = list(string)\n default = []\n}\nvariable \"flag\" {\n type = bool\n default = true\n}\n" + minimal,
		"v.pkrvars.hcl": "lists = []\nflag = nope()\n", "w.pkrvars.hcl": "variable \"x\" {\n}\n", "x.json": "[", "y.pkrvars.hcl": "flag = \"perhaps\"\n",
	})
	o.WarnUndeclared = true
	o.VarFiles = []string{"v.pkrvars.hcl", "w.pkrvars.hcl", "x.json", "none.hcl", "y.pkrvars.hcl"}
	o.Vars = []string{"list=a", "lst=1", "odd", "flag=[1]"}
	_, diags := template.Load("t.pkr.hcl", parts(), o)
	contains(t, diags, `v.pkrvars.hcl:1:1: warning: variable "lists" is not declared`, `did you mean "list"?`, "v.pkrvars.hcl:2:8: error", `variable "x" is declared in a file of values`,
		"x.json:1:", "none.hcl: error: the file cannot be read", `y.pkrvars.hcl:1:8: error: the value of variable "flag" does not fit its type bool`,
		`-var list: error: the value "a" of variable "list" cannot be read`, `-var lst: error: variable "lst" is not declared`, `-var "odd" has no value`, `the value of variable "flag" does not fit`)
}

func TestHCLSelection(t *testing.T) {
	t.Parallel()
	source := "source \"qemu\" \"a\" {\n iso_url = \"x\"\n}\nsource \"nobody\" \"knows\" {\n}\nbuild {\n name = \"one\"\n sources = [\"qemu.a\", \"nobody.knows\"]\n post-processors {\n post-processor \"vagrant\" {\n }\n post-processor \"checksum\" {\n name = \"sums\"\n }\n }\n}\nbuild {\n sources = [\"qemu.a\"]\n}\n"
	o := folder(t, map[string]string{"t.pkr.hcl": source})
	labels := func(only, except []string) (out []string) {
		o.Only, o.Except = only, except
		tmpl, _ := mustLoad(t, "t.pkr.hcl", o)
		for _, s := range tmpl.Sources() {
			out = append(out, s.Label())
			for _, chain := range s.PostProcessors {
				for _, pp := range chain {
					out = append(out, pp.Type)
				}
			}
		}
		return out
	}
	for _, test := range []struct{ only, except, want []string }{
		{[]string{"*.a"}, nil, []string{"one.qemu.a", "vagrant", "checksum", "qemu.a"}},
		{[]string{"one.qemu.*"}, []string{"sums"}, []string{"one.qemu.a", "vagrant"}},
		{nil, []string{"one.*"}, []string{"qemu.a"}},
		{nil, []string{"*nobody*", "vagrant"}, []string{"one.qemu.a", "qemu.a"}},
		{[]string{"{qemu,vmware}.?"}, nil, []string{"qemu.a"}},
	} {
		if diff := cmp.Diff(test.want, labels(test.only, test.except)); diff != "" {
			t.Errorf("%v %v: %s", test.only, test.except, diff)
		}
	}
	o.Only, o.Except = []string{"qemu.b"}, nil
	_, diags := template.Load("t.pkr.hcl", parts(), o)
	contains(t, diags, "-only=qemu.b matches nothing in this template", "known are: one.qemu.a, one.nobody.knows, qemu.a")
}

func TestDataSources(t *testing.T) {
	t.Parallel()
	source := "data \"amazon-ami\" \"d\" {\n owners = [\"x\"]\n}\nlocals {\n ami = data.amazon-ami.d.id\n}\nsource \"amazon-ebs\" \"a\" {\n ami_name = \"n\"\n source_ami = local.ami\n}\nsource \"qemu\" \"b\" {\n iso_url = data.null.n.output[0]\n vm_name = \"x${local.ami}\"\n}\nsource \"qemu\" \"c\" {\n iso_url = data.null.n.output[0]\n}\ndata \"null\" \"n\" {\n input = local.list[0]\n}\nlocals {\n list = [\"f\"]\n}\nbuild {\n sources = [\"amazon-ebs.a\", \"qemu.b\", \"qemu.c\"]\n}\n"
	source = strings.ReplaceAll(strings.ReplaceAll(source, "output[0]", "output"), "input = local.list[0]", "input = local.list[0]")
	tmpl, diags := mustLoad(t, "t.pkr.hcl", folder(t, map[string]string{"t.pkr.hcl": source}))
	contains(t, diags, "warning: data source amazon-ami.d: data sources of this type cannot be evaluated yet")
	s := tmpl.Sources()
	if s[0].Missing == "" || s[1].Missing != "data source amazon-ami.d: data sources of this type cannot be evaluated yet" || s[2].Missing != "" {
		t.Errorf("%q %q %q", s[0].Missing, s[1].Missing, s[2].Missing)
	}
	if got := args(t, s[2].Args)["iso_url"]; got != "f" {
		t.Errorf("null gave %v", got)
	}
}

func TestHCLInJSON(t *testing.T) {
	t.Parallel()
	o := folder(t, map[string]string{"t.pkr.json": `{"variable": {"v": {"default": "1"}}, "source": {"qemu": {"a": {"iso_url": "x${var.v}", "network_interface": [{"type": "user"}]}}},
		"build": {"sources": ["source.qemu.a"], "provisioner": [{"shell": {"inline": ["{{ .Vars }}"], "max_retries": 2}}], "post-processors": [{"post-processor": {"vagrant": {}}}]}}`})
	tmpl, _ := mustLoad(t, "t.pkr.json", o)
	s := tmpl.Sources()[0]
	if got := args(t, s.Args); got["iso_url"] != "x1" || s.Provisioners[0].MaxRetries != 2 || len(s.PostProcessors) != 1 || tmpl.Legacy {
		t.Errorf("%v %+v", got, s)
	}
}

func TestFolder(t *testing.T) {
	t.Parallel()
	o := folder(t, map[string]string{"d/b.pkr.hcl": minimal[strings.Index(minimal, "build"):], "d/a.pkr.json": `{"source": {"qemu": {"a": {"iso_url": "${path.root}/${basename(path.cwd)}"}}}}`, "d/notes.hcl": "?", "d/x.pkrvars.hcl": "a = 1", "empty/x": ""})
	tmpl, _ := mustLoad(t, "./d/", o)
	if diff := cmp.Diff([]string{"d/b.pkr.hcl", "d/a.pkr.json"}, tmpl.Files); diff != "" {
		t.Error(diff)
	}
	_, diags := template.Load("empty", parts(), o)
	contains(t, diags, "the folder holds no *.pkr.hcl")
	_, diags = template.Load("nothing", parts(), o)
	contains(t, diags, "nothing: error: the template cannot be read: no such file or directory")
	_, diags = template.Load("/dev/null", parts(), o)
	contains(t, diags, "this is not a regular file")
	if err := os.Truncate(o.Dir+"/empty/x", 17<<20); err != nil {
		t.Fatal(err)
	}
	_, diags = template.Load("empty/x", parts(), o)
	contains(t, diags, "more than the")
}

func TestVolatileUses(t *testing.T) {
	t.Parallel()
	source := "locals {\n t = timestamp()\n}\nsource \"qemu\" \"a\" {\n iso_url = \"x\"\n dynamic \"network_interface\" {\n for_each = [local.t]\n content {\n type = network_interface.value\n bridge = uuidv4()\n }\n }\n}\nbuild {\n sources = [\"qemu.a\"]\n provisioner \"shell\" {\n inline = [\"${local.t} {{uuid}}\"]\n override = { a = { script = timestamp() } }\n }\n post-processor \"manifest\" {\n custom_data = { t = local.t }\n }\n}\n"
	tmpl, _ := mustLoad(t, "t.pkr.hcl", folder(t, map[string]string{"t.pkr.hcl": source}))
	s := tmpl.Sources()[0]
	for _, diff := range []string{
		cmp.Diff([]template.Use{{Arg: "network_interface", Function: "uuidv4"}}, s.Volatile),
		cmp.Diff([]template.Use{{Arg: "inline", Function: "timestamp"}, {Arg: "inline", Function: "uuid"}, {Arg: "script", Function: "timestamp"}}, s.Provisioners[0].Volatile),
		cmp.Diff([]template.Use{{Arg: "custom_data", Function: "timestamp"}}, s.PostProcessors[0][0].Volatile),
	} {
		if diff != "" {
			t.Error(diff)
		}
	}
}

func TestFormat(t *testing.T) {
	t.Parallel()
	got, err := template.Format("t.pkr.hcl", []byte("a={\nb=1\nccc=2\n}\n"))
	if want := "a = {\n  b   = 1\n  ccc = 2\n}\n"; err != nil || string(got) != want {
		t.Errorf("%q %v", got, err)
	}
	if _, err := template.Format("t.pkr.hcl", []byte("a = {")); err == nil || !strings.Contains(err.Error(), "t.pkr.hcl:1:") {
		t.Errorf("%v", err)
	}
}
