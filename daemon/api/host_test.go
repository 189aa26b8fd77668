package api

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestCheckHost(t *testing.T) {
	t.Parallel()
	h := CheckHost("boxes.example.org", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {}))
	for host, want := range map[string]int{
		"localhost:8420": 200, "127.0.0.1:8420": 200, "[::1]:8420": 200, "192.0.2.7": 200, "boxes.example.org": 200,
		"Boxes.Example.org:443": 200, "evil.example.net": 421, "localhost.evil.example.net:8420": 421, "": 421,
	} {
		r := httptest.NewRequest(http.MethodGet, "/builds", nil)
		r.Host = host
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("Host %q: %d, want %d", host, w.Code, want)
		}
	}
}
