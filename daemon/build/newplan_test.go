package build

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/template"
)

func TestNewPlanTakesWhatIsSaidAboutTheCache(t *testing.T) {
	t.Parallel()
	no := false
	uses := []template.Use{{Arg: "inline", Function: "timestamp"}}
	src := &template.Source{
		Type: "qemu", Name: "a", Args: json.RawMessage(`{"iso_url":"x.iso","iso_checksum":"none","communicator":"none","cache":false,"cache_max_age":"90m"}`), Volatile: uses,
		PostProcessors: [][]template.PostProcessor{{{Type: "pack", Args: json.RawMessage(`{}`), Volatile: uses}}},
	}
	tmpl := &template.Template{Path: "x.pkr.hcl", Dir: "/t", Builds: []template.Build{{}}}
	options := PlanOptions{Cwd: "/t", Options: Options{NoCache: []string{"web"}, Fresh: true, CacheMaxAge: time.Hour}}
	p, err := NewPlan(tmpl, src, stageParts(), options)
	if err != nil {
		t.Fatal(err)
	}
	if p.Cache.Cache == nil || *p.Cache.Cache || time.Duration(p.Cache.CacheMaxAge) != 90*time.Minute || !p.Options.Fresh {
		t.Errorf("%+v, %+v", p.Cache, p.Options)
	}
	if d := cmp.Diff(uses, p.Volatile) + cmp.Diff(uses, p.Post[0][0].Volatile); d != "" {
		t.Error(d)
	}
	c := planner{parts: stageParts(), plan: p}
	if got := c.provisioner(template.Provisioner{Type: "script", Cache: &no, CacheMaxAge: time.Minute, Volatile: uses}); got.Cache != &no || got.CacheMaxAge != time.Minute || len(got.Volatile) != 1 {
		t.Errorf("%+v", got)
	}
	src.Args = json.RawMessage(`{"iso_url":"x.iso","iso_checksum":"none","communicator":"none","cache_max_age":"-1h"}`)
	if _, err := NewPlan(tmpl, src, stageParts(), options); err == nil || !strings.Contains(err.Error(), "cache_max_age = -1h") {
		t.Error(err)
	}
}
