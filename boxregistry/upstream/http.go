package upstream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/boxkiln/boxkiln/internal/netx"
)

// Access is a credential for one host. The zero value is none.
type Access struct {
	Host  string // with its port, if the URLs have one
	Token string // sent as "Authorization: Bearer"
}

// maxRedirects is how many Vagrant follows.
const maxRedirects = 10

// NewClient makes a client that goes where an upstream leads it and no further: http and https, never from https back to
// http, and with its credential only as long as the host stays the same; net/http alone would send it to subdomains too.
func NewClient() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableCompression = true // ranges and checksums are of the file's own bytes
	return &http.Client{Transport: transport, CheckRedirect: checkRedirect}
}

func checkRedirect(req *http.Request, via []*http.Request) error {
	last := via[len(via)-1]
	switch {
	case len(via) >= maxRedirects:
		return fmt.Errorf("%s redirects more than %d times", shown(via[0].URL), maxRedirects)
	case req.URL.Scheme != "https" && req.URL.Scheme != "http":
		return fmt.Errorf("%s redirects to a %q address", shown(last.URL), req.URL.Scheme)
	case last.URL.Scheme == "https" && req.URL.Scheme == "http":
		return fmt.Errorf("%s redirects from https to %s", shown(last.URL), shown(req.URL))
	}
	req.Header.Del("Referer") // it would carry the query of the address before
	if req.URL.Host != last.URL.Host {
		req.Header.Del("Authorization")
	}
	return nil
}

// shown is an address for messages: without user, password and query, which may be secret.
func shown(u *url.URL) string { return u.Scheme + "://" + u.Host + u.Path }

// parseURL takes http and https addresses.
func parseURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil {
		return nil, errors.New("an address that is no URL") // the error would show it, with what may be secret in it
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("%q: want an http or https address", shown(u))
	}
	return u, nil
}

// StatusError is an answer that is not what was asked for.
type StatusError struct {
	URL   string // as it may be shown
	Code  int
	After time.Duration // how long the server asks to wait; 0 when it does not say
}

// Error implements error.
func (e *StatusError) Error() string {
	return fmt.Sprintf("%s answered %d %s", e.URL, e.Code, http.StatusText(e.Code))
}

// errStalled ends a request whose server has fallen silent.
var errStalled = errors.New("the server fell silent")

// exchange is one answer. Its body ends with errStalled when the server falls silent, and must be closed.
type exchange struct {
	*http.Response
	cancel context.CancelCauseFunc
	ctx    context.Context // of the request
}

// Close ends the exchange.
func (x *exchange) Close() error {
	x.cancel(nil)
	return x.Body.Close()
}

// Read reads the body.
func (x *exchange) Read(p []byte) (int, error) {
	n, err := x.Body.Read(p)
	return n, x.explain(err)
}

func (x *exchange) explain(err error) error {
	if err != nil && !errors.Is(err, io.EOF) && errors.Is(context.Cause(x.ctx), errStalled) {
		return errStalled
	}
	return err
}

// get sends one request. Every status but 200 and 206 is a *StatusError.
func (f *Fetcher) get(ctx context.Context, at string, access Access, header http.Header) (*exchange, error) {
	u, err := parseURL(at)
	if err != nil {
		return nil, err
	}
	reqCtx, cancel := context.WithCancelCause(ctx)
	req, err := http.NewRequestWithContext(reqCtx, http.MethodGet, u.String(), nil)
	if err != nil {
		cancel(nil)
		return nil, netx.WithoutURL(err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	req.Header.Set("User-Agent", "Boxkiln")
	if access.Token != "" && access.Host == u.Host {
		req.Header.Set("Authorization", "Bearer "+access.Token)
	}
	x := &exchange{cancel: cancel, ctx: reqCtx}
	watchdog := time.AfterFunc(f.stall(), func() { cancel(errStalled) })
	x.Response, err = f.client().Do(req)
	watchdog.Stop()
	if err != nil {
		defer cancel(nil)
		return nil, fmt.Errorf("%s: %w", shown(u), x.explain(netx.WithoutURL(err)))
	}
	x.Body = netx.Watch(x.Body, watchdog, f.stall())
	if x.StatusCode != http.StatusOK && x.StatusCode != http.StatusPartialContent {
		defer x.Close()
		return nil, &StatusError{URL: shown(u), Code: x.StatusCode, After: wait(x.Header, f.now())}
	}
	return x, nil
}

// wait is how long a server asks to be left alone; 0 when it does not. HCP's registry says it in a header of its own, as
// seconds since 1970 (hashicorp/vagrant#13591), others in Retry-After, Vagrant Cloud once did in X-RateLimit-Reset.
func wait(h http.Header, now time.Time) time.Duration {
	until := func(name string) time.Duration {
		seconds, err := strconv.ParseInt(strings.TrimSpace(h.Get(name)), 10, 64)
		if err != nil {
			return 0
		}
		return max(0, time.Unix(seconds, 0).Sub(now))
	}
	if d := until("X-Hcp-Vagrant-Limit-Retry-After"); d > 0 {
		return d
	}
	if d := retryAfter(h.Get("Retry-After"), now); d > 0 {
		return d
	}
	if h.Get("X-RateLimit-Remaining") == "0" {
		return until("X-RateLimit-Reset")
	}
	return 0
}

// retryAfter reads Retry-After: seconds, or a date (RFC 9110, 10.2.3).
func retryAfter(value string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseInt(strings.TrimSpace(value), 10, 32); err == nil {
		return time.Duration(max(0, seconds)) * time.Second
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return max(0, at.Sub(now))
}

func (f *Fetcher) stall() time.Duration { return cmp.Or(f.Stall, defaultStall) }
