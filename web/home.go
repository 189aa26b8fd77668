package web

import (
	"net/http"
	"net/url"
	"strconv"

	"github.com/gin-gonic/gin"

	"github.com/boxkiln/boxkiln/boxregistry"
)

const (
	boxesPerPage = 50
	recentBuilds = 6
	maxSearch    = 100 // bytes of a search that are looked at
)

// homeView is the list of boxes, with the builds of late beside it.
type homeView struct {
	Search string
	Total  int
	Boxes  []boxregistry.Summary
	Pager  pager
	Builds []buildView
}

func (homeView) isView() {}

func (s *Site) home(c *gin.Context) {
	number := pageNumber(c)
	search := searchText(c.Query("q"))
	sort := boxregistry.ByName
	if search == "" {
		sort = boxregistry.ByUpdated
	}
	boxes, total, err := s.Boxes.List(c.Request.Context(), boxregistry.ListQuery{
		Search: search, Sort: sort, Limit: boxesPerPage, Offset: (number - 1) * boxesPerPage,
	})
	if err != nil {
		s.fail(c, err)
		return
	}
	builds, _, err := s.Builds.List(c.Request.Context(), Query{Limit: recentBuilds})
	if err != nil {
		s.fail(c, err)
		return
	}
	link := func(page int) string {
		return "/?" + url.Values{"q": {search}, "page": {strconv.Itoa(page)}}.Encode()
	}
	s.render(c, http.StatusOK, "home.html", page{Title: "Boxes", Section: "boxes", Script: "list.js", Body: homeView{
		Search: search, Total: total, Boxes: boxes, Pager: newPager(number, total, boxesPerPage, link),
		Builds: s.buildViews(builds, s.visitor(c)),
	}})
}
