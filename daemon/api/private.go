package api

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/boxkiln/boxkiln/daemon/wire"
	"github.com/boxkiln/boxkiln/internal/auth"
)

// What is open where everything else is private: the page to log in by, Vagrant's way to log in, and the paths whose secret
// or signature is their authority. No organisation can have these names: boxregistry keeps them back.
var (
	openPaths    = []string{"/livez", "/login", "/api/v1/authenticate", "/api/v2/authenticate"}
	openPrefixes = []string{"/assets/", "/dl/", "/up/"}
)

// private hides everything from those who are not known: there is nothing for them. A browser is sent to log in, and a client
// of the API is told that it needs a token.
func private(c *gin.Context) {
	if principal(c).Known() || open(c.Request.URL.Path) {
		return
	}
	c.Header("Cache-Control", "no-store")
	last := c.Errors.Last()
	switch {
	case last != nil && !errors.Is(last.Err, auth.ErrRefused):
		e := coded(last.Err)
		c.AbortWithStatusJSON(wire.Status[e.Code], wire.ErrorReply{Error: e})
	case strings.HasPrefix(c.Request.URL.Path, "/v1/"):
		deny(c, auth.Read)
	case wantsPage(c.Request):
		c.Redirect(http.StatusSeeOther, "/login?next="+url.QueryEscape(c.Request.URL.RequestURI()))
		c.Abort()
	default:
		c.String(http.StatusNotFound, "not found\n")
		c.Abort()
	}
}

func open(path string) bool {
	return slices.Contains(openPaths, path) ||
		slices.ContainsFunc(openPrefixes, func(prefix string) bool { return strings.HasPrefix(path, prefix) })
}

// wantsPage tells a person who looks at a page from Vagrant, which asks for JSON or for anything.
func wantsPage(r *http.Request) bool {
	read := r.Method == http.MethodGet || r.Method == http.MethodHead
	return read && strings.Contains(r.Header.Get("Accept"), "text/html")
}
