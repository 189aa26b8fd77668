package mirror

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/blob"
	"github.com/boxkiln/boxkiln/boxregistry/boxfile"
	"github.com/boxkiln/boxkiln/boxregistry/upstream"
)

// Serve answers a request for a mirrored file that is not here yet, and reports whether it did. Every other request is
// for somebody else: put it before the handlers of Vagrant's protocol, and behind what finds out who asks.
func (m *Mirror) Serve(w http.ResponseWriter, r *http.Request) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	want, ok := parsePath(r.URL.Path)
	if !ok || !m.Mirrors(want.box.Org()) {
		return false
	}
	ctx := r.Context()
	if _, err := m.cfg.Boxes.Box(ctx, want.box); !errors.Is(err, boxregistry.ErrNotFound) {
		return false
	}
	x, err := m.mirrored(ctx, want.box)
	if err != nil {
		return false
	}
	v, f, ok := x.find(want)
	if !ok {
		return false
	}
	file, here := x.file(v, f)
	if want.digest != "" && want.digest != file.Digest.Short() {
		return false
	}
	if here && m.stored(r, file.Digest) {
		return false // an ordinary blob by now
	}
	if m.cfg.Offline {
		http.Error(w, "the mirror is offline, and this file is not here", http.StatusNotFound)
		return true
	}
	return m.serve(w, r, fileKey{want.box, v.Number.String(), f.Provider, architecture(f), source(f)}, v, f)
}

// stored makes sure that bytes that are known to be here still are.
func (m *Mirror) stored(r *http.Request, d blob.Digest) bool {
	src, _, err := m.cfg.Boxes.OpenBlob(r.Context(), d)
	if err != nil {
		return false
	}
	_ = src.Close() // it was not read
	return true
}

// serve sends a file while it comes.
func (m *Mirror) serve(w http.ResponseWriter, r *http.Request, key fileKey, v upstream.Version, file upstream.File) bool {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	if r.Method == http.MethodHead { // nobody who only looks begins a fetch
		h.Set("Content-Type", "application/octet-stream")
		h.Set("Accept-Ranges", "bytes")
		if file.Size > 0 {
			h.Set("Content-Length", strconv.FormatInt(file.Size, 10))
		}
		w.WriteHeader(http.StatusOK)
		return true
	}
	f := m.join(key, v, file)
	defer m.leave(key, f)
	size, err := f.started(r.Context())
	if err == nil && (size == 0 || startsAt(r, size)) {
		// Without a size no part of it can be sent, and a client that has all of it needs an answer of Vagrant's handlers.
		if err = f.finished(r.Context()); err == nil {
			return false
		}
	}
	if err != nil {
		refuse(w, r, err)
		return true
	}
	h.Set("Content-Type", "application/octet-stream")
	if file.Checksum.Type == "sha256" {
		h.Set("ETag", `"`+file.Checksum.Hex+`"`)
	}
	http.ServeContent(w, r, "", time.Time{}, &tail{ctx: r.Context(), f: f, size: size})
	return true
}

// startsAt tells a client that asks for what comes after the last byte.
func startsAt(r *http.Request, size int64) bool {
	return r.Header.Get("Range") == fmt.Sprintf("bytes=%d-", size)
}

// refuse answers when a fetch failed before its first byte.
func refuse(w http.ResponseWriter, r *http.Request, err error) {
	var status *upstream.StatusError
	switch {
	case r.Context().Err() != nil: // the client has gone
	case errors.Is(err, blob.ErrNoSpace):
		http.Error(w, "the mirror's disk is full", http.StatusInsufficientStorage)
	case errors.As(err, &status) && status.Code == http.StatusNotFound:
		http.Error(w, "the mirrored registry does not have this file any more", http.StatusNotFound)
	case errors.As(err, &status) && status.After > 0:
		w.Header().Set("Retry-After", strconv.Itoa(int(status.After.Seconds())+1))
		http.Error(w, "the mirrored registry asks to wait", http.StatusServiceUnavailable)
	case errors.Is(err, boxregistry.ErrChecksum), errors.Is(err, boxfile.ErrInvalid):
		http.Error(w, "what the mirrored registry sent is not what it announced, or no box", http.StatusBadGateway)
	default:
		http.Error(w, "the mirrored registry does not answer", http.StatusBadGateway)
	}
}

// wanted is what a path names.
type wanted struct {
	box      boxregistry.Name
	version  boxregistry.Version
	provider boxregistry.Provider
	arch     boxregistry.Architecture // empty for the default
	digest   string                   // the short one; may be empty
}

// parsePath reads the paths of files: that of boxregistry.File.Path, with or without its digest, and Vagrant Cloud's
// first one, which ends in "providers/libvirt.box".
func parsePath(path string) (wanted, bool) {
	s := strings.Split(strings.TrimPrefix(path, "/"), "/")
	if len(s) < 7 || len(s) > 10 || s[1] != "boxes" || s[3] != "versions" || s[5] != "providers" {
		return wanted{}, false
	}
	box, nameErr := boxregistry.ParseName(s[0] + "/" + s[2])
	version, versionErr := boxregistry.ParseVersion(s[4])
	if nameErr != nil || versionErr != nil {
		return wanted{}, false
	}
	out := wanted{box: box, version: version, provider: boxregistry.Provider(s[6])}
	if len(s) == 7 {
		provider, ok := strings.CutSuffix(s[6], ".box")
		out.provider = boxregistry.Provider(provider)
		return out, ok
	}
	out.arch = boxregistry.Architecture(s[7])
	if len(s) == 10 {
		out.digest = s[8]
	}
	return out, len(s) > 8 && s[len(s)-1] == "vagrant.box"
}

// find finds the file that a path names.
func (x mirrored) find(w wanted) (upstream.Version, upstream.File, bool) {
	for _, v := range x.box.Versions {
		if v.Number.Compare(w.version) != 0 {
			continue
		}
		files := make([]boxregistry.File, 0, len(v.Files))
		for _, f := range v.Files {
			file, _ := x.file(v, f)
			files = append(files, file)
		}
		arrange(files)
		rel := boxregistry.Release{Version: v.Number, Files: files}
		found, ok := rel.File(w.provider, w.arch)
		if !ok || w.arch != "" && found.Architecture != w.arch {
			return v, upstream.File{}, false
		}
		for _, f := range v.Files {
			if f.Provider == found.Provider && architecture(f) == found.Architecture {
				return v, f, true
			}
		}
	}
	return upstream.Version{}, upstream.File{}, false
}
