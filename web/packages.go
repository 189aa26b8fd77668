package web

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"

	"github.com/gin-gonic/gin"

	"github.com/boxkiln/boxkiln/boxregistry"
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
	Count   int      // packages of the file; negative when they are not known
	Diff    *PackageDiff
	Problem string // why there is nothing to compare
}

func (packagesPage) isView() {}

// packageCount is how many packages are installed in the guest of a file, -1 when that is not known.
func (s *Site) packageCount(ctx context.Context, f boxregistry.File) (int, error) {
	if s.Known == nil || f.Digest == "" {
		return -1, nil
	}
	document, err := s.Known.Packages(ctx, f.Digest)
	if err != nil {
		return -1, unlessAbsent(err)
	}
	var list struct {
		Components []struct {
			Type string `json:"type"`
		} `json:"components"`
	}
	if json.Unmarshal(document, &list) != nil {
		return -1, nil // of a tool that writes something else; it can be downloaded all the same
	}
	n := 0
	for _, c := range list.Components {
		if c.Type != "operating-system" {
			n++
		}
	}
	return n, nil
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
	v := packagesPage{Box: box, Path: versionPath(box.Name, rel.Version) + "/packages", Release: rel, Count: -1, Files: slots(rel)}
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
	var err error
	if v.Count, err = s.packageCount(ctx, file); err != nil {
		return v, err
	}
	v.Diff, err = s.packageDiff(ctx, other, file)
	switch {
	case v.Count < 0:
		v.Problem = "It is not known what is installed in " + v.File + " of this version. Boxkiln records that of its own builds."
	case v.Diff == nil && err == nil:
		v.Problem = "It is not known what is installed in " + v.Other + " of " + v.From + "."
	}
	return v, err
}

func (s *Site) packageDiff(ctx context.Context, from, to boxregistry.File) (*PackageDiff, error) {
	if s.Packages == nil || from.Digest == "" || to.Digest == "" {
		return nil, nil
	}
	diff, err := s.Packages.PackageDiff(ctx, from.Digest, to.Digest)
	if err != nil {
		return nil, unlessAbsent(err)
	}
	return &diff, nil
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

// changedRow is a line of the table of packages.
type changedRow struct {
	What     string // added, removed, upgraded, downgraded
	Name     string
	From, To string // versions; empty where it is not installed
}

// Rows are all differences: what came, what went, then what has another version.
func (d PackageDiff) Rows() []changedRow {
	var rows []changedRow
	name := d.namer()
	for _, p := range d.Added {
		rows = append(rows, changedRow{What: "added", Name: name(p.Name, p.Architecture), To: p.Version})
	}
	for _, p := range d.Removed {
		rows = append(rows, changedRow{What: "removed", Name: name(p.Name, p.Architecture), From: p.Version})
	}
	for _, p := range d.Downgraded {
		rows = append(rows, changedRow{"downgraded", name(p.Name, p.Architecture), p.From, p.To})
	}
	for _, p := range d.Upgraded {
		rows = append(rows, changedRow{"upgraded", name(p.Name, p.Architecture), p.From, p.To})
	}
	return rows
}

// First and Rest are the rows that are seen at once, and those that are folded.
func (d PackageDiff) First() []changedRow { return d.Rows()[:min(diffFolded, d.Count())] }

// Rest are the rows after First.
func (d PackageDiff) Rest() []changedRow { return d.Rows()[min(diffFolded, d.Count()):] }

// namer returns what calls packages by their name, and by their processor too where that is not the one of most.
func (d PackageDiff) namer() func(name, arch string) string {
	seen := map[string]int{}
	for _, p := range slices.Concat(d.Added, d.Removed) {
		seen[p.Architecture]++
	}
	for _, c := range slices.Concat(d.Upgraded, d.Downgraded) {
		seen[c.Architecture]++
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
