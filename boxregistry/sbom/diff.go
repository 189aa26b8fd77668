package sbom

import (
	"cmp"
	"maps"
	"slices"
)

// Change is a package that is there before and after, in another version.
type Change struct {
	Name string `json:"name"`
	Arch string `json:"arch,omitempty"`
	Type Type   `json:"type"`
	From string `json:"from"`
	To   string `json:"to"`
}

// Changes are what became of the packages of one inventory in another. Each list is ordered by name.
type Changes struct {
	Added      []Package `json:"added"`
	Removed    []Package `json:"removed"`
	Upgraded   []Change  `json:"upgraded"`
	Downgraded []Change  `json:"downgraded"`
	Unchanged  int       `json:"unchanged"` // packages of the same version
}

// None reports whether nothing changed.
func (c Changes) None() bool {
	return len(c.Added)+len(c.Removed)+len(c.Upgraded)+len(c.Downgraded) == 0
}

// key is what stays of a package when its version changes.
type key struct {
	typ        Type
	name, arch string
}

func (k key) order(l key) int {
	return cmp.Or(cmp.Compare(k.name, l.name), cmp.Compare(k.arch, l.arch), cmp.Compare(k.typ, l.typ))
}

func (k key) at(version string) Package { return Package{k.name, version, k.arch, k.typ} }

// versionsOf lists the versions of each package, oldest first: some are installed in several, as kernels are under rpm.
func versionsOf(list []Package) map[key][]string {
	all := map[key][]string{}
	for _, p := range list {
		k := key{p.Type, p.Name, p.Arch}
		all[k] = append(all[k], p.Version)
	}
	for k, versions := range all {
		slices.SortFunc(versions, func(a, b string) int { return cmp.Or(Compare(k.typ, a, b), cmp.Compare(a, b)) })
		all[k] = slices.Compact(versions)
	}
	return all
}

// Diff tells what is different in newer. Versions that the manager takes for equal but that are written differently count as
// upgraded.
func Diff(older, newer Inventory) Changes {
	before, after := versionsOf(older.Packages), versionsOf(newer.Packages)
	c := Changes{Added: []Package{}, Removed: []Package{}, Upgraded: []Change{}, Downgraded: []Change{}}
	keys := map[key]bool{}
	for k := range before {
		keys[k] = true
	}
	for k := range after {
		keys[k] = true
	}
	for _, k := range slices.SortedFunc(maps.Keys(keys), key.order) {
		c.add(k, before[k], after[k])
	}
	return c
}

// add tells what became of one package. Versions that went and versions that came are one change as far as there are both.
func (c *Changes) add(k key, before, after []string) {
	gone, come := without(before, after), without(after, before)
	c.Unchanged += len(before) - len(gone)
	n := min(len(gone), len(come))
	for i := range n {
		change := Change{k.name, k.arch, k.typ, gone[i], come[i]}
		if Compare(k.typ, gone[i], come[i]) > 0 {
			c.Downgraded = append(c.Downgraded, change)
		} else {
			c.Upgraded = append(c.Upgraded, change)
		}
	}
	for _, v := range gone[n:] {
		c.Removed = append(c.Removed, k.at(v))
	}
	for _, v := range come[n:] {
		c.Added = append(c.Added, k.at(v))
	}
}

func without(list, other []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(v string) bool { return slices.Contains(other, v) })
}
