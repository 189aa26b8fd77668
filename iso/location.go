package iso

import (
	"fmt"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
)

// location is the address of a file, taken apart: a URL, or a path on this machine.
type location struct {
	url  *url.URL // nil for a path on this machine
	path string   // empty for a URL
}

// schemeURL recognises "scheme://…"; anything else but "file:" is a path.
var schemeURL = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*://`)

// parseLocation reads an address as Packer does: http and https URLs, "file:" in all its spellings
// (file:///abs, file://./rel, file:rel) and plain paths. Relative paths start at cwd.
func parseLocation(s, cwd string) (location, error) {
	if rest, ok := cutFold(s, "file:"); ok {
		return localPath(fileURLPath(rest), cwd)
	}
	if !schemeURL.MatchString(s) {
		return localPath(s, cwd)
	}
	u, err := url.Parse(s)
	if err != nil {
		// The parser's message quotes parts of the text, and the text may hold a password.
		return location{}, fmt.Errorf("the address that begins with %q is not a valid URL: percent-encode special characters", schemeURL.FindString(s))
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return location{}, fmt.Errorf("%s: scheme %q is not supported: use http, https, file or a path", redact(u), u.Scheme)
	}
	if u.Host == "" {
		return location{}, fmt.Errorf("%s: the host is missing", redact(u))
	}
	return location{url: u}, nil
}

func localPath(p, cwd string) (location, error) {
	if p == "" {
		return location{}, fmt.Errorf("the path is empty")
	}
	if strings.ContainsRune(p, 0) {
		return location{}, fmt.Errorf("the path %q holds a NUL byte", p)
	}
	if !filepath.IsAbs(p) {
		p = filepath.Join(cwd, p)
	}
	return location{path: filepath.Clean(p)}, nil
}

// fileURLPath is the path in what follows "file:".
func fileURLPath(s string) string {
	if rest, ok := strings.CutPrefix(s, "//"); ok {
		s = rest
		if rest, ok := cutFold(s, "localhost/"); ok {
			s = "/" + rest
		}
	}
	if decoded, err := url.PathUnescape(s); err == nil {
		return decoded
	}
	return s
}

// cutFold is strings.CutPrefix without regard to case.
func cutFold(s, prefix string) (string, bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return s, false
	}
	return s[len(prefix):], true
}

// urlPath is the path by which checksum files and errors name the medium.
func (l location) urlPath() string {
	if l.url != nil {
		return l.url.Path
	}
	return filepath.ToSlash(l.path)
}

// String is the address without anything that may be a credential.
func (l location) String() string {
	if l.url != nil {
		return redact(l.url)
	}
	return l.path
}

// redact prints a URL without user, password, query and fragment: signed URLs carry their credential in the query.
func redact(u *url.URL) string {
	clean := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}
	s := clean.String()
	if u.RawQuery != "" {
		s += "?…"
	}
	return s
}
