package iso

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/boxkiln/boxkiln/internal/fsx"
	"github.com/boxkiln/boxkiln/internal/netx"
)

// Source is a medium as a template names it.
type Source struct {
	URLs            []string `json:"urls"`                       // tried in order
	Checksum        string   `json:"checksum"`                   // any form of iso_checksum
	TargetPath      string   `json:"target_path,omitempty"`      // where to keep the download instead of the cache
	TargetExtension string   `json:"target_extension,omitempty"` // "iso" unless set
	Cwd             string   `json:"cwd,omitempty"`              // where relative paths start
}

// File is a medium that is on this machine and has been verified.
type File struct {
	Path   string `json:"path"`
	SHA256 Digest `json:"sha256"` // of the bytes, whatever the template declares
	Digest Digest `json:"digest"` // what the template declares; SHA256 again if it declares none
	Size   int64  `json:"size"`   // bytes
	Cached bool   `json:"cached"` // nothing was downloaded and nothing hashed
	URL    string `json:"url"`    // where it came from, without credentials
}

// Fingerprint is the digest by which the medium enters fingerprints: what the template declares, or else the sha256 of
// the bytes; empty for no medium.
func (f File) Fingerprint() string {
	d := f.Digest
	if d.Hex == "" {
		d = f.SHA256
	}
	if d.Hex == "" {
		return ""
	}
	return string(d.Algorithm) + ":" + d.Hex
}

// Phase tells what a fetch is doing.
type Phase string

// The phases of a fetch.
const (
	PhaseWait     Phase = "wait"     // another process is downloading the same medium
	PhaseDownload Phase = "download" // Done and Total count the medium's bytes
	PhaseVerify   Phase = "verify"   // Done and Total count the bytes hashed
	PhaseRetry    Phase = "retry"    // Err says what went wrong; the download goes on shortly
)

// Status is one report of a fetch's progress.
type Status struct {
	Phase Phase
	URL   string // without credentials
	Done  int64  // bytes
	Total int64  // bytes, 0 if unknown
	Err   error  // why a retry was needed
}

// Progress is told about a fetch about ten times a second. It must return promptly and may be called from another
// goroutine than the one that called Fetch, but not after Fetch has returned. A nil Progress is not called.
type Progress func(Status)

// Config is what a Cache needs. Only Dir is required.
type Config struct {
	Dir     string                          // made if it does not exist
	Client  *http.Client                    // must not have a Timeout, which would cut long downloads; nil for a client of its own
	Stall   time.Duration                   // how long a server may be silent; 0 for 30 s
	Retries int                             // attempts in a row without a new byte before a URL is given up; 0 for 5
	Now     func() time.Time                // nil for time.Now
	Backoff func(attempt int) time.Duration // before the next attempt, counted from 0; nil for 0.5 s doubling up to 10 s
	Free    func(dir string) (int64, error) // bytes that may still be written in dir; nil asks the file system
}

// Cache keeps media on disk. It is safe for concurrent use, and several processes may share its directory.
type Cache struct {
	cfg     Config
	flights flightGroup
	seals   sealer
}

// NewCache prepares the cache's directory.
func NewCache(cfg Config) (*Cache, error) {
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, err
	}
	cfg.Dir = dir
	if err := os.MkdirAll(filepath.Join(dir, "seals"), 0o755); err != nil {
		return nil, fmt.Errorf("media cache: %w", err)
	}
	if cfg.Client == nil {
		cfg.Client = &http.Client{}
	}
	if cfg.Stall == 0 {
		cfg.Stall = 30 * time.Second
	}
	if cfg.Retries == 0 {
		cfg.Retries = 5
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Backoff == nil {
		cfg.Backoff = netx.Backoff
	}
	if cfg.Free == nil {
		cfg.Free = fsx.Free
	}
	return &Cache{cfg: cfg, seals: sealer{dir: filepath.Join(dir, "seals"), now: cfg.Now}}, nil
}

// Fetch makes the medium available on this machine and verifies it. The URLs are tried in order; if all fail, their
// errors are joined. Concurrent fetches of one medium share one download, which goes on as long as one of them
// waits. Errors: *ChecksumError, *DiskFullError, fs.ErrNotExist for a missing local file, the context's cause.
func (c *Cache) Fetch(ctx context.Context, src Source, p Progress) (File, error) {
	want, err := ParseChecksum(src.Checksum)
	if err != nil {
		return File{}, fmt.Errorf("iso_checksum: %w", err)
	}
	if len(src.URLs) == 0 {
		return File{}, errors.New("iso_url is missing: set iso_url or iso_urls")
	}
	if p == nil {
		p = func(Status) {}
	}
	sums := sumFiles{cache: c, cwd: src.Cwd}
	var errs []error
	for _, u := range src.URLs {
		f, err := c.fetchURL(ctx, src, u, want, &sums, p)
		if err == nil {
			return f, nil
		}
		errs = append(errs, err)
		if ctx.Err() != nil || errors.Is(err, ErrDiskFull) {
			break // the next URL would end the same way
		}
	}
	return File{}, errors.Join(errs...)
}

// Sweep removes the unfinished downloads in the cache's directory that nobody has gone on with since a given time.
func (c *Cache) Sweep(before time.Time) error {
	partials, err := filepath.Glob(filepath.Join(c.cfg.Dir, "*"+partialSuffix))
	for _, p := range partials {
		info, statErr := os.Stat(p)
		if statErr != nil || !info.ModTime().Before(before) {
			continue // gone meanwhile, or in use
		}
		err = errors.Join(err, removePartial(p))
	}
	return err
}

// fetchURL gets the medium from one of its URLs.
func (c *Cache) fetchURL(ctx context.Context, src Source, raw string, want Checksum, sums *sumFiles, p Progress) (File, error) {
	loc, err := parseLocation(raw, src.Cwd)
	if err != nil {
		return File{}, fmt.Errorf("iso_url: %w", err)
	}
	digest := want.Digest
	if want.File != "" {
		if digest, err = sums.find(ctx, want.File, loc); err != nil {
			return File{}, err
		}
	}
	if loc.url == nil {
		return c.local(ctx, loc, raw, digest, p)
	}
	r := remote{cache: c, loc: loc, want: digest, target: c.target(src, loc, digest)}
	return c.flights.do(ctx, r.key(), p, r.ensure)
}

// target is the path where a download is kept. Media with a declared digest are kept under that digest, so that
// mirrors share one file; others under their URL. Like Packer, iso_target_path is a directory unless it has an
// extension.
func (c *Cache) target(src Source, loc location, want Digest) string {
	key := loc.url.String()
	if want.Hex != "" {
		key = want.String()
	}
	ext := strings.TrimPrefix(strings.ToLower(src.TargetExtension), ".")
	if ext == "" {
		ext = "iso"
	}
	name := nameFor(key) + "." + ext
	dir := src.TargetPath
	switch {
	case dir == "":
		return filepath.Join(c.cfg.Dir, name)
	case !filepath.IsAbs(dir):
		dir = filepath.Join(src.Cwd, dir)
	}
	if filepath.Ext(dir) != "" {
		return dir
	}
	return filepath.Join(dir, name)
}

// local verifies a file of this machine where it is.
func (c *Cache) local(ctx context.Context, loc location, raw string, want Digest, p Progress) (File, error) {
	info, err := os.Stat(loc.path)
	if err != nil {
		return File{}, fmt.Errorf("iso_url %q: no file at %s: check the path: %w", raw, loc.path, cause(err))
	}
	if !info.Mode().IsRegular() {
		return File{}, fmt.Errorf("iso_url %q: %s is not a regular file", raw, loc.path)
	}
	s, cached, err := c.seals.verify(ctx, loc.path, want, func(done int64) {
		p(Status{Phase: PhaseVerify, URL: loc.path, Done: done, Total: info.Size()})
	})
	if err != nil {
		return File{}, fmt.Errorf("iso_url %q: %w", raw, err)
	}
	return s.file(loc.path, loc, want, cached), nil
}
