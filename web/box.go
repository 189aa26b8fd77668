package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/gin-gonic/gin"

	"github.com/boxkiln/boxkiln/boxregistry"
)

const versionsPerPage = 20

// boxView is one box: how to use it, and its versions.
type boxView struct {
	Box       boxregistry.Box
	Newest    *releaseView // the newest version that clients see; nil when there is none
	Providers []boxregistry.Provider
	Use       use
	Versions  []releaseView
	Pager     pager
}

func (boxView) isView() {}

// use is what to copy, filled in for this server.
type use struct {
	Vagrantfile string
	Add         []command // one for each provider
	Downloads   []command // one for each file of the newest version
}

// command is one thing to type, with the word that says when.
type command struct{ For, Text string }

// releaseView is one version, with a cell for each provider of the box.
type releaseView struct {
	boxregistry.Release
	Latest bool // what clients get who ask for nothing else
	Cells  []cell
	Files  []fileView
}

// cell is the files of one provider in one version.
type cell struct {
	Provider boxregistry.Provider
	Files    []fileView
}

// fileView is one file with its URL.
type fileView struct {
	boxregistry.File
	Path       string // empty unless clients can download it
	Provenance string // indented JSON; empty when it is not known
}

// Box is the page of the box that the path names, for browsers that ask /org/box.
func (s *Site) Box(c *gin.Context) {
	name, err := boxregistry.ParseName(c.Param("org") + "/" + c.Param("box"))
	if err != nil {
		s.fail(c, err)
		return
	}
	box, err := s.Boxes.Box(c.Request.Context(), name)
	if err != nil {
		s.fail(c, err)
		return
	}
	view := newBoxView(box, s.base.For(c.Request), pageNumber(c))
	s.render(c, http.StatusOK, "box.html", page{Title: name.String(), Section: "boxes", Body: view})
}

func newBoxView(box boxregistry.Box, base string, number int) boxView {
	v := boxView{Box: box, Providers: providers(box)}
	if visible := box.Visible(); len(visible) > 0 {
		newest := newReleaseView(box.Name, visible[0], v.Providers)
		newest.Latest = true
		v.Newest = &newest
		v.Use = newUse(box.Name, newest, base)
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

// providers of all versions, sorted.
func providers(box boxregistry.Box) []boxregistry.Provider {
	var out []boxregistry.Provider
	for _, rel := range box.Releases {
		for _, f := range rel.Files {
			out = append(out, f.Provider)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func newReleaseView(name boxregistry.Name, rel boxregistry.Release, providers []boxregistry.Provider) releaseView {
	v := releaseView{Release: rel}
	cells := make([]cell, len(providers))
	for i, p := range providers {
		cells[i].Provider = p
	}
	for _, f := range rel.Files {
		fv := fileView{File: f, Provenance: indent(f.Provenance)}
		if rel.State == boxregistry.Released {
			fv.Path = f.Path(name, rel.Version)
		}
		v.Files = append(v.Files, fv)
		i := slices.Index(providers, f.Provider)
		cells[i].Files = append(cells[i].Files, fv)
	}
	v.Cells = cells
	return v
}

// indent writes a file's provenance for people.
func indent(raw json.RawMessage) string {
	var b bytes.Buffer
	if len(raw) == 0 || string(raw) == "null" || json.Indent(&b, raw, "", "  ") != nil {
		return ""
	}
	return b.String()
}

// newUse fills in the commands. They name the server in full, so they work without any variable being set; with
// several providers "vagrant box add" asks back unless --provider is given.
func newUse(name boxregistry.Name, rel releaseView, base string) use {
	u := use{Vagrantfile: fmt.Sprintf(`ENV["VAGRANT_SERVER_URL"] ||= %q

Vagrant.configure("2") do |config|
  config.vm.box = %q
  config.vm.box_version = %q
end
`, base, name.String(), rel.Version.String())}
	for _, c := range rel.Cells {
		if len(c.Files) > 0 {
			u.Add = append(u.Add, command{string(c.Provider), fmt.Sprintf("vagrant box add --provider %s %s/%s", c.Provider, base, name)})
		}
	}
	for _, f := range rel.Files {
		file := fmt.Sprintf("%s-%s-%s-%s.box", name.Box(), rel.Version, f.Provider, f.Architecture)
		u.Downloads = append(u.Downloads, command{string(f.Provider) + " " + string(f.Architecture),
			fmt.Sprintf("curl -fLo %s \\\n  %s%s\necho '%s  %s' | sha256sum -c", file, base, f.Path, f.Digest, file)})
	}
	return u
}
