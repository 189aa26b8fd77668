package template

import (
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// selected tells whether -only and -except leave a build, by its label.
func (l *loader) selected(label string) bool {
	keep := len(l.options.Only) == 0
	for _, p := range l.options.Only {
		keep = l.matches(p, label) || keep
	}
	return !l.excepted(label) && keep
}

// excepted tells whether -except names a build or a post-processor.
func (l *loader) excepted(name string) bool {
	out := false
	for _, p := range l.options.Except {
		out = l.matches(p, name) || out
	}
	return out
}

func (l *loader) matches(pattern, name string) bool {
	ok, err := doublestar.Match(pattern, name)
	if err != nil {
		l.report.errorf(Pos{}, "use *, ?, [abc] and {a,b}", "the pattern %q cannot be understood", pattern)
		l.used[pattern] = true
		return false
	}
	l.used[pattern] = l.used[pattern] || ok
	return ok
}

// checkSelection reports patterns that matched nothing: most often they are misspelt.
func (l *loader) checkSelection(labels, postProcessors []string) {
	for _, flag := range []struct {
		name     string
		patterns []string
		known    []string
	}{{"-only", l.options.Only, labels}, {"-except", l.options.Except, append(labels[:len(labels):len(labels)], postProcessors...)}} {
		for _, p := range flag.patterns {
			matched := l.used[p]
			for _, name := range flag.known {
				matched = l.matches(p, name) || matched
			}
			if !matched {
				l.report.errorf(Pos{}, "known are: "+strings.Join(flag.known, ", "), "%s=%s matches nothing in this template", flag.name, p)
			}
		}
	}
}

// applies tells whether the only and except of a block leave it in for a source. Names are matched exactly, as in
// Packer.
func applies(only, except []string, names ...string) bool {
	if len(only) > 0 {
		return containsAny(only, names)
	}
	return !containsAny(except, names)
}

func containsAny(list, names []string) bool {
	for _, e := range list {
		for _, n := range names {
			if e == n {
				return true
			}
		}
	}
	return false
}
