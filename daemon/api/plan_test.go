package api_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/client"
	"github.com/boxkiln/boxkiln/daemon/wire"
)

// oracle explains every plan in the same way.
type oracle struct {
	stages []build.StageStatus
	fail   error
	asked  []string
}

func (o *oracle) Explain(_ context.Context, p *build.Plan) ([]build.StageStatus, error) {
	o.asked = append(o.asked, p.Label)
	return o.stages, o.fail
}

func TestExplain(t *testing.T) {
	t.Parallel()
	k := newKiln(t)
	o := &oracle{stages: []build.StageStatus{
		{Stage: build.Stage{Name: build.StageInstalled, Fingerprint: "f1", Reads: []build.Ingredient{{Name: "media", Digest: "d"}}, MaxAge: time.Hour},
			Cached: true, Made: build.Stamp(time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC))},
		{Stage: build.Stage{Name: build.StageArtifact, Fingerprint: "f2", Never: "cache = false"}, Why: "cache = false"},
	}}
	k.server.Explainer = o
	c := client.Socket(k.socket)
	defer c.Close()
	got, err := c.Explain(t.Context(), []build.Plan{{Label: "a"}, {Label: "b"}})
	if err != nil {
		t.Fatal(err)
	}
	same := cmp.Comparer(func(a, b build.Stamp) bool { return a.Time().Equal(b.Time()) })
	if d := cmp.Diff([]wire.Explanation{{Label: "a", Stages: o.stages}, {Label: "b", Stages: o.stages}}, got, same); d != "" {
		t.Error(d)
	}
	o.fail = wire.Errorf(wire.CodeBadRequest, "another format")
	var refused *wire.Error
	if _, err := c.Explain(t.Context(), []build.Plan{{}}); !errors.As(err, &refused) || refused.Code != wire.CodeBadRequest {
		t.Error(err)
	}
}
