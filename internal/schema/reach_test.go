package schema_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/internal/schema"
)

type (
	reachCard struct {
		Model string `json:"model" guest:"yes"`
		Port  int    `json:"port" guest:"no"`
	}
	reachInner struct {
		Wait schema.Duration `json:"wait" guest:"yes"`
		Pack bool            `json:"pack" guest:"artifact"`
	}
	reachEmbedded struct {
		Title string `json:"title" arg:"late" guest:"yes"`
	}
	reachOuter struct {
		reachEmbedded
		Cards   []reachCard        `json:"cards" guest:"yes"`
		First   reachCard          `json:"first" guest:"yes"`
		Second  *reachCard         `json:"second" guest:"yes"`
		Content map[string]string  `json:"content" guest:"yes"`
		Files   []string           `json:"files" arg:"local" guest:"yes"`
		Off     *bool              `json:"off" guest:"yes"`
		Inner   reachInner         `json:"inner" guest:"inside"`
		Name    string             `json:"name" guest:"no"`
		Apart   json.RawMessage    `json:"apart" guest:"apart"`
		Unknown struct{ A string } `json:"unknown" guest:"no"`
	}
)

func TestReaching(t *testing.T) {
	t.Parallel()
	off := false
	full := reachOuter{Cards: []reachCard{{"a", 1}, {}}, First: reachCard{Port: 9}, Second: &reachCard{Model: "b"}, Content: map[string]string{"x": "<"},
		Files: []string{"f"}, Off: &off, Inner: reachInner{Wait: 5e9, Pack: true}, Name: "n", Apart: json.RawMessage(`1`)}
	full.Title = "t"
	for name, c := range map[string]struct {
		group reachOuter
		reach schema.Reach
		want  []schema.Value
	}{
		"nothing": {reachOuter{Cards: []reachCard{}, Content: map[string]string{}, Name: "n"}, schema.ReachesGuest, nil},
		"the guest": {full, schema.ReachesGuest, []schema.Value{
			{Name: "title", Tree: "t", Late: true},
			{Name: "cards", Tree: []any{map[string]any{"model": "a"}, map[string]any{}}},
			{Name: "second", Tree: map[string]any{"model": "b"}},
			{Name: "content", Tree: map[string]any{"x": "<"}},
			{Name: "files", Tree: []any{"f"}, Local: true},
			{Name: "off", Tree: false},
			{Name: "wait", Tree: "5s"},
		}},
		"the artifact": {full, schema.ReachesArtifact, []schema.Value{{Name: "pack", Tree: true}}},
	} {
		got, err := schema.Reaching(&c.group, c.reach)
		if d := cmp.Diff(c.want, got); d != "" || err != nil {
			t.Errorf("%s: %s%v", name, d, err)
		}
	}
}

func TestBlockReaching(t *testing.T) {
	t.Parallel()
	type args struct {
		Inline []string    `json:"inline" arg:"late" guest:"yes"`
		Pause  string      `json:"pause" guest:"no"`
		Old    string      `json:"old"`
		Cards  []reachCard `json:"cards" arg:"block" guest:"yes"`
	}
	b := schema.New("x", "", args{})
	raw := json.RawMessage(`{"pause":"1s","inline":["a",1.50],"old":"o","cards":[{"model":"m","port":2}],"strange":true,"none":null}`)
	number := json.Number("1.50")
	cards := []any{map[string]any{"model": "m"}}
	want := []schema.Value{{Name: "cards", Tree: cards}, {Name: "inline", Tree: []any{"a", number}, Late: true},
		{Name: "old", Tree: "o"}, {Name: "strange", Tree: true}}
	got, err := b.Reaching(raw, schema.ReachesGuest)
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Error(d, err)
	}
	all, err := b.Reaching(raw)
	if len(all) != 5 || err != nil {
		t.Errorf("%v, %v", all, err)
	}
	var none *schema.Block
	if all, err := none.Reaching(raw, schema.ReachesGuest); len(all) != 5 || err != nil {
		t.Errorf("of an unknown kind: %v, %v", all, err)
	}
	if all, err := b.Reaching(nil); all != nil || err != nil {
		t.Errorf("%v, %v", all, err)
	}
	for _, bad := range []string{"[]", "{", "{} {}"} {
		if _, err := b.Reaching([]byte(bad)); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}

func TestUndeclared(t *testing.T) {
	t.Parallel()
	if got := schema.Undeclared(reflect.TypeFor[reachOuter]()); got != nil {
		t.Errorf("%q", got)
	}
	type inner struct {
		A string `json:"a"`
		B string `json:"b" guest:"maybe"`
	}
	type outer struct {
		C string  `json:"c"`
		D []inner `json:"d" guest:"yes"`
		E inner   `json:"e" guest:"no"`
	}
	if d := cmp.Diff([]string{"C", "D.A", "D.B"}, schema.Undeclared(reflect.TypeFor[outer]())); d != "" {
		t.Error(d)
	}
}
