package build

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/internal/schema"
	"github.com/boxkiln/boxkiln/template"
)

// The arguments of the kinds that these tests know.
type (
	machineTestArgs struct {
		BootCommand []string `json:"boot_command" arg:"late" guest:"yes"`
		Headless    bool     `json:"headless" guest:"no"`
		VMName      string   `json:"vm_name" guest:"no"`
		Shutdown    string   `json:"shutdown_command" guest:"artifact"`
	}
	scriptTestArgs struct {
		Inline  []string          `json:"inline" arg:"late" guest:"yes"`
		Scripts []string          `json:"scripts" arg:"local" guest:"yes"`
		Env     map[string]string `json:"env" arg:"late" guest:"yes"`
		Pause   string            `json:"pause_after" guest:"no"`
	}
	packTestArgs struct {
		Output  string   `json:"output" arg:"late" guest:"no"`
		Include []string `json:"include" arg:"local" guest:"no"`
	}
	driverTestOptions struct {
		Model string `json:"model,omitempty" guest:"yes"`
		Port  int    `json:"port,omitempty" guest:"no"`
	}
)

type testPlanner struct{}

func (testPlanner) Plan(json.RawMessage) (hypervisor.Spec, error) { return hypervisor.Spec{}, nil }

func (testPlanner) Reaching(options json.RawMessage, r schema.Reach) ([]schema.Value, string, error) {
	var o driverTestOptions
	if err := json.Unmarshal(options, &o); err != nil {
		return nil, "", err
	}
	values, err := schema.Reaching(o, r)
	return values, "", err
}

func scriptInputs(raw json.RawMessage) ([]string, error) {
	var a scriptTestArgs
	err := json.Unmarshal(raw, &a)
	return a.Scripts, err
}

func packInputs(raw json.RawMessage) ([]string, error) {
	var a packTestArgs
	err := json.Unmarshal(raw, &a)
	return a.Include, err
}

func stageParts() Parts {
	return Parts{
		Sources: map[string]SourceKind{"qemu": {Schema: schema.New("qemu", "", machineTestArgs{}), Planner: testPlanner{}}},
		Provisioners: map[string]ProvisionerKind{
			"script": {Schema: schema.New("script", "", scriptTestArgs{}), Inputs: scriptInputs},
			"copy":   {Schema: schema.New("copy", "", scriptTestArgs{}), Inputs: scriptInputs, IgnoresModes: true},
			"host":   {Schema: schema.New("host", "", scriptTestArgs{}), Uncached: func(json.RawMessage) string { return "runs on the daemon's host" }},
		},
		PostProcessors: map[string]PostKind{
			"pack": {Schema: schema.New("pack", "", packTestArgs{}), Inputs: packInputs, Pure: true,
				New: func(json.RawMessage, PostEnv) (PostProcessor, error) { return nil, nil }},
			"tell": {Schema: schema.New("tell", "", packTestArgs{})},
		},
	}
}

var stageTestOptions = StageOptions{Media: "sha256:00", SecretKey: []byte("key")}

// stagePlan is a plan of everything, started in /home/u/work with its template in the folder t below.
func stagePlan() *Plan {
	p := &Plan{
		Label: "qemu.debian", Builder: "qemu", Name: "debian", Driver: "libvirt", Template: "t/x.pkr.hcl",
		TemplateDir: "/home/u/work/t", Cwd: "/home/u/work", RunUUID: "11111111", DiskImage: true,
		Secrets: []string{"hunter22"},
		Provisioners: []ProvisionPlan{
			{Type: "script", Args: json.RawMessage(`{"inline":["echo one"],"env":{"A":"1"}}`)},
			{Type: "script", Args: json.RawMessage(`{"scripts":["t/scripts/a.sh","t/scripts/b.sh"],"pause_after":"1s"}`)},
			{Type: "copy", Args: json.RawMessage(`{"scripts":["t/files"]}`)},
		},
		Post: [][]PostPlan{{{Type: "pack", Args: json.RawMessage(`{"output":"{{.BuildName}}.box","include":["t/info.json"]}`)}}},
	}
	p.Media.ISOURL = "https://example.org/x.iso"
	p.Seed.Directory = "t/http"
	p.CD.Files, p.CD.Content, p.CD.Label = []string{"t/cd/*"}, map[string]string{"meta-data": "x"}, "cidata"
	p.Boot.BootCommand = []string{"<esc>", "install url=http://{{ .HTTPIP }}/ks"}
	p.Shutdown.ShutdownCommand = "poweroff"
	p.Machine = hypervisor.Spec{Arch: "amd64", CPUs: 2, MemoryMiB: 1024,
		Disks:   []hypervisor.Disk{{Size: 1 << 30, Format: "qcow2", Interface: "virtio"}},
		Network: hypervisor.Network{Model: "virtio-net", Forward: []int{22}}, Options: json.RawMessage(`{"model":"max","port":5900}`)}
	p.Output.Format, p.Output.Directory = "qcow2", "out"
	for _, f := range []string{"t/cd/", "t/cd/user-data", "t/files/", "t/files/x", "t/files/y", "t/http/", "t/http/ks.cfg", "t/info.json", "t/scripts/a.sh", "t/scripts/b.sh"} {
		in := Input{Path: filepath.Join(p.Cwd, f), Mode: 0o644, Digest: digestOf(f)}
		if strings.HasSuffix(f, "/") {
			in.Mode, in.Digest = fs.ModeDir|0o755, ""
		}
		p.Inputs = append(p.Inputs, in)
	}
	return p
}

// digestOf makes a sha256 of some text.
func digestOf(s string) string {
	r := recipe{}
	r.text("", s)
	return r.reads[0].Digest
}

func mustStages(t testing.TB, p *Plan, o StageOptions) []Stage {
	t.Helper()
	stages, err := p.Stages(stageParts(), o)
	if err != nil {
		t.Fatal(err)
	}
	return stages
}

// changed tells for each stage whether its fingerprint differs.
func changed(a, b []Stage) string {
	var marks strings.Builder
	for i := range a {
		if a[i].Fingerprint == b[i].Fingerprint {
			marks.WriteByte('.')
		} else {
			marks.WriteByte('X')
		}
	}
	return marks.String()
}

func TestStages(t *testing.T) {
	t.Parallel()
	stages := mustStages(t, stagePlan(), stageTestOptions)
	var got []string
	for _, s := range stages {
		var reads []string
		for _, in := range s.Reads {
			reads = append(reads, in.Name)
		}
		got = append(got, s.Name+": "+strings.Join(reads, ", "))
		if len(s.Fingerprint) != 64 || s.Never != "" || s.MaxAge != DefaultCacheMaxAge || s.Fresh {
			t.Errorf("%+v", s)
		}
	}
	want := []string{
		"installed: driver, cd_files, cd_content, cd_label, http_directory, boot_command, arch, cpus, memory_mib, disks, network, disk_image, model, media, http, http/ks.cfg, cd/user-data",
		"provision[1] script: type, build name, builder type, env, inline",
		"provision[2] script: type, build name, builder type, scripts, scripts/a.sh, scripts/b.sh",
		"provision[3] copy: type, build name, builder type, scripts, files, files/x, files/y",
		"artifact: build name, builder type, shutdown_command, format, post-processor[1][1] type, " +
			"post-processor[1][1] include, post-processor[1][1] output, post-processor[1][1] output BuildName, info.json",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// TestWhatChangesAStage changes one thing at a time.
func TestWhatChangesAStage(t *testing.T) {
	t.Parallel()
	arg := func(i int, json string) func(p *Plan) {
		return func(p *Plan) { p.Provisioners[i].Args = []byte(json) }
	}
	input := func(name string, change func(in *Input)) func(p *Plan) {
		return func(p *Plan) {
			for i := range p.Inputs {
				if strings.HasSuffix(p.Inputs[i].Path, name) {
					change(&p.Inputs[i])
				}
			}
		}
	}
	content := func(in *Input) { in.Digest = digestOf("other") }
	tests := []struct {
		name, want string // of installed, three provisioners and the artifact
		change     func(p *Plan)
	}{
		{"nothing", ".....", func(*Plan) {}},
		{"boot command", "XXXXX", func(p *Plan) { p.Boot.BootCommand[1] += " " }},
		{"boot command cut elsewhere", "XXXXX", func(p *Plan) { p.Boot.BootCommand = []string{"<esc>install", " url=http://{{ .HTTPIP }}/ks"} }},
		{"boot wait", ".....", func(p *Plan) { p.Boot.BootWait = schema.Duration(time.Minute) }},
		{"URL of the medium", ".....", func(p *Plan) { p.Media.ISOURL = "/other/place.iso" }},
		{"seed file", "XXXXX", input("http/ks.cfg", content)},
		{"name of the seed directory", ".....", func(p *Plan) {
			p.Seed.Directory = "t/seed"
			input("http", func(in *Input) { in.Path = strings.Replace(in.Path, "t/http", "t/seed", 1) })(p)
			input("http/ks.cfg", func(in *Input) { in.Path = strings.Replace(in.Path, "t/http", "t/seed", 1) })(p)
		}},
		{"new seed file", "XXXXX", func(p *Plan) { p.Inputs = append(p.Inputs, Input{Path: p.Cwd + "/t/http/new", Digest: digestOf("")}) }},
		{"file of a glob", "XXXXX", input("cd/user-data", content)},
		{"group may write a seed file", ".....", input("http/ks.cfg", func(in *Input) { in.Mode = 0o664 })},
		{"first script's text", ".XXXX", arg(0, `{"inline":["echo two"],"env":{"A":"1"}}`)},
		{"order of arguments", ".....", arg(0, `{"env":{"A":"1"}, "inline":["echo one"]}`)},
		{"null", ".....", arg(0, `{"env":{"A":"1"}, "inline":["echo one"], "scripts":null}`)},
		{"HTML escapes", ".....", arg(0, `{"env":{"A":"1"}, "inline":["echo \u006fne"]}`)},
		{"script's content", "..XXX", input("scripts/b.sh", content)},
		{"script may be run", "..XXX", input("scripts/b.sh", func(in *Input) { in.Mode |= 0o111 })},
		{"group may write a script", "..XXX", input("scripts/b.sh", func(in *Input) { in.Mode = 0o664 })},
		{"group may write where modes do not matter", ".....", input("files/x", func(in *Input) { in.Mode = 0o664 })},
		{"order of scripts", "..XXX", arg(1, `{"scripts":["t/scripts/b.sh","t/scripts/a.sh"]}`)},
		{"pause", ".....", arg(1, `{"scripts":["t/scripts/a.sh","t/scripts/b.sh"],"pause_after":"2s"}`)},
		{"another spelling of a path", ".....", arg(1, `{"scripts":["./t/scripts/a.sh","/home/u/work/t/scripts/b.sh"]}`)},
		{"content instead of the directory", "...XX", arg(2, `{"scripts":["t/files/"]}`)},
		{"a file of a directory renamed", "...XX", input("files/x", func(in *Input) { in.Path += "2" })},
		{"type", "...XX", func(p *Plan) { p.Provisioners[2].Type = "script" }},
		{"name of a provisioner", ".....", func(p *Plan) { p.Provisioners[2].Name = "web" }},
		{"source's name", ".XXXX", func(p *Plan) { p.Name = "other" }},
		{"label and template", ".....", func(p *Plan) { p.Label, p.Template, p.BuildName, p.RunUUID = "a", "b", "c", "d" }},
		{"shutdown", "....X", func(p *Plan) { p.Shutdown.ShutdownCommand = "halt" }},
		{"post-processor's argument", "....X", func(p *Plan) { p.Post[0][0].Args = []byte(`{"output":"x.box","include":["t/info.json"]}`) }},
		{"post-processor's file", "....X", input("info.json", content)},
		{"another chain", "....X", func(p *Plan) { p.Post = append(p.Post, p.Post[0]) }},
		{"two chains of one against one of two", "....X", func(p *Plan) { p.Post = [][]PostPlan{{p.Post[0][0], p.Post[0][0]}} }},
		{"box", ".....", func(p *Plan) { p.Publish = PublishArgs{Box: "a/b", Version: "1"} }},
		{"output directory of files that nobody keeps", ".....", func(p *Plan) { p.Output.Directory, p.Output.VMName = "a", "b" }},
		{"files that somebody keeps", "....X", func(p *Plan) { keep := true; p.Post[0][0].KeepInputArtifact = &keep }},
		{"driver's option", "XXXXX", func(p *Plan) { p.Machine.Options = []byte(`{"model":"host"}`) }},
		{"driver's port", ".....", func(p *Plan) { p.Machine.Options = []byte(`{"model":"max","port":1}`) }},
		{"build options", ".....", func(p *Plan) {
			p.Options = Options{Force: true, Debug: true, OnError: OnErrorAsk, Fresh: true, CacheMaxAge: 1, NoCache: []string{"*"}}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := stagePlan()
			before := mustStages(t, p, stageTestOptions)
			tt.change(p)
			if got := changed(before, mustStages(t, p, stageTestOptions)); got != tt.want {
				t.Errorf("changed %s, want %s", got, tt.want)
			}
		})
	}
}

func TestStagesOfAnotherFolder(t *testing.T) {
	t.Parallel()
	here := stagePlan()
	data, err := json.Marshal(here)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(data), `"/home/u/work`, `"/srv/kiln/deep`)
	there := &Plan{}
	if err := json.Unmarshal([]byte(text), there); err != nil {
		t.Fatal(err)
	}
	a, b := mustStages(t, here, stageTestOptions), mustStages(t, there, stageTestOptions)
	if d := cmp.Diff(a, b); d != "" {
		t.Error(d)
	}
	// Started inside the template's folder, the names are shorter.
	text = strings.NewReplacer(`"t/`, `"`, `"/home/u/work/t`, `"/r`, `"cwd":"/home/u/work"`, `"cwd":"/r"`).Replace(string(data))
	inside := &Plan{}
	if err := json.Unmarshal([]byte(text), inside); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(a, mustStages(t, inside, stageTestOptions)); d != "" {
		t.Error(d)
	}
}

func TestNever(t *testing.T) {
	t.Parallel()
	no := false
	tests := []struct {
		name   string
		change func(p *Plan)
		want   []string // of the five stages
	}{
		{"volatile boot command", func(p *Plan) { p.Volatile = []template.Use{{Arg: "boot_command", Function: "timestamp"}} },
			[]string{"uses timestamp() in boot_command", "after installed, which uses timestamp() in boot_command"}},
		{"volatile name", func(p *Plan) { p.Volatile = []template.Use{{Arg: "vm_name", Function: "timestamp"}} }, []string{"", "", "", "", ""}},
		{"volatile name of a result", func(p *Plan) { p.Volatile, p.Post = []template.Use{{Arg: "vm_name", Function: "timestamp"}}, nil },
			[]string{"", "", "", "", "uses timestamp() in vm_name"}},
		{"volatile name that is typed", func(p *Plan) {
			p.Volatile = []template.Use{{Arg: "vm_name", Function: "timestamp"}}
			p.Boot.BootCommand = []string{"hostname={{ .Name }}"}
		}, []string{"uses timestamp() in vm_name"}},
		{"volatile switch", func(p *Plan) { p.Volatile = []template.Use{{Arg: "headless", Function: "timestamp"}} }, []string{"", "", "", "", ""}},
		{"volatile shutdown", func(p *Plan) { p.Volatile = []template.Use{{Arg: "shutdown_command", Function: "uuid"}} }, []string{"", "", "", "", "uses uuid() in shutdown_command"}},
		{"volatile script", func(p *Plan) { p.Provisioners[1].Volatile = []template.Use{{Arg: "inline", Function: "uuid"}} },
			[]string{"", "", "uses uuid() in inline", "after provision[2] script, which uses uuid() in inline", "after provision[2] script, which uses uuid() in inline"}},
		{"volatile pause", func(p *Plan) { p.Provisioners[1].Volatile = []template.Use{{Arg: "pause_after", Function: "uuid"}} }, []string{"", "", "", "", ""}},
		{"volatile post-processor", func(p *Plan) { p.Post[0][0].Volatile = []template.Use{{Arg: "output", Function: "uuid"}} }, []string{"", "", "", "", "uses uuid() in output"}},
		{"id of the build", func(p *Plan) { p.Provisioners[0].Args = []byte(`{"inline":["echo {{ build ` + "`ID`" + ` }}"]}`) },
			[]string{"", "uses build.ID in inline"}},
		{"time of the run", func(p *Plan) { p.Provisioners[0].Args = []byte(`{"env":{"A":"{{ timestamp }}"}}`) }, []string{"", "uses timestamp() in env"}},
		{"braces where nothing is rendered", func(p *Plan) { p.CD.Content["a"] = "{{ timestamp }}" }, []string{"", "", "", "", ""}},
		{"cache = false in the source", func(p *Plan) { p.Cache.Cache = &no }, []string{"cache = false", "after installed, which has cache = false"}},
		{"cache = false in a provisioner", func(p *Plan) { p.Provisioners[2].Cache = &no }, []string{"", "", "", "cache = false", "after provision[3] copy, which has cache = false"}},
		{"--no-cache", func(p *Plan) { p.Options.NoCache = []string{"*"} }, []string{"--no-cache", "after installed, which is built with --no-cache"}},
		{"--no-cache=label", func(p *Plan) { p.Options.NoCache = []string{"qemu.debian"} }, []string{"--no-cache=qemu.debian"}},
		{"--no-cache=type", func(p *Plan) { p.Options.NoCache = []string{"copy"} }, []string{"", "", "", "--no-cache=copy"}},
		{"--no-cache=name", func(p *Plan) { p.Provisioners[1].Name = "web"; p.Options.NoCache = []string{"web"} }, []string{"", "", "--no-cache=web"}},
		{"--no-cache=other", func(p *Plan) { p.Options.NoCache = []string{"other"} }, []string{"", "", "", "", ""}},
		{"what runs on the host", func(p *Plan) { p.Provisioners[1] = ProvisionPlan{Type: "host"} }, []string{"", "", "runs on the daemon's host"}},
		{"disk from an image", func(p *Plan) { p.Machine.Disks[0].Image = "/x.img" }, []string{"starts disk 1 from an image on the daemon's host, which may change"}},
		{"impure post-processor", func(p *Plan) { p.Post[0][0].Type = "tell" }, []string{"", "", "", "", "post-processor tell always runs"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := stagePlan()
			tt.change(p)
			for i, s := range mustStages(t, p, stageTestOptions) {
				switch {
				case i < len(tt.want) && s.Never != tt.want[i]:
					t.Errorf("%s: %q, want %q", s.Name, s.Never, tt.want[i])
				case i >= len(tt.want) && !strings.HasPrefix(s.Never, "after "):
					t.Errorf("%s: %q", s.Name, s.Never)
				}
			}
		})
	}
}

func TestCheckNoCache(t *testing.T) {
	t.Parallel()
	for name, known := range map[string]bool{"*": true, "": true, "qemu.debian": true, "debian": true, "script": true, "web": true, "wbe": false} {
		p := stagePlan()
		p.Provisioners[0].Name, p.Options.NoCache = "web", []string{name}
		if err := CheckNoCache([]Plan{*p}); (err == nil) != known {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestNeverWithoutTheMedium(t *testing.T) {
	t.Parallel()
	if got := mustStages(t, stagePlan(), StageOptions{})[0].Never; !strings.Contains(got, "never fetched") {
		t.Errorf("%q", got)
	}
	p := stagePlan()
	p.Media.ISOURL = ""
	if got := mustStages(t, p, StageOptions{})[0].Never; got != "" {
		t.Errorf("%q", got)
	}
}

// A machine that nobody logs in to has no moment that could be kept, but its artifact has a fingerprint of everything.
func TestStagesWithoutCommunicator(t *testing.T) {
	t.Parallel()
	p := stagePlan()
	p.Communicator.Communicator, p.Provisioners = CommunicatorNone, nil
	stages := mustStages(t, p, stageTestOptions)
	if len(stages) != 1 || stages[0].Name != StageArtifact || stages[0].Reads[0].Name != "driver" {
		t.Fatalf("%+v", stages)
	}
	p.Boot.BootCommand = nil
	if other := mustStages(t, p, stageTestOptions); changed(stages, other) != "X" {
		t.Error("the boot command is no part of it")
	}
	p.Volatile = []template.Use{{Arg: "boot_command", Function: "timestamp"}}
	if got := mustStages(t, p, stageTestOptions)[0].Never; got != "uses timestamp() in boot_command" {
		t.Errorf("%q", got)
	}
}

func TestMaxAge(t *testing.T) {
	t.Parallel()
	const h = time.Hour
	tests := []struct {
		name                 string
		def, flag, src, prov time.Duration // prov is that of provisioner 2
		want                 []time.Duration
	}{
		{"nothing said", 0, 0, 0, 0, []time.Duration{24 * h, 24 * h, 24 * h, 24 * h, 24 * h}},
		{"daemon", 5 * h, 0, 0, 0, []time.Duration{5 * h, 5 * h, 5 * h, 5 * h, 5 * h}},
		{"command line", 5 * h, 7 * h, 0, 0, []time.Duration{7 * h, 7 * h, 7 * h, 7 * h, 7 * h}},
		{"source", 0, 0, 72 * h, 0, []time.Duration{72 * h, 72 * h, 72 * h, 72 * h, 72 * h}},
		{"source and command line", 0, 3 * h, 72 * h, 0, []time.Duration{3 * h, 3 * h, 3 * h, 3 * h, 3 * h}},
		{"command line and source", 0, 99 * h, 72 * h, 0, []time.Duration{72 * h, 72 * h, 72 * h, 72 * h, 72 * h}},
		{"provisioner", 0, 0, 72 * h, 1 * h, []time.Duration{72 * h, 72 * h, 1 * h, 1 * h, 1 * h}},
		{"provisioner that says more", 0, 0, 0, 48 * h, []time.Duration{24 * h, 24 * h, 24 * h, 24 * h, 24 * h}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := stagePlan()
			p.Options.CacheMaxAge, p.Cache.CacheMaxAge, p.Provisioners[1].CacheMaxAge = tt.flag, schema.Duration(tt.src), tt.prov
			o := stageTestOptions
			o.DefaultMaxAge = tt.def
			for i, s := range mustStages(t, p, o) {
				if s.MaxAge != tt.want[i] {
					t.Errorf("%s: %s, want %s", s.Name, s.MaxAge, tt.want[i])
				}
			}
		})
	}
}

func TestSecretsNeedTheKey(t *testing.T) {
	t.Parallel()
	p := stagePlan()
	p.Provisioners[1].Args = []byte(`{"inline":["login hunter22 now"]}`)
	other := stageTestOptions
	other.SecretKey = []byte("another installation")
	a, b := mustStages(t, p, stageTestOptions), mustStages(t, p, other)
	if got := changed(a, b); got != "..XXX" {
		t.Errorf("another key changes %s", got)
	}
	data, err := json.Marshal(a)
	if err != nil || strings.Contains(string(data), "hunter22") {
		t.Errorf("%s, %v", data, err)
	}
	before := changed(a, mustStages(t, stagePlan(), stageTestOptions))
	p.Secrets[0] = "sesame99"
	p.Provisioners[1].Args = []byte(`{"inline":["login sesame99 now"]}`)
	if got := changed(a, mustStages(t, p, stageTestOptions)); got != "..XXX" || before != "..XXX" {
		t.Errorf("another secret changes %s", got)
	}
	p.Private, p.Secrets = []string{"vagrant", "a long passphrase"}, nil
	p.Provisioners[0].Args = []byte(`{"inline":["echo vagrant"]}`)
	p.Provisioners[1].Args = []byte(`{"inline":["echo 'a long passphrase'"]}`)
	if got := changed(mustStages(t, p, stageTestOptions), mustStages(t, p, other)); got != "..XXX" {
		t.Errorf("another key changes %s of private values", got)
	}
}

func TestSecretsInFileNames(t *testing.T) {
	t.Parallel()
	p := stagePlan()
	p.Secrets = []string{"b.sh"}
	for _, s := range mustStages(t, p, stageTestOptions) {
		for _, in := range s.Reads {
			if strings.Contains(in.Name, "b.sh") {
				t.Errorf("%s reads %s", s.Name, in.Name)
			}
		}
	}
}

// Nobody can name one thing so that it is written as another.
func TestNoTwoTreesAreWrittenAlike(t *testing.T) {
	t.Parallel()
	trees := []any{nil, false, true, json.Number("1"), json.Number("10"), json.Number("1.0"), "", "1", "null", "true", []any{}, []any{""},
		[]any{"ab", "c"}, []any{"a", "bc"}, []any{"abc"}, []any{"a", "b", "c"}, []any{[]any{"a"}, "b"}, []any{"a", []any{"b"}}, []any{[]any{"a", "b"}},
		[]any{nil}, map[string]any{}, map[string]any{"a": "b"}, map[string]any{"a": nil}, map[string]any{"ab": ""}, map[string]any{"a": "", "b": ""},
		[]any{"a", "b"}, "a\x00b", "{\"a\":\"b\"}", "[\"a\"]"}
	seen := map[string]any{}
	for _, v := range trees {
		r := recipe{}
		r.value("x", schema.Value{Tree: v})
		if other, ok := seen[r.reads[0].Digest]; ok {
			t.Errorf("%#v and %#v are written alike", v, other)
		}
		seen[r.reads[0].Digest] = v
	}
}

func TestManyFilesAreOneIngredient(t *testing.T) {
	t.Parallel()
	p := stagePlan()
	for i := range manyFiles {
		p.Inputs = append(p.Inputs, Input{Path: fmt.Sprintf("%s/t/files/f%d", p.Cwd, i), Mode: 0o644, Digest: digestOf("x")})
	}
	a := mustStages(t, p, stageTestOptions)
	if last := a[3].Reads[len(a[3].Reads)-1]; last.Name != "files" {
		t.Errorf("reads %q", last.Name)
	}
	p.Inputs[len(p.Inputs)-1].Digest = digestOf("y")
	if got := changed(a, mustStages(t, p, stageTestOptions)); got != "...XX" {
		t.Errorf("changed %s", got)
	}
}

// Every field of a plan says whether it reaches the guest. A new field that does not fails here: tag it guest:"yes",
// "artifact" or "no", or take care of it in Stages and tag it "apart".
func TestEveryFieldOfAPlanIsDeclared(t *testing.T) {
	t.Parallel()
	for _, typ := range []reflect.Type{reflect.TypeFor[Plan](), reflect.TypeFor[ProvisionPlan](), reflect.TypeFor[PostPlan](), reflect.TypeFor[Input]()} {
		if missing := schema.Undeclared(typ); len(missing) > 0 {
			t.Errorf("%s does not declare the reach of %s", typ, strings.Join(missing, ", "))
		}
	}
}

func TestStagesReportsBadArguments(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(p *Plan){
		"provisioner 1 (script)": func(p *Plan) { p.Provisioners[0].Args = []byte(`[1]`) },
		"post-processor pack":    func(p *Plan) { p.Post[0][0].Args = []byte(`{`) },
		"driver's options":       func(p *Plan) { p.Machine.Options = []byte(`{`) },
	} {
		p := stagePlan()
		change(p)
		if _, err := p.Stages(stageParts(), stageTestOptions); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
