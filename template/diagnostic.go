package template

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
)

// Severity tells how bad a diagnostic is.
type Severity string

// The severities. A template with an error cannot be built.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
	Note    Severity = "note"
)

// Pos is a place in a file. Line and Column count from 1, columns in characters; they are 0 for no place.
type Pos struct {
	File         string
	Line, Column int
}

func (p Pos) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// Diagnostic is one thing to say about a template.
type Diagnostic struct {
	Severity Severity
	Summary  string
	Detail   string // may be empty
	Remedy   string // may be empty
	Pos      Pos
	Snippet  string // the line at Pos
}

// String shows the diagnostic with its place, the line and a caret below it, and the remedy.
func (d Diagnostic) String() string {
	var b strings.Builder
	if place := d.Pos.String(); place != "" {
		b.WriteString(place + ": ")
	}
	fmt.Fprintf(&b, "%s: %s", d.Severity, d.Summary)
	if d.Detail != "" {
		b.WriteString("\n  " + strings.ReplaceAll(d.Detail, "\n", "\n  "))
	}
	if d.Snippet != "" {
		number := fmt.Sprintf("%5d", d.Pos.Line)
		fmt.Fprintf(&b, "\n%s | %s\n%s | %s^", number, d.Snippet, strings.Repeat(" ", len(number)), caretIndent(d.Snippet, d.Pos.Column))
	}
	if d.Remedy != "" {
		b.WriteString("\n  remedy: " + d.Remedy)
	}
	return b.String()
}

// caretIndent is as wide as the line up to a column: tabs stay tabs.
func caretIndent(line string, column int) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' {
			return r
		}
		return ' '
	}, string([]rune(line)[:max(0, min(column-1, utf8.RuneCountInString(line)))]))
}

// Diagnostics is everything there is to say about a template, in the order of its files.
type Diagnostics []Diagnostic

// HasErrors tells whether the template cannot be built.
func (ds Diagnostics) HasErrors() bool {
	return slices.ContainsFunc(ds, func(d Diagnostic) bool { return d.Severity == Error })
}

// Err returns the errors as one error, or nil if there are none.
func (ds Diagnostics) Err() error {
	var texts []string
	for _, d := range ds {
		if d.Severity == Error {
			texts = append(texts, d.String())
		}
	}
	if len(texts) == 0 {
		return nil
	}
	return errors.New(strings.Join(texts, "\n"))
}

func (ds Diagnostics) String() string {
	texts := make([]string, len(ds))
	for i, d := range ds {
		texts[i] = d.String()
	}
	return strings.Join(texts, "\n")
}

// report collects diagnostics. It knows the files' texts, so that it can show lines, and forgets repetitions: a block
// that several sources use is looked at once for each.
type report struct {
	list  Diagnostics
	files map[string][]byte
}

func newReport() *report { return &report{files: map[string][]byte{}} }

func (r *report) add(d Diagnostic) {
	d.Snippet = r.line(d.Pos)
	if !slices.Contains(r.list, d) {
		r.list = append(r.list, d)
	}
}

func (r *report) errorf(at Pos, remedy, format string, args ...any) {
	r.add(Diagnostic{Severity: Error, Summary: fmt.Sprintf(format, args...), Remedy: remedy, Pos: at})
}

func (r *report) warnf(at Pos, remedy, format string, args ...any) {
	r.add(Diagnostic{Severity: Warning, Summary: fmt.Sprintf(format, args...), Remedy: remedy, Pos: at})
}

func (r *report) notef(at Pos, format string, args ...any) {
	r.add(Diagnostic{Severity: Note, Summary: fmt.Sprintf(format, args...), Pos: at})
}

// hcl takes over the diagnostics of HCL and tells whether they hold no error.
func (r *report) hcl(diags hcl.Diagnostics) bool {
	for _, d := range diags {
		out := Diagnostic{Severity: Error, Summary: lowerFirst(strings.TrimSuffix(d.Summary, ".")), Detail: d.Detail}
		if d.Severity == hcl.DiagWarning {
			out.Severity = Warning
		}
		if before, after, found := strings.Cut(d.Detail, "Did you mean"); found {
			out.Detail, out.Remedy = strings.TrimSpace(before), "did you mean"+after
		}
		if d.Subject != nil {
			out.Pos = position(*d.Subject)
		}
		r.add(out)
	}
	return !diags.HasErrors()
}

func lowerFirst(s string) string {
	if len(s) > 1 && s[1] >= 'A' && s[1] <= 'Z' {
		return s // an abbreviation
	}
	r, n := utf8.DecodeRuneInString(s)
	return strings.ToLower(string(r)) + s[n:]
}

func position(r hcl.Range) Pos {
	return Pos{File: r.Filename, Line: r.Start.Line, Column: r.Start.Column}
}

// line returns the line at a place, without its end.
func (r *report) line(at Pos) string {
	content, ok := r.files[at.File]
	if !ok || at.Line < 1 {
		return ""
	}
	for n := 1; n < at.Line; n++ {
		i := slices.Index(content, '\n')
		if i < 0 {
			return ""
		}
		content = content[i+1:]
	}
	if i := slices.Index(content, '\n'); i >= 0 {
		content = content[:i]
	}
	const longest = 400
	if len(content) > longest {
		content = content[:longest]
	}
	return strings.ToValidUTF8(strings.TrimRight(string(content), "\r"), "?")
}

// sorted returns the diagnostics in the order of files and lines, those without a place last.
func (r *report) sorted() Diagnostics {
	slices.SortStableFunc(r.list, func(a, b Diagnostic) int {
		return cmp.Or(cmp.Compare(placeless(a), placeless(b)), strings.Compare(a.Pos.File, b.Pos.File),
			cmp.Compare(a.Pos.Line, b.Pos.Line), cmp.Compare(a.Pos.Column, b.Pos.Column))
	})
	return r.list
}

func placeless(d Diagnostic) int {
	if d.Pos.Line == 0 {
		return 1
	}
	return 0
}
