package build

import (
	"cmp"
	"encoding/hex"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// manyFiles is how many files of one name are ingredients of their own; more are one together.
const manyFiles = 100

// sent is a file or directory of a plan below one of the names that a stage reads.
type sent struct {
	root  string // last element of what the name or a match of it is; empty for the thing itself
	below string // path below that, with slashes
	in    Input
}

// number lists the local names that the stage reads. From then on its arguments refer to them by number.
func (r *recipe) number(names ...string) {
	r.locals = nil
	for _, name := range names {
		if name != "" && !slices.Contains(r.locals, name) {
			r.locals = append(r.locals, name)
		}
	}
	r.file = func(name string) (int, bool) {
		n := slices.Index(r.locals, name)
		return n, n >= 0
	}
}

// contents adds the files behind the names, in the order of their numbers. modes says that all permissions reach the
// guest; otherwise only whether a file can be executed counts.
func (r *recipe) contents(p *Plan, modes bool) {
	for n, name := range r.locals {
		all := below(p, name)
		if len(all) <= manyFiles {
			for _, f := range all {
				r.add(r.hide(display(p, f.in.Path)), true, func(e encoder) {
					e.mark(markFile, n)
					e.sent(f, modes)
				})
			}
			continue
		}
		r.add(r.hide(display(p, absolute(p, name))), true, func(e encoder) {
			e.mark(markFile, n)
			e.mark(markList, len(all))
			for _, f := range all {
				e.sent(f, modes)
			}
		})
	}
}

// sent writes what of a file can reach the guest.
func (e encoder) sent(f sent, modes bool) {
	e.text(f.root)
	e.text(f.below)
	mode := f.in.Mode.Perm()
	switch {
	case f.in.Mode.IsDir():
		e.mark(markObject, 0)
		if !modes {
			mode = 0
		}
	case !modes:
		mode &= 0o100
	}
	e.mark(markNumber, int(mode))
	digest, err := hex.DecodeString(f.in.Digest)
	if err != nil {
		digest = []byte(f.in.Digest) // not ours, but still not another file's
	}
	e.mark(markText, len(digest))
	_, _ = e.w.Write(digest)
}

// below lists the inputs that a name stands for: a file, a directory with all in it, or the matches of a glob.
func below(p *Plan, name string) []sent {
	whole := absolute(p, name)
	var found []sent
	for _, in := range p.Inputs {
		if rel, ok := under(whole, in.Path); ok {
			found = append(found, sent{"", rel, in})
		}
	}
	if len(found) == 0 && strings.ContainsAny(name, "*?[") {
		found = matches(p, name)
	}
	slices.SortFunc(found, func(a, b sent) int {
		return cmp.Or(strings.Compare(a.root, b.root), strings.Compare(a.below, b.below), strings.Compare(a.in.Path, b.in.Path))
	})
	return found
}

// matches lists what a glob stands for, each match under its own last element.
func matches(p *Plan, pattern string) []sent {
	if !filepath.IsAbs(pattern) {
		pattern = path.Join(globQuote.Replace(filepath.ToSlash(p.Cwd)), filepath.ToSlash(pattern))
	}
	var roots []string
	for _, in := range p.Inputs {
		if ok, err := path.Match(path.Clean(pattern), in.Path); ok && err == nil {
			roots = append(roots, in.Path)
		}
	}
	var found []sent
	for _, in := range p.Inputs {
		for _, root := range roots {
			if rel, ok := under(root, in.Path); ok {
				found = append(found, sent{path.Base(root), rel, in})
			}
		}
	}
	return found
}

// globQuote makes a directory's name a pattern that matches only it.
var globQuote = strings.NewReplacer(`*`, `\*`, `?`, `\?`, `[`, `\[`, `\`, `\\`)

func absolute(p *Plan, name string) string {
	if !filepath.IsAbs(name) {
		name = filepath.Join(p.Cwd, name)
	}
	return path.Clean(filepath.ToSlash(name))
}

// under tells the path of name below dir, "" for dir itself.
func under(dir, name string) (rel string, ok bool) {
	if name == dir {
		return "", true
	}
	if dir != "/" {
		dir += "/"
	}
	return strings.CutPrefix(name, dir)
}

// display is a path as explanations name it, the same in every folder and on every machine as far as that is possible.
func display(p *Plan, name string) string {
	for _, dir := range []string{p.TemplateDir, p.Cwd} {
		if rel, ok := under(path.Clean(filepath.ToSlash(dir)), name); ok && dir != "" && rel != "" {
			return rel
		}
	}
	return path.Base(name)
}

// hide takes secrets out of a text that is to be seen.
func (r *recipe) hide(s string) string {
	var b strings.Builder
	for _, p := range split(s, r.secrets) {
		if p.secret {
			b.WriteString("***")
		} else {
			b.WriteString(p.text)
		}
	}
	return b.String()
}
