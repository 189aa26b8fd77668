package boxregistry

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// BaseURL is what clients reach the registry under, scheme and host without a slash at the end. The zero value means
// "whatever host the client asked".
type BaseURL string

// ParseBaseURL reads "https://boxes.example.org"; empty text is the zero value. A path is refused, because "vagrant
// cloud" of Vagrant 2.3 asks at the root of the host whatever path VAGRANT_SERVER_URL has.
func ParseBaseURL(s string) (BaseURL, error) {
	if s == "" {
		return "", nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", fmt.Errorf("base URL %q: want http:// or https:// and a host", s)
	}
	if strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return "", fmt.Errorf("base URL %q: want scheme and host alone; the registry needs a host or port of its own", s)
	}
	return BaseURL(u.Scheme + "://" + u.Host), nil
}

// For is the base of the URLs in the answer to r: b itself, or the scheme and host that the client used. Headers of
// proxies are not believed, since whoever sends them would choose where Vagrant downloads from; behind a proxy that
// ends TLS, set b.
func (b BaseURL) For(r *http.Request) string {
	switch {
	case b != "":
		return string(b)
	case r.TLS != nil:
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// Host is the host of the URL without its port; empty for the zero value.
func (b BaseURL) Host() string {
	u, err := url.Parse(string(b))
	if err != nil { // ParseBaseURL made it
		return ""
	}
	return u.Hostname()
}
