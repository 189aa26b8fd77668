package driver

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	link = regexp.MustCompile(`\]\((\.\./[^)#]+)\)`)
	// pointer is a list of names "in" a file: → `a`, `b` in [text](path)
	pointer = regexp.MustCompile("→ ((?:`[A-Za-z]+`(?:, | and )?)+) (?:in|of)\\s+\\[[^]]+\\]\\(([^)]+)\\)")
	quoted  = regexp.MustCompile("`([A-Za-z]+)`")
)

// TestPageIsTrue: what docs/drivers.md points at is there.
func TestPageIsTrue(t *testing.T) {
	t.Parallel()
	const docs = "../../docs"
	data, err := os.ReadFile(filepath.Join(docs, "drivers.md"))
	if err != nil {
		t.Fatal(err)
	}
	page := string(data)
	links := link.FindAllStringSubmatch(page, -1)
	for _, l := range links {
		if _, err := os.Stat(filepath.Join(docs, l[1])); err != nil {
			t.Error(err)
		}
	}
	pointers := pointer.FindAllStringSubmatch(page, -1)
	for _, p := range pointers {
		code, err := os.ReadFile(filepath.Join(docs, p[2]))
		for _, name := range quoted.FindAllStringSubmatch(p[1], -1) {
			if !regexp.MustCompile(`(?m)^(func (\([^)]*\) )?|type )` + name[1] + `\b`).Match(code) {
				t.Errorf("%s has no %s (%v)", p[2], name[1], err)
			}
		}
	}
	const fewest = 10
	if len(links) < fewest || len(pointers) < fewest {
		t.Errorf("%d links and %d pointers were found in %s", len(links), len(pointers), strings.TrimSpace(page[:40]))
	}
}
