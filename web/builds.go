package web

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/boxkiln/boxkiln/daemon/build"
)

const buildsPerPage = 50

// buildsView is the list of builds.
type buildsView struct {
	Total  int
	Builds []buildView
	Pager  pager
	Filter filterView
	May    bool // the visitor may change something
}

func (buildsView) isView() {}

// filterView is the form that narrows the list.
type filterView struct {
	State  string
	Box    string
	Text   string
	States []build.State
}

// Set tells whether the list is narrowed.
func (f filterView) Set() bool { return f.State != "" || f.Box != "" || f.Text != "" }

// link is the URL of a page of the list under this filter.
func (f filterView) link(page int) string {
	q := url.Values{}
	for name, value := range map[string]string{"state": f.State, "box": f.Box, "q": f.Text} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if page > 1 {
		q.Set("page", strconv.Itoa(page))
	}
	if len(q) == 0 {
		return "/builds"
	}
	return "/builds?" + q.Encode()
}

func (s *Site) buildList(c *gin.Context) {
	number, f := pageNumber(c), readFilter(c)
	hidden, err := s.hidden(c)
	if err != nil {
		s.fail(c, err)
		return
	}
	builds, total, err := s.Builds.List(c.Request.Context(), Query{State: build.State(f.State), Box: f.Box, Text: f.Text, Hidden: hidden,
		Limit: buildsPerPage, Offset: (number - 1) * buildsPerPage})
	if err != nil {
		s.fail(c, err)
		return
	}
	who := s.visitor(c)
	v := buildsView{Total: total, Builds: s.buildViews(builds, who), Pager: newPager(number, total, buildsPerPage, f.link), Filter: f, May: who.May}
	for i := range v.Builds {
		v.Builds[i].Actions.Next = f.link(number)
	}
	s.render(c, http.StatusOK, "builds.html", page{Title: "Builds", Section: "builds", Script: "list.js", Wide: true, Body: v})
}

// readFilter takes from the URL what narrows the list; a state that is none is ignored.
func readFilter(c *gin.Context) filterView {
	f := filterView{State: c.Query("state"), Box: searchText(c.Query("box")), Text: searchText(c.Query("q")), States: build.States()}
	if !slices.Contains(f.States, build.State(f.State)) {
		f.State = ""
	}
	return f
}

// searchText is as much of what somebody looks for as is looked at.
func searchText(text string) string {
	text = strings.TrimSpace(text)
	return strings.ToValidUTF8(text[:min(len(text), maxSearch)], "")
}
