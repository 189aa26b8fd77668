package schema_test

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/zclconf/go-cty/cty"

	"github.com/boxkiln/boxkiln/internal/schema"
)

type media struct {
	URL      string   `json:"iso_url" doc:"Where the ISO is." arg:"required" guest:"yes"`
	URLs     []string `json:"iso_urls" doc:"Several places." guest:"yes"`
	Checksum string   `json:"iso_checksum" doc:"Its checksum."`
}

type shared struct {
	Password string          `json:"ssh_password" doc:"Password." arg:"sensitive" guest:"no"`
	Timeout  schema.Duration `json:"ssh_timeout" doc:"How long." guest:"no"`
}

type nic struct {
	Bridge string `json:"bridge" doc:"A bridge." arg:"required"`
	MTU    uint16 `json:"mtu" doc:"Its MTU."`
}

type machine struct {
	shared
	CPUs     int               `json:"cpus" doc:"Processors."`
	Headless *bool             `json:"headless" doc:"No window."`
	Commands []string          `json:"boot_command" doc:"Keys." arg:"late,required"`
	QemuArgs [][]string        `json:"qemuargs" doc:"Switches." arg:"late"`
	Content  map[string]string `json:"http_content" doc:"Files."`
	Exit     []int             `json:"valid_exit_codes" doc:"Good ends."`
	Any      json.RawMessage   `json:"custom" doc:"Anything."`
	NICs     []nic             `json:"network_interface" doc:"A card." arg:"block"`
	Extra    *nic              `json:"extra" doc:"One more." arg:"block"`
	_        int               // not exported: no argument
}

func block() *schema.Block { return schema.New("qemu", "A test.", media{}, machine{}, &shared{}) }

func TestNewReadsTags(t *testing.T) {
	t.Parallel()
	b := block()
	want := []string{"boot_command", "cpus", "custom", "extra", "headless", "http_content", "iso_checksum", "iso_url", "iso_urls",
		"network_interface", "qemuargs", "ssh_password", "ssh_timeout", "valid_exit_codes"}
	if diff := cmp.Diff(want, b.Names()); diff != "" {
		t.Errorf("names: %s", diff)
	}
	types := map[string]cty.Type{
		"iso_url": cty.String, "iso_urls": cty.List(cty.String), "cpus": cty.Number, "headless": cty.Bool, "ssh_timeout": cty.String,
		"qemuargs": cty.List(cty.List(cty.String)), "http_content": cty.Map(cty.String), "valid_exit_codes": cty.List(cty.Number), "custom": cty.DynamicPseudoType,
	}
	for name, typ := range types {
		if got := b.Arg(name).Type; !got.Equals(typ) {
			t.Errorf("%s has type %s, want %s", name, got.FriendlyName(), typ.FriendlyName())
		}
	}
	if a := b.Arg("boot_command"); !a.Late || !a.Required || a.Sensitive || a.Doc != "Keys." {
		t.Errorf("boot_command: %+v", a)
	}
	if a := b.Arg("ssh_password"); !a.Sensitive || a.Guest != schema.StaysOutside {
		t.Errorf("ssh_password: %+v", a)
	}
	if a := b.Arg("network_interface"); a.Block == nil || !a.Repeat || a.Block.Arg("mtu") == nil {
		t.Errorf("network_interface: %+v", a)
	}
	if a := b.Arg("extra"); a.Block == nil || a.Repeat {
		t.Errorf("extra: %+v", a)
	}
	if b.Arg("iso_url").Guest != schema.ReachesGuest || b.Arg("nothing") != nil {
		t.Error("iso_url does not reach the guest, or there is an argument that nobody declared")
	}
	if u := schema.Unbuilt("chef-solo", "", "nobody wrote it", media{}); u.Missing != "nobody wrote it" {
		t.Errorf("Missing is %q", u.Missing)
	}
}

func TestNewPanicsOnGroupsThatCannotBeDescribed(t *testing.T) {
	t.Parallel()
	for name, group := range map[string]any{
		"no struct": 1,
		"no tag":    struct{ A string }{},
		"a channel": struct {
			A chan int `json:"a"`
		}{},
		"unknown flag": struct {
			A int `json:"a" arg:"latee"`
		}{},
		"two types": struct {
			A int `json:"iso_url"`
		}{},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			schema.New("x", "", media{}, group)
		}()
	}
}

func TestConvert(t *testing.T) {
	t.Parallel()
	str, num := cty.StringVal, cty.NumberIntVal
	list := func(v ...cty.Value) cty.Value { return cty.TupleVal(v) }
	object := func(k string, v cty.Value) cty.Value { return cty.ObjectVal(map[string]cty.Value{k: v}) }
	tests := []struct {
		name  string
		value cty.Value
		hcl   string // what Strict makes of it; an error if it does not begin like JSON
		json  string // what Weak makes of it; empty: the same
	}{
		{"iso_checksum", str("none"), `"none"`, ""},
		{"iso_checksum", num(10), `"10"`, ""},
		{"iso_checksum", cty.True, `"true"`, `"1"`},
		{"iso_checksum", list(), "a string is needed, not a list", ""},
		{"cpus", str("2"), `2`, ""},
		{"cpus", str("0x10"), "a number is needed", `16`},
		{"cpus", str(""), "a number is needed", `0`},
		{"cpus", cty.True, "a number is needed, not true", `1`},
		{"cpus", cty.NumberFloatVal(1.5), "a whole number is needed, not 1.5", ""},
		{"cpus", cty.NumberVal(cty.MustParseNumberVal("1e30").AsBigFloat()), "a whole number is needed", ""},
		{"custom", cty.NumberVal(cty.MustParseNumberVal("1e9999").AsBigFloat()), "the number 1e+9999 is too large or too small", ""},
		{"headless", str("true"), `true`, ""},
		{"headless", str("T"), "true or false is needed", `true`},
		{"headless", str(""), "true or false is needed", `false`},
		{"headless", num(1), "true or false is needed, not 1", `true`},
		{"ssh_timeout", str("1h5m"), `"1h5m"`, ""},
		{"ssh_timeout", num(10), `"10" is not a duration`, ""},
		{"ssh_timeout", str("soon"), `"soon" is not a duration`, ""},
		{"iso_urls", list(str("a"), num(1)), `["a","1"]`, ""},
		{"iso_urls", str("a"), "a list of strings is needed", `["a"]`},
		{"iso_urls", str("a,b"), "a list of strings is needed", `["a","b"]`},
		{"iso_urls", str(""), "a list of strings is needed", `[]`},
		{"qemuargs", list(list(str("-m"), num(512)), list(str("-nographic"))), `[["-m","512"],["-nographic"]]`, ""},
		{"http_content", object("/a", num(1)), `{"/a":"1"}`, ""},
		{"http_content", list(object("/a", str("x")), object("/b", str("y"))), "a map of strings is needed", `{"/a":"x","/b":"y"}`},
		{"http_content", object("/a", cty.True), `{"/a":"true"}`, `{"/a":"1"}`},
		{"valid_exit_codes", list(num(0), str("3")), `[0,3]`, ""},
		{"valid_exit_codes", num(3), "a list of numbers is needed", `[3]`},
		{"custom", object("a", list(num(1), str("x"))), `{"a":[1,"x"]}`, ""},
		{"network_interface", object("bridge", str("br0")), `[{"bridge":"br0"}]`, ""},
		{"network_interface", list(object("bridge", str("a")), object("bridge", str("b"))), `[{"bridge":"a"},{"bridge":"b"}]`, ""},
		{"network_interface", str("x"), `a block is needed, not "x"`, ""},
		{"network_interface", list(object("bridge", str("a")), object("mtu", num(1))), `a required argument is missing: "bridge"`, ""},
		{"network_interface", list(cty.ObjectVal(map[string]cty.Value{"bridge": str("a"), "mtu": num(-1)})), `a whole number of at least 0 is needed, not -1`, ""},
		{"extra", object("bridge", str("br0")), `{"bridge":"br0"}`, ""},
		{"extra", list(object("bridge", str("a")), object("bridge", str("b"))), "this block can be given only once", ""},
		{"boot_command", list(str("<enter>&")), `["<enter>&"]`, ""},
	}
	base := map[string]cty.Value{"iso_url": str("u"), "boot_command": list()}
	for _, test := range tests {
		for _, how := range []schema.Leniency{schema.Strict, schema.Weak} {
			want := test.hcl
			if how == schema.Weak && test.json != "" {
				want = test.json
			}
			args := map[string]cty.Value{}
			for k, v := range base {
				args[k] = v
			}
			args[test.name] = test.value
			out, problems := block().Convert(args, how)
			if strings.Contains(want, " is needed") || strings.Contains(want, "missing") || strings.Contains(want, "only once") || strings.Contains(want, "is not a") || strings.Contains(want, "too large") {
				if len(problems) != 1 || !strings.Contains(problems[0].Err.Error(), want) || !strings.HasPrefix(problems[0].Path, test.name) {
					t.Errorf("%s = %#v: problems %v, want %q", test.name, test.value, problems, want)
				}
				continue
			}
			var got map[string]json.RawMessage
			if len(problems) > 0 || json.Unmarshal(out, &got) != nil {
				t.Errorf("%s = %#v: %v", test.name, test.value, problems)
			} else if diff := cmp.Diff(compact(t, want), compact(t, string(got[test.name]))); diff != "" {
				t.Errorf("%s (%v): %s", test.name, how, diff)
			}
		}
	}
}

// compact makes texts of equal JSON equal.
func compact(t *testing.T, s string) string {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(s), &v); err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	b, _ := json.Marshal(v)
	return string(b)
}

func TestConvertFindsEveryProblem(t *testing.T) {
	t.Parallel()
	_, problems := block().Convert(map[string]cty.Value{
		"iso_uri":      cty.StringVal("x"),
		"cpus":         cty.StringVal("many"),
		"ssh_password": cty.NullVal(cty.String),
		"network_interface": cty.TupleVal([]cty.Value{
			cty.ObjectVal(map[string]cty.Value{"bridge": cty.StringVal("b"), "mtuu": cty.StringVal("x")})}),
	}, schema.Strict)
	var got []string
	for _, p := range problems {
		got = append(got, p.Path+": "+p.Err.Error()+" | "+p.Remedy)
	}
	want := []string{
		`cpus: a number is needed, not "many" | `,
		`iso_uri: no such argument: "iso_uri" | did you mean "iso_url"?`,
		`network_interface[0].mtuu: no such argument: "mtuu" | did you mean "mtu"?`,
		`boot_command: a required argument is missing: "boot_command" | Keys.`,
		`iso_url: a required argument is missing: "iso_url" | Where the ISO is.`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if !errors.Is(problems[1].Err, schema.ErrUnknownArgument) || !errors.Is(problems[4].Err, schema.ErrMissingArgument) {
		t.Error("the problems cannot be told apart")
	}
}

func TestConvertIsCanonicalAndDecodes(t *testing.T) {
	t.Parallel()
	out, problems := block().Convert(map[string]cty.Value{
		"ssh_timeout": cty.StringVal("10s"), "iso_url": cty.StringVal("a"), "cpus": cty.StringVal("4"),
		"iso_checksum": cty.UnknownVal(cty.String), "boot_command": cty.ListVal([]cty.Value{cty.StringVal("x")}),
	}, schema.Strict)
	if want := `{"boot_command":["x"],"cpus":4,"iso_url":"a","ssh_timeout":"10s"}`; len(problems) > 0 || string(out) != want {
		t.Fatalf("%s %v, want %s", out, problems, want)
	}
	var m machine
	if err := json.Unmarshal(out, &m); err != nil || m.CPUs != 4 || m.Timeout.Or(0) != 10*time.Second {
		t.Fatalf("%+v %v", m, err)
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	known := []string{"virtualbox-iso", "vmware-iso", "qemu", "iso_checksum", "md5"}
	for name, want := range map[string]string{
		"virtualbox_iso": "virtualbox-iso", "QEMU": "qemu", "iso_checksun": "iso_checksum", "zzz": "", "": "", "completely_else": "",
	} {
		if got := schema.Nearest(name, known); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestDuration(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{`"10s"`: 10 * time.Second, `""`: 0, `"-1s"`: -time.Second} {
		var d schema.Duration
		if err := json.Unmarshal([]byte(text), &d); err != nil || time.Duration(d) != want {
			t.Errorf("%s is %v, %v", text, d, err)
		}
		back, err := json.Marshal(d)
		var again schema.Duration
		if err != nil || json.Unmarshal(back, &again) != nil || again != d {
			t.Errorf("%s came back as %s, %v", text, back, err)
		}
	}
	for _, text := range []string{`10`, `"10"`, `{}`, `"1 day"`} {
		var d schema.Duration
		if err := json.Unmarshal([]byte(text), &d); err == nil {
			t.Errorf("%s was taken as %v", text, time.Duration(d))
		}
	}
	if schema.Duration(0).Or(math.MaxInt64) != math.MaxInt64 {
		t.Error("Or does not fall back")
	}
}
