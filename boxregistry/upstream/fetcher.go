package upstream

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/boxkiln/boxkiln/internal/netx"
)

// Fetcher brings bytes from elsewhere. Only Dir is required. It is safe for concurrent use.
type Fetcher struct {
	// Dir keeps what has arrived of files that are not complete. It must exist.
	Dir string
	// Client sends the requests; nil for NewClient. It must have no Timeout, which would cut long downloads.
	Client *http.Client
	// MaxSize is how large a file may be, in bytes; 0 for 256 GiB.
	MaxSize int64
	// Retries is how many attempts in a row may fail without a new byte; 0 for 5. Waits that a server asks for do not count.
	Retries int
	// MaxWait is how long one may be; 0 for two hours. HCP's limit is one of an hour.
	MaxWait time.Duration
	// Stall is how long a server may be silent; 0 for a minute.
	Stall time.Duration
	// Backoff is the pause before the next attempt, counted from 0; nil for half a second doubled up to ten.
	Backoff func(attempt int) time.Duration
	// Pause waits; nil for netx.Pause.
	Pause func(ctx context.Context, d time.Duration) error
	Now   func() time.Time // nil for time.Now

	once   sync.Once
	shared *http.Client

	mu   sync.Mutex
	busy map[string]bool // names of part files in use
}

const (
	defaultMaxSize = 256 << 30
	defaultRetries = 5
	defaultMaxWait = 2 * time.Hour
	defaultStall   = time.Minute
	// maxDocument is how large a catalog may be, in bytes: one of 200 versions of 6 files has half a megabyte.
	maxDocument = 32 << 20
	// maxWaits is how often in a row a server may ask to wait before a file is given up.
	maxWaits = 50
)

func (f *Fetcher) client() *http.Client {
	if f.Client != nil {
		return f.Client
	}
	f.once.Do(func() { f.shared = NewClient() })
	return f.shared
}

// Close drops idle connections.
func (f *Fetcher) Close() { f.client().CloseIdleConnections() }

func (f *Fetcher) now() time.Time {
	if f.Now == nil {
		return time.Now()
	}
	return f.Now()
}

func (f *Fetcher) maxSize() int64 { return cmp.Or(f.MaxSize, defaultMaxSize) }

// Status is one report of a fetch.
type Status struct {
	Done, Total int64         // bytes; Total is 0 when it is not known
	Err         error         // why the next attempt is needed; nil in reports of progress
	Wait        time.Duration // before the next attempt
	Asked       bool          // the server asked for the wait
}

// Message says in words why a fetch waits; empty for reports of progress.
func (s Status) Message() string {
	switch {
	case s.Err == nil:
		return ""
	case s.Asked:
		return fmt.Sprintf("%v: it asks to wait %s; going on then", s.Err, s.Wait.Round(time.Second))
	}
	return fmt.Sprintf("%v: trying again in %s", s.Err, s.Wait.Round(100*time.Millisecond))
}

// Tell is told about a fetch. It must return promptly and is not called after the fetch has ended.
type Tell func(Status)

// attempts counts what went wrong in a row.
type attempts struct{ failures, waits int }

// again decides whether an error is worth another attempt, says so, and waits before it. It returns the error, or why the
// wait was ended, when there is to be none.
func (f *Fetcher) again(ctx context.Context, a *attempts, err error, s Status, tell Tell) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if !temporary(err) {
		return err
	}
	s.Err, s.Wait = err, f.backoff(a.failures)
	var status *StatusError
	if errors.As(err, &status) && status.After > 0 {
		s.Asked, s.Wait = true, status.After
		if limit := cmp.Or(f.MaxWait, defaultMaxWait); s.Wait > limit {
			return fmt.Errorf("%w, and asks to wait %s, which is more than %s; try again later, what has arrived is kept", err, s.Wait.Round(time.Second), limit)
		}
		a.waits++
	} else {
		a.failures++
	}
	if a.failures >= cmp.Or(f.Retries, defaultRetries) || a.waits > maxWaits {
		return fmt.Errorf("%w (given up after %d attempts)", err, a.failures+a.waits)
	}
	tell(s)
	return f.pause(ctx, s.Wait)
}

func (f *Fetcher) backoff(attempt int) time.Duration {
	if f.Backoff != nil {
		return f.Backoff(attempt)
	}
	return netx.Backoff(attempt)
}

func (f *Fetcher) pause(ctx context.Context, d time.Duration) error {
	if f.Pause != nil {
		return f.Pause(ctx, d)
	}
	return netx.Pause(ctx, d)
}

// temporary tells the faults of networks and servers, which pass, from those that stay.
func temporary(err error) bool {
	var (
		status *StatusError
		dns    *net.DNSError
		cert   *tls.CertificateVerificationError
		file   *fs.PathError
	)
	switch {
	case errors.Is(err, errChanged), errors.Is(err, ErrTooLarge):
		return false
	case errors.As(err, &status):
		return netx.TemporaryStatus(status.Code)
	case errors.As(err, &dns):
		return !dns.IsNotFound
	case errors.As(err, &cert), errors.As(err, &file):
		return false
	}
	var network net.Error
	return errors.As(err, &network) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.Is(err, errStalled) || errors.Is(err, errShort)
}

// document is a small answer, read whole.
type document struct {
	body []byte
	kind string // its media type
}

// document reads a small document whole: a catalog, an answer of an API.
func (f *Fetcher) document(ctx context.Context, at string, access Access, tell Tell) (document, error) {
	var a attempts
	for {
		doc, err := f.readDocument(ctx, at, access)
		if err == nil {
			return doc, nil
		}
		if err := f.again(ctx, &a, err, Status{}, tell); err != nil {
			return document{}, err
		}
	}
}

func (f *Fetcher) readDocument(ctx context.Context, at string, access Access) (document, error) {
	x, err := f.get(ctx, at, access, http.Header{"Accept": {"application/json"}})
	if err != nil {
		return document{}, err
	}
	defer x.Close()
	kind, _, _ := strings.Cut(x.Header.Get("Content-Type"), ";")
	doc := document{kind: strings.TrimSpace(strings.ToLower(kind))}
	if doc.isBox(x.Request.URL.Path) {
		return doc, nil // the body is large, and not asked for yet
	}
	doc.body, err = io.ReadAll(io.LimitReader(x, maxDocument+1))
	if err == nil && len(doc.body) > maxDocument {
		err = fmt.Errorf("%s: %w: a document may have %d MiB", shown(x.Request.URL), ErrTooLarge, maxDocument>>20)
	}
	return doc, err
}

// isBox tells a box file by its media type, or by its name when there is no better one.
func (d document) isBox(path string) bool {
	switch d.kind {
	case "application/json":
		return false
	case "application/gzip", "application/x-gzip", "application/x-tar", "application/zstd", "application/x-xz", "application/vnd.vagrant.box":
		return true
	}
	return strings.HasSuffix(path, ".box")
}

// Sweep removes what is older than age of downloads that nobody took up again.
func (f *Fetcher) Sweep(age time.Duration) error {
	entries, err := os.ReadDir(f.Dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, statErr := e.Info()
		if statErr == nil && info.Mode().IsRegular() && f.now().Sub(info.ModTime()) > age {
			err = errors.Join(err, os.Remove(partName{f.Dir, e.Name()}.path()))
		}
	}
	return err
}
