package web

import (
	"context"
	"net/http"
	"slices"

	"github.com/gin-gonic/gin"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/sbom"
)

// diffFolded is how many packages a table shows before the rest of it is folded.
const diffFolded = 25

// packagesPage compares what is installed in the guests of two files of a box: of two versions, or of two providers.
type packagesPage struct {
	Box     shownBox
	Path    string // of this page, without what is compared
	Release boxregistry.Release
	File    string // "libvirt/amd64"
	From    string // number of the version to compare with
	Other   string // its file
	Files   []string
	Others  []string // files of any version
	Numbers []string // versions to compare with
	Count   int      // packages of the file
	Diff    *packageDiff
	Problem string // why there is nothing to compare
}

func (packagesPage) isView() {}

// installed is what is installed in the guest of a file, or nil when that is not known.
func (s *Site) installed(ctx context.Context, f boxregistry.File) (*sbom.Inventory, error) {
	if s.Known == nil || f.Digest == "" {
		return nil, nil
	}
	document, err := s.Known.Packages(ctx, f.Digest)
	if err != nil {
		return nil, unlessAbsent(err)
	}
	inv, err := sbom.Decode(document)
	if err != nil { // a document of another tool; it can be downloaded all the same
		return nil, nil
	}
	return &inv, nil
}

// packages is the page that compares. Without a choice in the URL it takes the same file of the version before, and of the
// first version another provider's.
func (s *Site) packages(c *gin.Context) {
	box, rel, err := s.findVersion(c)
	if err != nil {
		s.fail(c, err)
		return
	}
	v, err := s.newPackagesPage(s.asking(c), box, rel, comparison{c.Query("file"), c.Query("from"), c.Query("other")})
	if err != nil {
		s.fail(c, err)
		return
	}
	s.render(c, http.StatusOK, "packages.html", page{Title: "Packages of " + box.Name.String() + " " + rel.Version.String(), Section: "boxes", Body: v})
}

// comparison is what a visitor asks for; what is empty or is not there is chosen for them.
type comparison struct{ file, from, other string }

func (s *Site) newPackagesPage(ctx context.Context, box shownBox, rel boxregistry.Release, asked comparison) (packagesPage, error) {
	v := packagesPage{Box: box, Path: versionPath(box.Name, rel.Version) + "/packages", Release: rel, Files: slots(rel)}
	for _, r := range box.Releases {
		v.Numbers = append(v.Numbers, r.Version.String())
		for _, slot := range slots(r) {
			v.Others = with(v.Others, slot)
		}
	}
	file, ok := fileAt(rel, asked.file)
	if !ok {
		v.Problem = "This version has no files."
		return v, nil
	}
	other, against := choose(box, rel, file, asked)
	v.File, v.From, v.Other = slotKey(file), against.Version.String(), slotKey(other)
	here, err := s.installed(ctx, file)
	if err != nil {
		return v, err
	}
	there, err := s.installed(ctx, other)
	switch {
	case here == nil:
		v.Problem = "It is not known what is installed in " + v.File + " of this version. Boxkiln records that of its own builds."
	case there == nil:
		v.Problem = "It is not known what is installed in " + v.Other + " of " + v.From + "."
	default:
		v.Count, v.Diff = len(here.Packages), &packageDiff{sbom.Diff(*there, *here)}
	}
	return v, err
}

// choose finds what to compare a file with.
func choose(box shownBox, rel boxregistry.Release, file boxregistry.File, asked comparison) (boxregistry.File, boxregistry.Release) {
	against := rel
	if older := olderThan(box.Box, rel); older != nil {
		against = *older
	}
	if v, err := boxregistry.ParseVersion(asked.from); err == nil {
		if r, ok := box.Release(v); ok {
			against = r
		}
	}
	slot := asked.other
	if slot == "" {
		slot = slotKey(file)
	}
	if other, ok := exactly(against, slot); ok && (asked.other != "" || against.Version != rel.Version) {
		return other, against
	}
	for _, f := range against.Files { // the same file is no news
		if against.Version != rel.Version || slotKey(f) != slotKey(file) {
			return f, against
		}
	}
	return file, rel
}

// fileAt is the file of that slot, or the first one.
func fileAt(rel boxregistry.Release, slot string) (boxregistry.File, bool) {
	if f, ok := exactly(rel, slot); ok {
		return f, true
	}
	if len(rel.Files) == 0 {
		return boxregistry.File{}, false
	}
	return rel.Files[0], true
}

func exactly(rel boxregistry.Release, slot string) (boxregistry.File, bool) {
	for _, f := range rel.Files {
		if slotKey(f) == slot {
			return f, true
		}
	}
	return boxregistry.File{}, false
}

func slots(rel boxregistry.Release) []string {
	var out []string
	for _, f := range rel.Files {
		out = append(out, slotKey(f))
	}
	return out
}

// packageDiff is what is different, for a table.
type packageDiff struct{ sbom.Changes }

// Count is how many packages are different.
func (d packageDiff) Count() int {
	return len(d.Added) + len(d.Removed) + len(d.Upgraded) + len(d.Downgraded)
}

// changedRow is a line of the table.
type changedRow struct {
	What     string // added, removed, upgraded, downgraded
	Name     string
	From, To string // versions; empty where it is not installed
}

// Rows are all differences: what came, what went, then what has another version.
func (d packageDiff) Rows() []changedRow {
	var rows []changedRow
	name := d.namer()
	for _, p := range d.Added {
		rows = append(rows, changedRow{What: "added", Name: name(p.Name, p.Arch), To: p.Version})
	}
	for _, p := range d.Removed {
		rows = append(rows, changedRow{What: "removed", Name: name(p.Name, p.Arch), From: p.Version})
	}
	for _, c := range d.Downgraded {
		rows = append(rows, changedRow{"downgraded", name(c.Name, c.Arch), c.From, c.To})
	}
	for _, c := range d.Upgraded {
		rows = append(rows, changedRow{"upgraded", name(c.Name, c.Arch), c.From, c.To})
	}
	return rows
}

// First is the rows that are seen at once.
func (d packageDiff) First() []changedRow { return d.Rows()[:min(diffFolded, d.Count())] }

// Rest is the rows that are folded.
func (d packageDiff) Rest() []changedRow { return d.Rows()[min(diffFolded, d.Count()):] }

// namer returns what calls packages by their name, and by their processor too where that is not the one of most.
func (d packageDiff) namer() func(name, arch string) string {
	seen := map[string]int{}
	for _, p := range slices.Concat(d.Added, d.Removed) {
		seen[p.Arch]++
	}
	for _, c := range slices.Concat(d.Upgraded, d.Downgraded) {
		seen[c.Arch]++
	}
	usual := ""
	for _, arch := range sortedKeys(seen) {
		if arch != "all" && arch != "noarch" && seen[arch] > seen[usual] {
			usual = arch
		}
	}
	return func(name, arch string) string {
		if arch == "" || arch == "all" || arch == "noarch" || arch == usual {
			return name
		}
		return name + ":" + arch
	}
}
