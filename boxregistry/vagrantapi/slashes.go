package vagrantapi

import (
	"net/http"
	"strings"
)

// CollapseSlashes makes "//org/box" mean "/org/box", without a redirect: clients whose VAGRANT_SERVER_URL ends in a
// slash send the former, for uploads too, and a redirected PUT loses its body.
func CollapseSlashes(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "//") {
			u := *r.URL
			u.Path, u.RawPath = collapse(u.Path), collapse(u.RawPath)
			r2 := *r
			r2.URL = &u
			r = &r2
		}
		next.ServeHTTP(w, r)
	})
}

func collapse(path string) string {
	var b strings.Builder
	for i := range len(path) {
		if path[i] != '/' || i == 0 || path[i-1] != '/' {
			b.WriteByte(path[i])
		}
	}
	return b.String()
}
