package web

import (
	"html/template"
	"net/http"
	"slices"
	"strconv"

	"github.com/gin-gonic/gin"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/internal/markdown"
)

const versionsPerPage = 20

// boxView is one box: how to use it, and its versions.
type boxView struct {
	shownBox
	About     template.HTML
	Newest    *releaseView // the newest version that clients see; nil when there is none
	Providers []boxregistry.Provider
	Use       use
	Versions  []releaseView
	Pager     pager
	Stored    int64 // of all versions, bytes
}

func (boxView) isView() {}

// releaseView is one version, with a cell for each provider of the box.
type releaseView struct {
	boxregistry.Release
	Path   string // of its page
	Latest bool   // what clients get who ask for nothing else
	Cells  []cell
}

// OnTrial tells whether only clients of other channels than the stable one find the version.
func (v releaseView) OnTrial() bool {
	return v.Open() && !slices.Contains(v.Channels, boxregistry.Stable)
}

// cell is the files of one provider in one version.
type cell struct {
	Provider boxregistry.Provider
	Files    []fileLink
}

// fileLink is one file with its URL.
type fileLink struct {
	boxregistry.File
	Link string // empty unless clients can download it
}

// Box is the page of the box that the path names, for browsers that ask /org/box. What clients write to follow a channel
// leads there too.
func (s *Site) Box(c *gin.Context) {
	if name, channel, err := boxregistry.ParseFollowed(c.Param("org") + "/" + c.Param("box")); err == nil && channel != boxregistry.Stable {
		c.Redirect(http.StatusSeeOther, "/"+name.String())
		return
	}
	box, err := s.findBox(c)
	if err != nil {
		s.fail(c, err)
		return
	}
	v := newBoxView(box, s.base.For(c.Request), pageNumber(c))
	if v.Newest != nil {
		v.Use.Images, err = s.images(c.Request.Context(), v.Newest.Release)
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	s.render(c, http.StatusOK, "box.html", page{Title: box.Name.String(), Section: "boxes", Script: "copy.js",
		Feed: boxPath(box.Name) + "/feed.atom", Body: v})
}

func newBoxView(box shownBox, base string, number int) boxView {
	v := boxView{shownBox: box, Providers: providers(box.Box), About: prose(box.Description)}
	if visible := box.Visible(); len(visible) > 0 {
		newest := newReleaseView(box.Name, visible[0], v.Providers)
		v.Newest, v.Use = &newest, newUse(box.Box, visible[0], base, false)
	}
	for _, rel := range box.Releases {
		for _, f := range rel.Files {
			v.Stored += f.Size
		}
	}
	first := min((number-1)*versionsPerPage, len(box.Releases))
	for _, rel := range box.Releases[first:min(first+versionsPerPage, len(box.Releases))] {
		r := newReleaseView(box.Name, rel, v.Providers)
		r.Latest = v.Newest != nil && rel.Version == v.Newest.Version
		v.Versions = append(v.Versions, r)
	}
	v.Pager = newPager(number, len(box.Releases), versionsPerPage, func(page int) string {
		return "/" + box.Name.String() + "?page=" + strconv.Itoa(page)
	})
	return v
}

// prose is Markdown below a heading of the second level.
func prose(source string) template.HTML {
	return template.HTML(markdown.HTML(source, 3)) //nolint:gosec // the package makes it safe
}

// providers of all versions, sorted.
func providers(box boxregistry.Box) []boxregistry.Provider {
	var out []boxregistry.Provider
	for _, rel := range box.Releases {
		out = append(out, providersOf(rel)...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// providersOf are those of one version, sorted.
func providersOf(rel boxregistry.Release) []boxregistry.Provider {
	var out []boxregistry.Provider
	for _, f := range rel.Files {
		out = append(out, f.Provider)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func newReleaseView(name boxregistry.Name, rel boxregistry.Release, providers []boxregistry.Provider) releaseView {
	v := releaseView{Release: rel, Path: versionPath(name, rel.Version), Cells: make([]cell, len(providers))}
	for i, p := range providers {
		v.Cells[i].Provider = p
	}
	for _, f := range rel.Files {
		i := slices.Index(providers, f.Provider)
		v.Cells[i].Files = append(v.Cells[i].Files, fileLink{f, downloadLink(name, rel, f)})
	}
	return v
}

// downloadLink is where clients get a file, or empty when they do not.
func downloadLink(name boxregistry.Name, rel boxregistry.Release, f boxregistry.File) string {
	switch {
	case !rel.Open() || !f.Complete():
		return ""
	case f.URL != "":
		return f.URL
	}
	return f.Path(name, rel.Version)
}
