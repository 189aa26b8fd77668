// Package archtest keeps the packages of Boxkiln in their places.
//
// [Design] says of each package which others of ours it may import: the table of docs/design.md as data. The test of this
// package reads the imports with go list, and [Table.Check] tells every edge that the table does not allow. Imports of tests are
// not looked at: a test may use any package to set up what it needs.
package archtest

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"
)

// Module is the path that all our packages begin with.
const Module = "github.com/boxkiln/boxkiln"

// Package is a package as go list describes it.
type Package struct {
	ImportPath string
	Imports    []string
}

// Rule allows the packages that match Of to import those of ours that match May. Patterns are relative to the module;
// "*" is one element of a path, "/..." at the end stands for the package and all below it, and "..." for all of ours.
type Rule struct {
	Of  []string
	May []string
	Why string
}

// Exception is an edge that the rules forbid and that is there with a reason. Import is a whole import path, or one of ours
// relative to the module.
type Exception struct {
	Of, Import string
	Why        string
}

// Reserved keeps an import, with all below it, to the packages that match To.
type Reserved struct {
	Import string
	To     []string
}

// name is the path of a package inside the module, "." for its root; false for packages that are not ours.
func name(importPath string) (string, bool) {
	if importPath == Module {
		return ".", true
	}
	return strings.CutPrefix(importPath, Module+"/")
}

func matches(patterns []string, pkg string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return match(p, pkg) })
}

func match(pattern, pkg string) bool {
	if pattern == "..." {
		return true
	}
	prefix, below := strings.CutSuffix(pattern, "/...")
	if !below {
		ok, err := path.Match(pattern, pkg)
		return ok && err == nil
	}
	elements := strings.Split(pkg, "/")
	n := strings.Count(prefix, "/") + 1
	return len(elements) >= n && match(prefix, strings.Join(elements[:n], "/"))
}

// Table is what is allowed: the first rule that matches a package counts.
type Table struct {
	Rules      []Rule
	Reserved   []Reserved
	Exceptions []Exception
}

// Check returns a line for every import that the table forbids and every package that no rule is about.
func (t Table) Check(packages []Package) []string {
	var problems []string
	for _, p := range packages {
		pkg, ours := name(p.ImportPath)
		if !ours {
			continue
		}
		imports := t.without(pkg, p.Imports)
		problems = append(problems, checkImports(pkg, imports, t.Rules)...)
		problems = append(problems, checkReserved(pkg, imports, t.Reserved)...)
	}
	slices.SortFunc(problems, cmp.Compare)
	return problems
}

// without leaves out the imports of pkg that are exceptions.
func (t Table) without(pkg string, imports []string) []string {
	return slices.DeleteFunc(slices.Clone(imports), func(imp string) bool {
		return slices.ContainsFunc(t.Exceptions, func(e Exception) bool {
			return e.Of == pkg && (e.Import == imp || Module+"/"+e.Import == imp)
		})
	})
}

func checkReserved(pkg string, imports []string, reserved []Reserved) []string {
	var problems []string
	for _, r := range reserved {
		for _, imp := range imports {
			if (imp == r.Import || strings.HasPrefix(imp, r.Import+"/")) && !matches(r.To, pkg) {
				problems = append(problems, fmt.Sprintf("%s imports %s, which is kept to %s", pkg, imp, strings.Join(r.To, ", ")))
			}
		}
	}
	return problems
}

func checkImports(pkg string, imports []string, rules []Rule) []string {
	i := slices.IndexFunc(rules, func(r Rule) bool { return matches(r.Of, pkg) })
	if i < 0 {
		return []string{fmt.Sprintf("%s has no place in the table of packages: give it a rule", pkg)}
	}
	var problems []string
	for _, imp := range imports {
		if target, ours := name(imp); ours && !matches(rules[i].May, target) {
			problems = append(problems, fmt.Sprintf("%s imports %s, which it may not: %s", pkg, target, rules[i].Why))
		}
	}
	return problems
}
