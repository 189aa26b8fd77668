package web

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/gin-gonic/gin"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/internal/auth"
)

const (
	boxesPerPage = 50
	recentBuilds = 6
	maxSearch    = 100 // bytes of a search that are looked at
)

// homeView is the list of boxes, with the builds of late beside it.
type homeView struct {
	Filter boxFilter
	Total  int
	Boxes  []boxregistry.Summary
	Pager  pager
	Builds []buildView
	May    bool // the visitor may write in some organisation
}

func (homeView) isView() {}

// boxFilter is the form that narrows and orders the list.
type boxFilter struct {
	Search       string
	Org          string
	Provider     string
	Architecture string
	Sort         boxregistry.Sort
	Facets       boxregistry.Facets
}

// order is one way to sort the list.
type order struct {
	Sort boxregistry.Sort
	Name string
}

// Orders are the ways to sort, in the order of the form.
func (boxFilter) Orders() []order {
	return []order{{boxregistry.ByUpdated, "Last updated"}, {boxregistry.ByName, "Name"}, {boxregistry.ByCreated, "Newest"},
		{boxregistry.ByDownloads, "Most downloaded"}, {boxregistry.BySize, "Disk use"}}
}

// Value is how the form names an order.
func (o order) Value() string {
	if o.Sort == boxregistry.ByName {
		return "name"
	}
	return string(o.Sort)
}

// Narrows tells whether the list leaves boxes out.
func (f boxFilter) Narrows() bool { return f.Search != "" || f.More() }

// More tells whether more than a text narrows the list.
func (f boxFilter) More() bool { return f.Org != "" || f.Provider != "" || f.Architecture != "" }

// link is the URL of a page of the list under this filter.
func (f boxFilter) link(page int) string {
	q := url.Values{}
	for name, value := range map[string]string{"q": f.Search, "org": f.Org, "provider": f.Provider, "arch": f.Architecture} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if f.Sort != boxregistry.ByUpdated {
		q.Set("sort", order{Sort: f.Sort}.Value())
	}
	if page > 1 {
		q.Set("page", strconv.Itoa(page))
	}
	if len(q) == 0 {
		return "/"
	}
	return "/?" + q.Encode()
}

// readBoxFilter takes from the URL what narrows the list; an order that is none is ignored.
func readBoxFilter(c *gin.Context) boxFilter {
	f := boxFilter{Search: searchText(c.Query("q")), Org: searchText(c.Query("org")), Provider: searchText(c.Query("provider")),
		Architecture: searchText(c.Query("arch")), Sort: boxregistry.ByUpdated}
	for _, o := range f.Orders() {
		if o.Value() == c.Query("sort") {
			f.Sort = o.Sort
		}
	}
	return f
}

func (f boxFilter) query(seen boxregistry.Sight, page int) boxregistry.ListQuery {
	return boxregistry.ListQuery{Search: f.Search, Org: f.Org, Provider: boxregistry.Provider(f.Provider),
		Architecture: boxregistry.Architecture(f.Architecture), Seen: seen, Sort: f.Sort, Limit: boxesPerPage, Offset: (page - 1) * boxesPerPage}
}

func (s *Site) home(c *gin.Context) {
	v, err := s.newHomeView(c)
	if err != nil {
		s.fail(c, err)
		return
	}
	s.render(c, http.StatusOK, "home.html", page{Title: "Boxes", Section: "boxes", Script: "list.js", Feed: "/boxes/feed.atom", Body: v})
}

func (s *Site) newHomeView(c *gin.Context) (homeView, error) {
	ctx, number, f, seen := s.asking(c), pageNumber(c), readBoxFilter(c), sight(s.who(c))
	boxes, total, err := s.Boxes.List(ctx, f.query(seen, number))
	if err != nil {
		return homeView{}, err
	}
	if f.Facets, err = s.Boxes.Facets(ctx, seen); err != nil {
		return homeView{}, err
	}
	f.Facets.Orgs = with(f.Facets.Orgs, f.Org)
	f.Facets.Providers = with(f.Facets.Providers, f.Provider)
	f.Facets.Architectures = with(f.Facets.Architectures, f.Architecture)
	hidden, err := s.hidden(c)
	if err != nil {
		return homeView{}, err
	}
	builds, _, err := s.Builds.List(ctx, Query{Hidden: hidden, Limit: recentBuilds})
	return homeView{Filter: f, Total: total, Boxes: boxes, Pager: newPager(number, total, boxesPerPage, f.link),
		Builds: s.buildViews(builds, s.visitor(c)), May: writesSomewhere(s.who(c))}, err
}

// writesSomewhere tells whether somebody may write in any organisation.
func writesSomewhere(p auth.Principal) bool {
	for _, scope := range p.Orgs {
		if scope.Permits(auth.Write) {
			return true
		}
	}
	return p.Scope.Permits(auth.Write)
}

// with is a list that has a value in it, so that a filter which finds nothing stays in the form.
func with[T ~string](list []T, value string) []T {
	if value == "" || slices.Contains(list, T(value)) {
		return list
	}
	return append(list, T(value))
}
