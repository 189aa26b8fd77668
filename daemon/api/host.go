package api

import (
	"net"
	"net/http"
	"strings"

	"github.com/boxkiln/boxkiln/daemon/wire"
)

// CheckHost refuses requests that name this server by a name it does not have. A page of another site can point a name
// of its own at a loopback address and have a browser ask it as if it were that site (DNS rebinding); it cannot do so
// with an address. known is the host that the daemon was told it has (--base-url), without a port; it may be empty.
func CheckHost(known string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := hostOnly(r.Host)
		if host == "localhost" || strings.EqualFold(host, known) || net.ParseIP(host) != nil {
			next.ServeHTTP(w, r)
			return
		}
		http.Error(w, wire.Errorf(wire.CodeForbidden, "this daemon is not called %q: start it with serve --base-url https://%s", host, host).Error(),
			http.StatusMisdirectedRequest)
	})
}

// hostOnly is a Host header without its port and brackets.
func hostOnly(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return strings.Trim(host, "[]")
}
