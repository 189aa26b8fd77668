package iso

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"time"

	"github.com/boxkiln/boxkiln/internal/netx"
)

// errStalled ends a request whose server has fallen silent.
var errStalled = errors.New("the server fell silent")

// statusError is an answer that is not the file.
type statusError struct {
	code int
}

// Error gives the status as the server sent it.
func (e *statusError) Error() string {
	return fmt.Sprintf("the server answered %d %s", e.code, http.StatusText(e.code))
}

// temporary tells the answers that may be another one soon.
func (e *statusError) temporary() bool { return netx.TemporaryStatus(e.code) }

// get sends one request and hands its answer to use. A server that sends nothing for the stall time-out, before or
// within its answer, ends it with errStalled.
func (c *Cache) get(ctx context.Context, loc location, header http.Header, use func(*http.Response) error) error {
	reqCtx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watchdog := time.AfterFunc(c.cfg.Stall, func() { cancel(errStalled) })
	defer watchdog.Stop()
	err := c.roundTrip(reqCtx, loc, header, func(resp *http.Response) error {
		watchdog.Stop()
		resp.Body = netx.Watch(resp.Body, watchdog, c.cfg.Stall)
		return use(resp)
	})
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(context.Cause(reqCtx), errStalled):
		return fmt.Errorf("%w for %v", errStalled, c.cfg.Stall)
	}
	return err
}

func (c *Cache) roundTrip(ctx context.Context, loc location, header http.Header, use func(*http.Response) error) (err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, loc.url.String(), nil)
	if err != nil {
		return netx.WithoutURL(err)
	}
	if header != nil {
		req.Header = header
	}
	req.Header.Set("User-Agent", "Boxkiln")
	req.Header.Set("Accept-Encoding", "identity") // ranges and checksums are of the file's own bytes
	resp, err := c.cfg.Client.Do(req)
	if err != nil {
		return netx.WithoutURL(err)
	}
	defer resp.Body.Close()
	return use(resp)
}

// retry repeats try until it succeeds, fails for good, or has failed too often in a row without getting further.
// Each failure that will be retried is reported.
func (c *Cache) retry(ctx context.Context, try func() (progressed bool, err error), report func(error)) error {
	for failures := 0; ; {
		progressed, err := try()
		if err == nil || ctx.Err() != nil || !retryable(err) {
			return err
		}
		if progressed {
			failures = 0
		}
		failures++
		if failures >= c.cfg.Retries {
			return fmt.Errorf("%w (given up after %d attempts): check the address and the network, or add another one to iso_urls", err, failures)
		}
		report(err)
		if err := netx.Pause(ctx, c.cfg.Backoff(failures-1)); err != nil {
			return err
		}
	}
}

// retryable tells the faults of networks and servers, which pass, from those that stay.
func retryable(err error) bool {
	var (
		status *statusError
		sum    *ChecksumError
		dns    *net.DNSError
		cert   *tls.CertificateVerificationError
		file   *fs.PathError
	)
	switch {
	case errors.As(err, &status):
		return status.temporary()
	case errors.As(err, &dns):
		return !dns.IsNotFound
	case errors.As(err, &sum), errors.As(err, &cert), errors.As(err, &file):
		return false
	}
	return !errors.Is(err, errNotModified) && !errors.Is(err, ErrDiskFull)
}
