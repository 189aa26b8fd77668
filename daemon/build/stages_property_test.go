package build

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/internal/schema"
)

// words are short enough that two lists of them often say the same when they are run together.
var words = rapid.SampledFrom([]string{"", "a", "b", "ab", "abc", "a\nb", "<&>", "é", "secret-one", "x secret-one y", "secret-two", "{{ .HTTPIP }}", "\"", "[", "null", "0"})

func raw(t *rapid.T, v any) json.RawMessage {
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// drawPlan makes a plan of any shape whose texts, files and secrets are drawn.
func drawPlan(t *rapid.T) *Plan {
	p := stagePlan()
	list := func(name string) []string { return rapid.SliceOfN(words, 0, 3).Draw(t, name) }
	table := func(name string) map[string]string { return rapid.MapOfN(words, words, 0, 3).Draw(t, name) }
	p.Secrets, p.Private = []string{"secret-one", "secret", "secret-two"}, []string{"vagrant", "a passphrase of many words"}
	p.Boot.BootCommand = list("boot command")
	p.CD.Content, p.Seed.Content, p.Floppy.Content = table("cd"), table("http"), table("floppy")
	p.Machine.CPUs = rapid.IntRange(0, 8).Draw(t, "cpus")
	p.Machine.Firmware = hypervisor.Firmware{UEFI: rapid.Bool().Draw(t, "uefi"), Code: words.Draw(t, "code"), Vars: words.Draw(t, "vars")}
	p.Machine.Disks = make([]hypervisor.Disk, rapid.IntRange(0, 3).Draw(t, "disks"))
	p.Provisioners = nil
	for i := range rapid.IntRange(0, 4).Draw(t, "provisioners") {
		args := map[string]any{"inline": list("inline"), "env": table("env"), "scripts": []string{fmt.Sprintf("t/s/%d", i)}, "pause_after": words.Draw(t, "pause")}
		p.Provisioners = append(p.Provisioners, ProvisionPlan{Type: "script", Args: raw(t, args)})
		p.Inputs = append(p.Inputs, Input{Path: fmt.Sprintf("%s/t/s/%d", p.Cwd, i), Mode: 0o644, Digest: digestOf(words.Draw(t, "content"))})
	}
	p.Post = append(p.Post, []PostPlan{{Type: "pack", Args: raw(t, map[string]any{"output": words.Draw(t, "output")})}})
	return p
}

func drawnStages(t *rapid.T, p *Plan) []Stage {
	stages, err := p.Stages(stageParts(), stageTestOptions)
	if err != nil {
		t.Fatal(err)
	}
	return stages
}

// wantSame fails unless two plans have the same fingerprints.
func wantSame(t *rapid.T, what string, a []Stage, p *Plan) {
	if got := changed(a, drawnStages(t, p)); strings.Contains(got, "X") {
		t.Errorf("%s changes %s", what, got)
	}
}

func TestEqualPlansHaveEqualFingerprints(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := drawPlan(t)
		before := drawnStages(t, p)
		wantSame(t, "nothing", before, p)

		var again Plan
		if err := json.Unmarshal(raw(t, p), &again); err != nil {
			t.Fatal(err)
		}
		wantSame(t, "a round trip", before, &again)
		public, secrets, err := Seal(p)
		if err != nil {
			t.Fatal(err)
		}
		opened, err := Unseal(public, secrets)
		if err != nil {
			t.Fatal(err)
		}
		wantSame(t, "sealing", before, opened)

		again.Secrets = rapid.Permutation(p.Secrets).Draw(t, "secrets")
		again.Inputs = rapid.Permutation(p.Inputs).Draw(t, "inputs")
		wantSame(t, "another order", before, &again)
		for i := range again.Inputs {
			rel, err := filepath.Rel(p.Cwd, again.Inputs[i].Path)
			if err != nil {
				t.Fatal(err)
			}
			again.Inputs[i].Path = filepath.Join("/srv/other", rel)
		}
		again.Cwd, again.TemplateDir = "/srv/other", "/srv/other/t"
		wantSame(t, "another folder", before, &again)
	})
}

// leaf is a field of a plan that can be changed.
type leaf struct {
	path  string
	value reflect.Value
	reach schema.Reach
	from  int // the first stage that it can be part of; for the reach "artifact" the last stage counts
}

// leaves lists the fields below v by what they declare. Those that count apart are left out.
func leaves(v reflect.Value, path string, inherited schema.Reach, from int) []leaf {
	switch {
	case v.Kind() == reflect.Struct && v.NumField() > 0 && v.Type() != reflect.TypeFor[time.Time]():
		var all []leaf
		for i := range v.NumField() {
			f := v.Type().Field(i)
			reach := inherited
			if tag := schema.Reach(f.Tag.Get("guest")); inherited != schema.StaysOutside && tag != "" {
				reach = tag
			}
			if reach != schema.CountsApart {
				all = append(all, leaves(v.Field(i), path+"."+f.Name, reach, from)...)
			}
		}
		return all
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct && inherited != schema.StaysOutside:
		var all []leaf
		for i := range v.Len() {
			all = append(all, leaves(v.Index(i), fmt.Sprintf("%s[%d]", path, i), inherited, from)...)
		}
		return all
	}
	return []leaf{{path, v, inherited, from}}
}

// mutate gives a value another one.
func mutate(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(v.String() + "~")
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Int, reflect.Int64:
		v.SetInt(v.Int() + 1)
	case reflect.Uint32:
		v.SetUint(v.Uint() + 1)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
	case reflect.Map:
		m := reflect.MakeMap(v.Type())
		for it := v.MapRange(); it.Next(); {
			m.SetMapIndex(it.Key(), it.Value())
		}
		m.SetMapIndex(reflect.ValueOf("~").Convert(v.Type().Key()), reflect.Zero(v.Type().Elem()))
		v.Set(m)
	case reflect.Slice:
		v.Set(reflect.Append(v.Slice3(0, v.Len(), v.Len()), reflect.Zero(v.Type().Elem())))
	default:
		panic("a plan has a field of kind " + v.Kind().String() + ": teach the test to change it")
	}
}

// elsewhere are fields that say where things lie: changing one alone makes another template of it.
var elsewhere = []string{".Cwd", ".TemplateDir"}

// planLeaves lists every field of a plan that declares its reach, those of the provisioners and post-processors too.
func planLeaves(p *Plan) []leaf {
	all := leaves(reflect.ValueOf(p).Elem(), "", schema.SaysInside, 0)
	for i := range p.Provisioners {
		all = append(all, leaves(reflect.ValueOf(&p.Provisioners[i]).Elem(), fmt.Sprintf(".Provisioners[%d]", i), schema.SaysInside, 1+i)...)
	}
	last := 1 + len(p.Provisioners)
	for i := range p.Post {
		for j := range p.Post[i] {
			all = append(all, leaves(reflect.ValueOf(&p.Post[i][j]).Elem(), fmt.Sprintf(".Post[%d][%d]", i, j), schema.SaysInside, last)...)
		}
	}
	return slices.DeleteFunc(all, func(l leaf) bool { return slices.Contains(elsewhere, l.path) })
}

// marks are what changed must give for a change that concerns n stages from one on.
func marks(stages, from int) string {
	return strings.Repeat(".", from) + strings.Repeat("X", stages-from)
}

func (l leaf) marks(stages int) string {
	switch l.reach {
	case schema.ReachesGuest:
		return marks(stages, l.from)
	case schema.ReachesArtifact:
		return marks(stages, stages-1)
	}
	return marks(stages, stages)
}

// Whatever reaches the guest changes the fingerprint of its stage and all later ones, and nothing else changes any.
func TestEveryFieldReachesAsFarAsItSays(t *testing.T) {
	t.Parallel()
	for i := range planLeaves(stagePlan()) {
		p := stagePlan()
		before := mustStages(t, p, stageTestOptions)
		l := planLeaves(p)[i]
		mutate(l.value)
		if got := changed(before, mustStages(t, p, stageTestOptions)); got != l.marks(len(before)) {
			t.Errorf("%s reaches %q, and changes %s instead of %s", l.path, l.reach, got, l.marks(len(before)))
		}
	}
}

func TestOneMutationChangesWhatItReaches(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := drawPlan(t)
		before := drawnStages(t, p)
		all := planLeaves(p)
		l := all[rapid.IntRange(0, len(all)-1).Draw(t, "field")]
		mutate(l.value)
		if got, want := changed(before, drawnStages(t, p)), l.marks(len(before)); got != want {
			t.Errorf("%s reaches %q, and changes %s instead of %s", l.path, l.reach, got, want)
		}
	})
}

func TestOneFileChangesItsStage(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := drawPlan(t)
		before := drawnStages(t, p)
		in := &p.Inputs[rapid.IntRange(0, len(p.Inputs)-1).Draw(t, "file")]
		want := marks(len(before), len(before)) // of a file that no stage reads: those of stagePlan's provisioners
		rel := strings.TrimPrefix(in.Path, p.Cwd+"/")
		var n int
		switch {
		case strings.HasPrefix(rel, "t/http"), strings.HasPrefix(rel, "t/cd/"):
			want = marks(len(before), 0)
		case rel == "t/info.json":
			want = marks(len(before), len(before)-1)
		}
		if _, err := fmt.Sscanf(rel, "t/s/%d", &n); err == nil {
			want = marks(len(before), 1+n)
		}
		if rapid.Bool().Draw(t, "mode") && !in.Mode.IsDir() {
			in.Mode ^= 0o111
		} else {
			in.Digest = digestOf("another content")
		}
		if got := changed(before, drawnStages(t, p)); got != want {
			t.Errorf("%s changes %s, want %s", rel, got, want)
		}
	})
}

// Two provisioners have the same fingerprint if, and only if, their arguments are the same.
func TestDifferentArgumentsNeverShareAFingerprint(t *testing.T) {
	t.Parallel()
	type args struct {
		Inline []string          `json:"inline,omitempty"`
		Env    map[string]string `json:"env,omitempty"`
	}
	draw := rapid.Custom(func(t *rapid.T) args {
		return args{rapid.SliceOfN(words, 1, 3).Draw(t, "inline"), rapid.MapOfN(words, words, 1, 2).Draw(t, "env")}
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := draw.Draw(t, "a"), draw.Draw(t, "b")
		if rapid.IntRange(0, 3).Draw(t, "same") == 0 {
			b = a
		}
		fingerprint := func(x args) string {
			p := &Plan{Name: "n", Builder: "qemu", Secrets: []string{"secret-one"}, Provisioners: []ProvisionPlan{{Type: "script", Args: raw(t, x)}}}
			return drawnStages(t, p)[1].Fingerprint
		}
		if same := fingerprint(a) == fingerprint(b); same != reflect.DeepEqual(a, b) {
			t.Errorf("%q and %q: equal fingerprints %v", a, b, same)
		}
	})
}
