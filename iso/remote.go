package iso

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
)

// remote is a medium on a server and the place on this machine where it is kept.
type remote struct {
	cache  *Cache
	loc    location
	want   Digest // no Hex if the template declares none
	target string
}

// key tells which fetches may share the work: those of one digest kept in one place; without a declared digest only
// those of one URL.
func (r remote) key() string {
	if r.want.Hex == "" {
		return r.target + "\x00" + r.loc.url.String()
	}
	return r.target + "\x00" + r.want.String()
}

// ensure makes the target hold the medium: by its seal, by hashing what lies there, or by downloading it. Only one
// process at a time does so.
func (r remote) ensure(ctx context.Context, tell Progress) (File, error) {
	if err := os.MkdirAll(filepath.Dir(r.target), 0o755); err != nil {
		return File{}, fmt.Errorf("keep %s: %w", r.loc, err)
	}
	lock := filepath.Join(r.cache.seals.dir, nameFor(r.target)+".lock")
	unlock, err := lockFile(ctx, lock, func() { tell(Status{Phase: PhaseWait, URL: r.loc.String()}) })
	if err != nil {
		return File{}, fmt.Errorf("download %s: %w", r.loc, err)
	}
	f, err := r.ensureLocked(ctx, tell)
	return f, errors.Join(err, unlock())
}

func (r remote) ensureLocked(ctx context.Context, tell Progress) (File, error) {
	if r.want.Hex != "" {
		if s, cached, err := r.verifyTarget(ctx, tell); err == nil {
			return s.file(r.target, r.loc, r.want, cached), nil
		} else if ctx.Err() != nil {
			return File{}, err
		}
	}
	d := download{remote: r, tell: tell}
	sealed, ok := r.cache.seals.load(r.target)
	if ok && r.want.Hex == "" {
		d.known = sealed.Validators // without a checksum only the server knows whether the file is still the one
	}
	switch s, err := d.run(ctx); {
	case errors.Is(err, errNotModified):
		return sealed.file(r.target, r.loc, r.want, true), nil
	case err != nil:
		return File{}, fmt.Errorf("download %s: %w", r.loc, err)
	default:
		return s.file(r.target, r.loc, r.want, false), nil
	}
}

// verifyTarget accepts what an earlier run left at the target, if the bytes are right.
func (r remote) verifyTarget(ctx context.Context, tell Progress) (seal, bool, error) {
	info, err := os.Stat(r.target)
	if err != nil {
		return seal{}, false, err
	}
	return r.cache.seals.verify(ctx, r.target, r.want, func(done int64) {
		tell(Status{Phase: PhaseVerify, URL: r.loc.String(), Done: done, Total: info.Size()})
	})
}

// validators are what a server says to recognise a version of a file.
type validators struct {
	ETag         string `json:"etag,omitempty"`
	LastModified string `json:"last_modified,omitempty"`
}

func validatorsOf(h http.Header) validators {
	return validators{ETag: h.Get("ETag"), LastModified: h.Get("Last-Modified")}
}

// ifRange is the validator that RFC 9110 13.1.5 allows in If-Range: a strong entity tag, else the date.
func (v validators) ifRange() string {
	if len(v.ETag) > 1 && v.ETag[0] == '"' {
		return v.ETag
	}
	return v.LastModified
}

// conditions ask the server to send the file only if it is another one.
func (v validators) conditions(h http.Header) {
	if v.ETag != "" {
		h.Set("If-None-Match", v.ETag)
	} else if v.LastModified != "" {
		h.Set("If-Modified-Since", v.LastModified)
	}
}
