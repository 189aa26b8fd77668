package static

import (
	"context"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"testing"
	"time"
)

// throughSocket hands requests on to a server that listens on a unix socket, once it does.
func throughSocket(t *testing.T, socket string) http.Handler {
	t.Helper()
	for range 600 {
		if _, err := os.Stat(socket); err == nil {
			break
		}
		select {
		case <-time.After(100 * time.Millisecond): // nginx tells nobody that it listens
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		}
	}
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}
	return &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: "nginx"}) },
		Transport: transport,
	}
}
