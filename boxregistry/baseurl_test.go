package boxregistry

import (
	"crypto/tls"
	"net/http"
	"strings"
	"testing"
)

func TestBaseURL(t *testing.T) {
	t.Parallel()
	plain := &http.Request{Host: "reg:8099", Header: http.Header{"X-Forwarded-Host": {"evil"}, "X-Forwarded-Proto": {"https"}}}
	secure := &http.Request{Host: "reg", TLS: &tls.ConnectionState{}}
	for _, c := range []struct {
		base string
		req  *http.Request
		want string
	}{
		{"", plain, "http://reg:8099"},
		{"", secure, "https://reg"},
		{"https://boxes.example.org", plain, "https://boxes.example.org"},
		{"http://boxes.example.org:8099/", secure, "http://boxes.example.org:8099"},
	} {
		b, err := ParseBaseURL(c.base)
		if got := b.For(c.req); err != nil || got != c.want {
			t.Errorf("%q for %s: %s, %v; want %s", c.base, c.req.Host, got, err, c.want)
		}
	}
	for _, s := range []string{"boxes.example.org", "ftp://x", "http://", "https://x/sub", "https://x/?a=b", "https://x/#f", "https://u:p@x", "://"} {
		if _, err := ParseBaseURL(s); err == nil || !strings.Contains(err.Error(), s) {
			t.Errorf("ParseBaseURL(%q): %v", s, err)
		}
	}
}
