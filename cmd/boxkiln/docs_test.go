package main

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/internal/schema"
)

// templateDoc is the reference of templates. What follows generatedMark is written by the test below with -update.
const (
	templateDoc   = "../../docs/template.md"
	generatedMark = "<!-- Generated from here on: go test ./cmd/boxkiln -run TestTemplateReference -update -->\n\n"
)

// TestTemplateReference fails when an argument was added, removed or described anew and docs/template.md does not say so.
func TestTemplateReference(t *testing.T) {
	data, err := os.ReadFile(templateDoc)
	if err != nil {
		t.Fatal(err)
	}
	head, have, found := strings.Cut(string(data), generatedMark)
	if !found {
		t.Fatalf("%s has lost the line %q", templateDoc, generatedMark)
	}
	want := templateReference(newParts())
	if *update {
		if err := os.WriteFile(templateDoc, []byte(head+generatedMark+want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(have, want); diff != "" {
		t.Errorf("%s is stale; run go test ./cmd/boxkiln -run TestTemplateReference -update:\n%s", templateDoc, diff)
	}
}

// TestTemplateReferenceIsWhole looks for every argument of every block.
func TestTemplateReferenceIsWhole(t *testing.T) {
	t.Parallel()
	parts := newParts()
	text := templateReference(parts)
	var blocks []*schema.Block
	for _, k := range parts.Sources {
		blocks = append(blocks, k.Schema)
	}
	for _, k := range parts.Provisioners {
		blocks = append(blocks, k.Schema)
	}
	for _, k := range parts.PostProcessors {
		blocks = append(blocks, k.Schema)
	}
	for _, b := range blocks {
		if !strings.Contains(text, "### `"+b.Type+"`\n") {
			t.Errorf("%s is not described", b.Type)
		}
		for _, name := range b.Names() {
			if !strings.Contains(text, "\n| `"+name+"` |") {
				t.Errorf("%s: %s is not described", b.Type, name)
			}
		}
	}
	if strings.Contains(text, "Args\n") {
		t.Error("a group of arguments has no title: give it one in groupTitle")
	}
}

func TestNearestBlock(t *testing.T) {
	t.Parallel()
	block := func(typ string, names ...string) *schema.Block {
		b := &schema.Block{Type: typ}
		for _, n := range names {
			b.Args = append(b.Args, schema.Arg{Name: n})
		}
		return b
	}
	small, large := block("small", "a", "b"), block("large", "a", "b", "c", "d")
	tests := []struct {
		of   *schema.Block
		want string
		more []string
	}{
		{block("same", "a", "b", "c", "d"), "large", nil},
		{block("more", "a", "b", "c", "d", "e"), "large", []string{"e"}},
		{block("part", "a", "b", "z"), "small", []string{"z"}},
		{block("other", "x", "y"), "", nil},
	}
	for _, tt := range tests {
		got := nearest(tt.of, []*schema.Block{small, large})
		if got == nil || tt.want == "" {
			if got != nil || tt.want != "" {
				t.Errorf("%s: %v, want %q", tt.of.Type, got, tt.want)
			}
			continue
		}
		var more []string
		for _, a := range without(tt.of, got) {
			more = append(more, a.Name)
		}
		if got.Type != tt.want || !slices.Equal(more, tt.more) {
			t.Errorf("%s: like %s with %q, want %s with %q", tt.of.Type, got.Type, more, tt.want, tt.more)
		}
	}
}
