package daemon

import (
	"strings"
	"testing"

	"github.com/gin-gonic/gin"

	"github.com/boxkiln/boxkiln/boxregistry/vagrantapi"
	"github.com/boxkiln/boxkiln/daemon/api"
	"github.com/boxkiln/boxkiln/internal/orgname"
	"github.com/boxkiln/boxkiln/web"
)

// TestPathsAreNoOrganisations: whatever begins the path of a page or an interface is the name of no organisation, whose boxes
// would be hidden behind it.
func TestPathsAreNoOrganisations(t *testing.T) {
	t.Parallel()
	pages, err := web.New(web.Sources{}, web.Options{})
	if err != nil {
		t.Fatal(err)
	}
	door := api.Door{API: &api.Server{}, Others: []api.Routes{pages, api.Beside{}, vagrantapi.New(nil, vagrantapi.Options{})}, NotFound: pages.NotFound}
	seen := map[string]bool{}
	for _, route := range door.Handler().(*gin.Engine).Routes() {
		first, _, _ := strings.Cut(strings.TrimPrefix(route.Path, "/"), "/")
		if first == "" || first == ":org" || seen[first] {
			continue
		}
		seen[first] = true
		if !orgname.Fits(first) || !orgname.Reserved(first) {
			t.Errorf("%s %s: there may be an organisation %q; reserve that name in package orgname", route.Method, route.Path, first)
		}
	}
	if !seen["v1"] || !seen["api"] || !seen["builds"] {
		t.Errorf("only %v is served", seen)
	}
}
