package web

import (
	"cmp"
	"context"
	"html/template"
	"net/http"
	"slices"

	"github.com/gin-gonic/gin"

	"github.com/boxkiln/boxkiln/boxregistry"
)

// versionView is one version of a box.
type versionView struct {
	Box      shownBox
	Path     string // of this page
	Release  boxregistry.Release
	Latest   bool
	Notes    template.HTML
	Use      use
	Matrix   matrix
	Files    []fileView
	Older    *boxregistry.Release // the version before it that clients could use; nil when there is none
	Used     []boxregistry.Download
	Channels []boxregistry.Channel // of the box, that the version is not in
}

func (versionView) isView() {}

// matrix is the files of a version, a row for each provider and a column for each architecture.
type matrix struct {
	Architectures []boxregistry.Architecture
	Rows          []matrixRow
}

type matrixRow struct {
	Provider boxregistry.Provider
	Cells    []*fileView // nil where there is no file
}

// shownDownloads is how many of those who fetched a version its page names.
const shownDownloads = 20

// showVersion is the page of one version with all that is known of its files.
func (s *Site) showVersion(c *gin.Context) {
	box, rel, err := s.findVersion(c)
	if err != nil {
		s.fail(c, err)
		return
	}
	v, err := s.newVersionView(s.asking(c), box, rel, s.base.For(c.Request))
	if err != nil {
		s.fail(c, err)
		return
	}
	s.render(c, http.StatusOK, "version.html", page{Title: box.Name.String() + " " + rel.Version.String(), Section: "boxes", Script: "copy.js", Body: v})
}

func (s *Site) newVersionView(ctx context.Context, box shownBox, rel boxregistry.Release, base string) (versionView, error) {
	v := versionView{Box: box, Path: versionPath(box.Name, rel.Version), Release: rel, Notes: prose(rel.Description), Older: olderThan(box.Box, rel)}
	visible := box.Visible()
	v.Latest = len(visible) > 0 && visible[0].Version == rel.Version
	if rel.Open() {
		v.Use = newUse(box.Box, rel, base, true)
	}
	for _, c := range append(boxregistry.ChannelsOf(box.Box), boxregistry.Stable, boxregistry.Candidate) {
		if !slices.Contains(rel.Channels, c) && !slices.Contains(v.Channels, c) {
			v.Channels = append(v.Channels, c)
		}
	}
	for _, f := range forPeople(rel.Files) {
		file, err := s.newFileView(ctx, box.Box, rel, f, v.Older)
		if err != nil {
			return v, err
		}
		v.Files = append(v.Files, file)
	}
	v.Matrix = newMatrix(v.Files)
	if !box.May {
		return v, nil
	}
	used, err := s.Boxes.Downloads(ctx, box.Name, rel.Version)
	if absent(err) { // of a deleted version
		err = nil
	}
	v.Used = used[:min(len(used), shownDownloads)]
	return v, err
}

// forPeople orders files with the default of each provider first; clients need it last.
func forPeople(files []boxregistry.File) []boxregistry.File {
	return slices.SortedStableFunc(slices.Values(files), func(a, b boxregistry.File) int {
		if a.Provider != b.Provider || a.Default == b.Default {
			return cmp.Compare(a.Provider, b.Provider)
		}
		if a.Default {
			return -1
		}
		return 1
	})
}

// olderThan is the version that users had before rel.
func olderThan(b boxregistry.Box, rel boxregistry.Release) *boxregistry.Release {
	for i, r := range b.Releases {
		if r.Version.Compare(rel.Version) < 0 && r.State != boxregistry.Draft && r.Deleted.IsZero() {
			return &b.Releases[i]
		}
	}
	return nil
}

func newMatrix(files []fileView) matrix {
	var m matrix
	for _, f := range files {
		m.Architectures = append(m.Architectures, f.Architecture)
	}
	slices.Sort(m.Architectures)
	m.Architectures = slices.Compact(m.Architectures)
	for i, f := range files {
		if len(m.Rows) == 0 || m.Rows[len(m.Rows)-1].Provider != f.Provider { // files are in the order of their providers
			m.Rows = append(m.Rows, matrixRow{Provider: f.Provider, Cells: make([]*fileView, len(m.Architectures))})
		}
		m.Rows[len(m.Rows)-1].Cells[slices.Index(m.Architectures, f.Architecture)] = &files[i]
	}
	return m
}
