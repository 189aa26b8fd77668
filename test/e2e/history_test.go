package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// event is a line of a build's log, as far as the tests read it.
type event struct {
	Time                    time.Time
	Kind, Text, Step, Phase string
	Attempt                 int
}

// history is the log of a build.
type history []event

// history reads the log that the daemon keeps of a build.
func (k *kiln) history(id string) history {
	k.t.Helper()
	data, err := os.ReadFile(filepath.Join(k.data, "builds", id, "log"))
	if err != nil {
		k.t.Fatal(err)
	}
	var h history
	for line := range bytes.Lines(data) {
		var e event
		if err := json.Unmarshal(line, &e); err != nil {
			k.t.Fatalf("the log of %s: %v: %s", id, err, line)
		}
		h = append(h, e)
	}
	return h
}

// attempt is what the nth run of the build told; the first is 1.
func (h history) attempt(n int) history {
	began := func(n int) func(event) bool { return func(e event) bool { return e.Attempt == n } }
	first := slices.IndexFunc(h, began(n))
	if first < 0 {
		return nil
	}
	h = h[first:]
	if next := slices.IndexFunc(h, began(n+1)); next >= 0 {
		h = h[:next]
	}
	return h
}

// count tells how many lines have text in them.
func (h history) count(text string) int {
	n := 0
	for _, e := range h {
		if strings.Contains(e.Text, text) {
			n++
		}
	}
	return n
}

// ran lists the steps whose names begin so and which ended well, without those that were cached.
func (h history) ran(prefix string) []string {
	var names []string
	for _, e := range h {
		if e.Kind == "step" && e.Phase == "done" && strings.HasPrefix(e.Step, prefix) {
			names = append(names, e.Step)
		}
	}
	return names
}

// line is the first line that begins with the prefix, without it, and when it was told.
func (h history) line(prefix string) (rest string, at time.Time) {
	for _, e := range h {
		if rest, ok := strings.CutPrefix(e.Text, prefix); ok {
			return strings.TrimSpace(rest), e.Time
		}
	}
	return "", time.Time{}
}

// installed tells how often a machine was installed: made anew, and its installer given a seed.
func (h history) installed() (machines, seeds int) {
	return h.count("Creating the machine"), h.count("GET /preseed.cfg: 200")
}

// expectInstalled fails unless a machine was installed that often.
func (k *kiln) expectInstalled(h history, times int) {
	k.t.Helper()
	if machines, seeds := h.installed(); machines != times || seeds != times {
		k.t.Errorf("%d machines were made and %d seeds fetched, want %d of each", machines, seeds, times)
	}
}
