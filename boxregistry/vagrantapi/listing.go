package vagrantapi

import (
	"context"
	"errors"
	"math"
	"net/http"
	"slices"
	"strconv"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/internal/auth"
)

type organisationObject struct {
	Username        string      `json:"username"`
	AvatarURL       string      `json:"avatar_url"`
	ProfileHTML     string      `json:"profile_html"`
	ProfileMarkdown string      `json:"profile_markdown"`
	Boxes           []boxObject `json:"boxes"`
}

// organisation lists all boxes of an organisation, unpaged: the gem looks for a box in this list before it changes one.
// An organisation begins with its first box, so to those who may write there it is always there.
func (a *API) organisation(r request) (any, error) {
	editor, err := a.editor()
	if err != nil {
		return nil, err
	}
	org := r.Param("org")
	list, _, err := editor.List(r.ctx(), boxregistry.ListQuery{Org: org, Seen: a.sight(r.who), Limit: -1})
	if err != nil {
		return nil, err
	}
	// The organisation is found in any case, but a client goes on with the name that it asked for.
	list = slices.DeleteFunc(list, func(s boxregistry.Summary) bool { return s.Name.Org() != org || a.closedTo(r.who) })
	if len(list) == 0 && !r.who.PermitsIn(org, auth.Read) {
		return nil, refuse(http.StatusNotFound, "Resource not found! There is no organisation %q with a box that you may see.", org)
	}
	boxes, err := a.objects(r, list)
	return organisationObject{Username: org, Boxes: boxes}, err
}

// sight is whose private boxes somebody sees.
func (a *API) sight(p auth.Principal) boxregistry.Sight {
	s := boxregistry.Sight{All: p.Scope.Permits(auth.Read)}
	for org := range p.Orgs {
		if p.PermitsIn(org, auth.Read) {
			s.Orgs = append(s.Orgs, org)
		}
	}
	return s
}

// objects fills a list with what is not in it: above all the current version of each box.
func (a *API) objects(r request, list []boxregistry.Summary) ([]boxObject, error) {
	out := []boxObject{}
	for _, s := range list {
		o, err := a.object(r, s.Name)
		if errors.Is(err, boxregistry.ErrNotFound) {
			continue // deleted since
		}
		if err != nil {
			return nil, err
		}
		o.Downloads = s.Downloads // counting does not change the revision
		out = append(out, o)
	}
	return out, nil
}

// object is a box in a list. It is kept like a catalog, since an organisation may have hundreds of boxes.
func (a *API) object(r request, name boxregistry.Name) (boxObject, error) {
	k := objectKey{name, r.urls()}
	revision, keep := a.revision(name)
	return a.objectsKept.load(r.ctx(), k, revision, keep, func(ctx context.Context) (boxObject, int, error) {
		b, err := a.boxes.Box(ctx, name)
		if err != nil {
			return boxObject{}, 0, err
		}
		o, err := r.urls().box(target{b, boxregistry.Stable})
		return o, len(o.CurrentVersion) + 3*len(o.Description), err
	})
}

type objectKey struct {
	name boxregistry.Name
	urls urls
}

type searchAnswer struct {
	Boxes []boxObject `json:"boxes"` // and no other field: the gem knows none
}

// searchLimit is Vagrant Cloud's largest page; searchPage is the size of one when the client names none.
const (
	searchLimit = 100
	searchPage  = 10
)

var searchSorts = map[string]boxregistry.Sort{
	"created": boxregistry.ByCreated, "updated": boxregistry.ByUpdated, "downloads": boxregistry.ByDownloads,
}

// search finds boxes with a released version: one without crashes the gem.
func (a *API) search(r request) (any, error) {
	editor, err := a.editor()
	if err != nil || a.closedTo(r.who) {
		return searchAnswer{[]boxObject{}}, err
	}
	sort, ok := searchSorts[r.Query("sort")]
	if !ok {
		sort = boxregistry.ByDownloads
	}
	limit := number(r.Query("limit"), searchPage, searchLimit)
	q := boxregistry.ListQuery{
		Search: r.Query("q"), Provider: boxregistry.Provider(r.Query("provider")), Architecture: boxregistry.Architecture(r.Query("architecture")),
		Seen: a.sight(r.who), ReleasedOnly: true, Sort: sort, Limit: limit, Offset: (number(r.Query("page"), 1, math.MaxInt32) - 1) * limit,
	}
	list, err := pageOf(r, editor, q, r.Query("order") == "asc")
	if err != nil {
		return nil, err
	}
	boxes, err := a.objects(r, list)
	return searchAnswer{boxes}, err
}

// pageOf is a page of the list, which begins with the largest unless it is turned round.
func pageOf(r request, boxes Lister, q boxregistry.ListQuery, ascending bool) ([]boxregistry.Summary, error) {
	if !ascending {
		list, _, err := boxes.List(r.ctx(), q)
		return list, err
	}
	from, size := q.Offset, q.Limit
	q.Offset, q.Limit = 0, 0
	_, total, err := boxes.List(r.ctx(), q)
	end := total - from
	if err != nil || end <= 0 {
		return nil, err
	}
	q.Offset = max(0, end-size)
	q.Limit = end - q.Offset
	list, _, err := boxes.List(r.ctx(), q)
	slices.Reverse(list)
	return list, err
}

// number reads a positive number, or takes the default.
func number(s string, otherwise, most int) int {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		return otherwise
	}
	return min(n, most)
}
