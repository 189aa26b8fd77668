package browsertest

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// envAxe names axe.min.js of axe-core, which test/setup/axe.sh fetches.
const envAxe = "BOXKILN_AXE"

// Axe is axe-core, which finds what keeps people from reading and using a page. Its zero value finds nothing.
type Axe struct{ source string }

// NewAxe reads axe-core from the file that BOXKILN_AXE names. Without the variable the result finds nothing, unless every
// tool must be there.
func NewAxe(t *testing.T) Axe {
	t.Helper()
	path := os.Getenv(envAxe)
	if path == "" && os.Getenv(envRequire) == "1" {
		t.Fatalf("%s is not set; test/setup/axe.sh fetches axe-core and prints its path", envAxe)
	}
	if path == "" {
		t.Logf("accessibility is not checked: set %s to what test/setup/axe.sh prints", envAxe)
		return Axe{}
	}
	source, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%s: %v; test/setup/axe.sh fetches it", envAxe, err)
	}
	return Axe{source: string(source)}
}

// violation is a rule of axe-core that a page breaks.
type violation struct {
	ID    string `json:"id"`
	Help  string `json:"help"`
	Nodes []struct {
		HTML    string `json:"html"`
		Summary string `json:"failureSummary"`
	} `json:"nodes"`
}

func (v violation) String() string {
	var places []string
	for _, n := range v.Nodes {
		places = append(places, fmt.Sprintf("  %.300s\n    %s", n.HTML, strings.ReplaceAll(n.Summary, "\n", "\n    ")))
	}
	return fmt.Sprintf("%s: %s\n%s", v.ID, v.Help, strings.Join(places, "\n"))
}

// Violations returns what the page that the tab shows breaks of axe-core's rules, best practices too: nothing, for a good
// page.
func (a Axe) Violations(b *Tab) []string {
	b.t.Helper()
	if a.source == "" {
		return nil
	}
	if !evaluate[bool](b, `'axe' in window`) {
		b.Do(chromedp.Evaluate[chromedp.Void](a.source + "; undefined"))
	}
	found := evaluate[[]violation](b, `axe.run(document, {resultTypes: ['violations']}).then(r => r.violations)`, chromedp.EvalAwaitPromise)
	var texts []string
	for _, v := range found {
		texts = append(texts, v.String())
	}
	return texts
}
