package main

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares text with a file of testdata.
func golden(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), text); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// varying are the parts of a log that differ from run to run.
var varying = []struct {
	pattern *regexp.Regexp
	text    string
}{
	{regexp.MustCompile(`boxkiln-\d{8}-\d{6}-[0-9a-f]{4,}-\d+`), "MACHINE"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)`), "TIME"},
	{regexp.MustCompile(`(?m)^\d{10},`), "TIME,"},
	// What is seen while the guest boots depends on when one looks, and the guest fetches when it likes.
	{regexp.MustCompile(`(?m)^.*: (no address yet|port 22|seed|GET .*): .*\n`), ""},
	// So does whether a build is queued for long enough to be told.
	{regexp.MustCompile(`(?m)^.*Queued: builds before it take the room.*\n`), ""},
	// Which of two builds finds the medium verified is up to them.
	{regexp.MustCompile(`(\S+) is here already and verified`), "$1 => $1"},
	{regexp.MustCompile(`on port \d+`), "on port PORT"},
	{regexp.MustCompile(`in \d+\.\d s`), "in N s"},
	{regexp.MustCompile(`after (\d+ (seconds?|minutes?) ?)+`), "after SPAN"},
}

// normal replaces what varies, and the folders of a bench.
func (b *bench) normal(text string) string {
	b.t.Helper()
	cwd, err := os.Getwd()
	if err != nil {
		b.t.Fatal(err)
	}
	text = strings.NewReplacer(b.dir, "WORK", b.data, "DATA", cwd, "CWD").Replace(text)
	for _, v := range varying {
		text = v.pattern.ReplaceAllString(text, v.text)
	}
	return text
}

// about keeps the lines that have part.
func about(text, part string) string {
	var kept strings.Builder
	for line := range strings.Lines(text) {
		if strings.Contains(line, part) {
			kept.WriteString(line)
		}
	}
	return kept.String()
}
