package daemon

import (
	"encoding/json"
	"testing"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/hypervisor"
)

// toucher is a planner whose options are what they do on the host.
type toucher struct{ hypervisor.Planner }

func (toucher) TouchesHost(options json.RawMessage) string { return string(options) }

// TestHostAccess: what reaches into the host of a daemon is told, whichever driver it is for.
func TestHostAccess(t *testing.T) {
	t.Parallel()
	parts := build.Parts{Sources: map[string]build.SourceKind{"own": {Planner: toucher{}}, "plain": {}}}
	for name, c := range map[string]struct {
		builder string
		change  func(p *build.Plan)
		reaches bool
	}{
		"nothing":                  {"plain", func(*build.Plan) {}, false},
		"the driver says so":       {"own", func(p *build.Plan) { p.Machine.Options = json.RawMessage("it runs commands") }, true},
		"medium of the host":       {"plain", func(p *build.Plan) { p.Media.ISOURL = "/x.iso" }, true},
		"machine of the host":      {"plain", func(p *build.Plan) { p.Machine.Source = "/x.ova" }, true},
		"machine that was sent":    {"plain", func(p *build.Plan) { p.Machine.Source, p.SourceFiles = "x.ova", []string{"/home/u/x.ova"} }, false},
		"machine of the network":   {"plain", func(p *build.Plan) { p.Machine.Source = "https://h/x.ova" }, false},
		"place to keep a download": {"plain", func(p *build.Plan) { p.Machine.Source, p.Machine.SourceTarget = "https://h/x.ova", "/x" }, true},
	} {
		p := &build.Plan{Builder: c.builder}
		c.change(p)
		if got := hostAccess(p, parts); (got != "") != c.reaches {
			t.Errorf("%s: %q", name, got)
		}
	}
}
