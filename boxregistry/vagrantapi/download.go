package vagrantapi

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/blob"
)

// download serves the file of one architecture, under its path for ever (with a digest) or under Vagrant Cloud's
// (without), which old catalogs and scripts know. Under both, the bytes never change.
func (a *API) download(c *gin.Context) {
	f, err := a.file(c, c.Param("provider"), boxregistry.Architecture(c.Param("arch")))
	if digest := c.Param("digest"); err == nil && digest != "" && digest != f.file.Digest.Short() {
		err = fmt.Errorf("%w: that path stands for other bytes", boxregistry.ErrNotFound)
	}
	if err != nil {
		a.fail(c, err)
		return
	}
	a.send(c, f)
}

// downloadDefault serves Vagrant Cloud's first path style, "…/providers/libvirt.box", with the default architecture.
func (a *API) downloadDefault(c *gin.Context) {
	provider, ok := strings.CutSuffix(c.Param("provider"), ".box")
	if !ok {
		a.fail(c, boxregistry.ErrNotFound)
		return
	}
	f, err := a.file(c, provider, "")
	if err != nil {
		a.fail(c, err)
		return
	}
	a.send(c, f)
}

// found is a file together with the version that it belongs to.
type found struct {
	box     boxregistry.Name
	version boxregistry.Version
	file    boxregistry.File
}

// file finds what the path names among the versions that clients may see.
func (a *API) file(c *gin.Context, provider string, arch boxregistry.Architecture) (found, error) {
	v, err := boxregistry.ParseVersion(c.Param("version"))
	if err != nil {
		return found{}, err
	}
	box, err := a.box(c)
	if err != nil {
		return found{}, err
	}
	rel, ok := box.Release(v)
	if !ok || rel.State != boxregistry.Released {
		return found{}, boxregistry.ErrNotFound
	}
	f, ok := rel.File(boxregistry.Provider(provider), arch)
	if !ok || arch != "" && f.Architecture != arch {
		return found{}, boxregistry.ErrNotFound
	}
	return found{box.Name, rel.Version, f}, nil
}

// linkTTL is for how long a redirected download may be begun. Vagrant asks us again when it resumes.
const linkTTL = time.Hour

// redirect sends a client to where the bytes are, if it can, and tells whether the request is answered. What needs an
// answer of our own is not sent away: HEAD, which a link does not permit, and the client that has the whole file already.
func (a *API) redirect(c *gin.Context, f found) bool {
	if a.links == nil || c.Request.Method != http.MethodGet || pastTheEnd(c.Request, f.file.Size) {
		return false
	}
	link, err := a.links.LinkBlob(c.Request.Context(), f.file.Digest, blob.LinkOptions{TTL: linkTTL, ContentDisposition: disposition(f)})
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		return false
	case err != nil:
		a.failBlob(c, f, err)
	default:
		c.Header("Cache-Control", "no-store")
		c.Redirect(http.StatusFound, link)
	}
	return true
}

// disposition names the file for browsers.
func disposition(f found) string {
	return fmt.Sprintf(`attachment; filename="%s-%s-%s-%s-%s.box"`, f.box.Org(), f.box.Box(), f.version, f.file.Provider, f.file.Architecture)
}

// failBlob answers when the row is there and its bytes could not be opened. Bytes that are not there, or damaged and put
// aside, are our fault and not the client's, but asking again is no use until somebody uploads them again.
func (a *API) failBlob(c *gin.Context, f found, err error) {
	err = fmt.Errorf("file of %s %s for %s/%s: %w", f.box, f.version, f.file.Provider, f.file.Architecture, err)
	if !errors.Is(err, blob.ErrNotFound) {
		a.fail(c, err)
		return
	}
	a.log.ErrorContext(c.Request.Context(), "a file of a box is missing; upload the same file again", "path", c.Request.URL.Path, "error", err)
	c.Header("Cache-Control", "no-store")
	c.JSON(http.StatusGone, failure{Errors: []string{"The registry has lost this file; whoever published it can upload it again."}})
}

// send writes the file or the part of it that Range asks for. It never compresses: a box is a box, byte by byte.
func (a *API) send(c *gin.Context, f found) {
	if a.redirect(c, f) {
		return
	}
	content, info, err := a.boxes.OpenBlob(c.Request.Context(), f.file.Digest)
	if err != nil {
		a.failBlob(c, f, err)
		return
	}
	defer content.Close()
	h := c.Writer.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", disposition(f))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Accept-Ranges", "bytes")
	h.Set("ETag", `"`+string(f.file.Digest)+`"`)
	h.Set("Cache-Control", cacheControl(c.Param("digest")))
	if pastTheEnd(c.Request, info.Size) {
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", info.Size, info.Size-1, info.Size))
		h.Set("Content-Length", "0")
		c.Status(http.StatusPartialContent)
		return
	}
	http.ServeContent(newKernelWriter(c.Writer), c.Request, "", f.file.Published, content)
}

// cacheControl lets caches keep a path with a digest for ever; other paths may be revoked under them.
func cacheControl(digest string) string {
	if digest != "" {
		return "public, max-age=31536000, immutable"
	}
	return "no-cache"
}

// pastTheEnd recognises a Vagrant client that has the whole file already, because it died between the download and
// the unpacking, and asks for the rest. The correct answer, 416, makes Vagrant give up and keep the file, so that it
// fails again for 24 hours; a 206 with nothing in it lets it check the checksum and go on.
func pastTheEnd(r *http.Request, size int64) bool {
	return strings.HasPrefix(r.Header.Get("User-Agent"), "Vagrant/") && r.Header.Get("Range") == fmt.Sprintf("bytes=%d-", size)
}

// kernelWriter lets the kernel copy a file to the socket. Gin's writer hides the connection's ReadFrom, and without it
// every byte passes through our memory; headers and status still go through gin, so that it knows what was sent.
type kernelWriter struct {
	gin.ResponseWriter
	raw io.ReaderFrom
}

// newKernelWriter unwraps w down to the writer that the server made.
func newKernelWriter(w gin.ResponseWriter) http.ResponseWriter {
	var raw http.ResponseWriter = w
	for {
		u, ok := raw.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			break
		}
		raw = u.Unwrap()
	}
	if rf, ok := raw.(io.ReaderFrom); ok {
		return kernelWriter{w, rf}
	}
	return w
}

// ReadFrom implements io.ReaderFrom. src must reach the connection as it is: a *os.File, limited or not.
func (w kernelWriter) ReadFrom(src io.Reader) (int64, error) {
	w.WriteHeaderNow()
	return w.raw.ReadFrom(src)
}
