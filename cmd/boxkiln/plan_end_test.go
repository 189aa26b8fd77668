package main

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/boxkiln/boxkiln/daemon/wire"
)

// fingerprints takes those of a plan's output, in order.
func (r result) fingerprints() []string {
	return regexp.MustCompile(`  [0-9a-f]{12}  `).FindAllString(r.stdout, -1)
}

// TestPlan follows what boxkiln plan says of a template through builds and changes.
func TestPlan(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	template := b.scripted(nil, b.script("base.sh", "base runs"), b.script("web.sh", "web runs"))
	plan := func(args ...string) result { return b.run(append(append([]string{"plan"}, args...), template)...) }

	cold := plan()
	cold.wants(t, exitOK, "installed", "to run: never built", "provision[2] shell", "artifact")
	b.run("build", template).wants(t, exitOK, "Creating the machine")
	warm := plan()
	warm.wants(t, exitOK, "cached, made")
	if strings.Contains(warm.stdout, "to run") || strings.Join(cold.fingerprints(), "") != strings.Join(warm.fingerprints(), "") {
		t.Errorf("before:\n%s\nafter:\n%s", cold.stdout, warm.stdout)
	}
	plan("--fresh").wants(t, exitOK, "to run: --fresh")
	plan("--no-cache=shell").wants(t, exitOK, "to run: --no-cache=shell")
	plan("--no-cache=wbe").wants(t, exitFailed, "--no-cache=wbe: no source and no provisioner")
	plan("--cache-max-age=1ns").wants(t, exitOK, "to run: older than 1ns")

	b.script("web.sh", "web runs anew")
	changed := plan()
	changed.wants(t, exitOK, "provision[1] shell", "cached, made", "to run: `web.sh` changed")
	a, c := warm.fingerprints(), changed.fingerprints()
	if len(c) != 4 || a[0] != c[0] || a[1] != c[1] || a[2] == c[2] || a[3] == c[3] {
		t.Errorf("%q became %q", a, c)
	}
	var e wire.Explanation
	if err := json.Unmarshal([]byte(plan("--json").stdout), &e); err != nil || len(e.Stages) != 4 || e.Stages[2].Why != "`web.sh` changed" {
		t.Errorf("%+v, %v", e, err)
	}
	if _, err := os.Stat(b.path("solo.box")); err != nil {
		t.Error(err)
	}
	b.nothingLeft()
}
