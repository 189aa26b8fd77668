package vagrantapi

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/blob"
	"github.com/boxkiln/boxkiln/internal/auth"
)

// download serves the file of one architecture, under its path for ever (with a digest) or under Vagrant Cloud's
// (without), which old catalogs and scripts know. Under both, the bytes never change.
func (a *API) download(c *gin.Context) {
	f, err := a.locate(c, c.Param("provider"), boxregistry.Architecture(c.Param("arch")))
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
	f, err := a.locate(c, provider, "")
	if err != nil {
		a.fail(c, err)
		return
	}
	a.send(c, f)
}

// located is a file together with the version that it belongs to.
type located struct {
	box     boxregistry.Name
	version boxregistry.Version
	file    boxregistry.File
	private bool   // the box is
	client  string // who asks, for whoever wants to know who uses a version
}

// locate finds what the path names among the versions that clients may see.
func (a *API) locate(c *gin.Context, provider string, arch boxregistry.Architecture) (located, error) {
	name, err := boxregistry.ParseName(c.Param("org") + "/" + c.Param("box"))
	if err != nil {
		return located{}, err
	}
	v, err := boxregistry.ParseVersion(c.Param("version"))
	if err != nil {
		return located{}, err
	}
	box, err := a.boxes.Box(c.Request.Context(), name)
	if err != nil {
		return located{}, err
	}
	who := auth.PrincipalFrom(c.Request.Context())
	rel, ok := box.Release(v)
	if !ok || !rel.Open() || !a.sees(who, name.Org(), box.Private) {
		return located{}, boxregistry.ErrNotFound
	}
	f, ok := rel.File(boxregistry.Provider(provider), arch)
	if !ok || arch != "" && f.Architecture != arch || !f.Complete() {
		return located{}, boxregistry.ErrNotFound
	}
	return located{box.Name, rel.Version, f, box.Private || a.o.Closed, clientName(c, who)}, nil
}

// clientName is what somebody is called in the list of those who use a version. Headers of proxies are not believed.
func clientName(c *gin.Context, who auth.Principal) string {
	if who.Name != "" {
		return who.Name
	}
	host, _, err := net.SplitHostPort(c.Request.RemoteAddr)
	if err != nil {
		return c.Request.RemoteAddr
	}
	return host
}

// linkTTL is for how long a redirected download may be begun. Vagrant asks us again when it resumes.
const linkTTL = time.Hour

// redirect sends a client to where the bytes are, if it can, and tells whether the request is answered. What needs an
// answer of our own is not sent away: HEAD, which a link does not permit, and the client that has the whole file already.
func (a *API) redirect(c *gin.Context, f located) bool {
	if a.o.Links == nil || c.Request.Method != http.MethodGet || pastTheEnd(c.Request, f.file.Size) {
		return false
	}
	link, err := a.o.Links.LinkBlob(c.Request.Context(), f.file.Digest, blob.LinkOptions{TTL: linkTTL, ContentDisposition: disposition(f)})
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		return false
	case err != nil:
		a.failBlob(c, f, err)
	default:
		c.Header("Cache-Control", "no-store")
		c.Redirect(http.StatusFound, link)
		a.redirected(c, f)
	}
	return true
}

// disposition names the file for browsers.
func disposition(f located) string {
	return fmt.Sprintf(`attachment; filename="%s-%s-%s-%s-%s.box"`, f.box.Org(), f.box.Box(), f.version, f.file.Provider, f.file.Architecture)
}

// failBlob answers when the row is there and its bytes could not be opened. Bytes that are not there, or damaged and put
// aside, are our fault and not the client's, but asking again is no use until somebody uploads them again.
func (a *API) failBlob(c *gin.Context, f located, err error) {
	err = fmt.Errorf("file of %s %s for %s/%s: %w", f.box, f.version, f.file.Provider, f.file.Architecture, err)
	if !errors.Is(err, blob.ErrNotFound) {
		a.fail(c, err)
		return
	}
	a.o.Logger.ErrorContext(c.Request.Context(), "a file of a box is missing; upload the same file again", "path", c.Request.URL.Path, "error", err)
	c.Header("Cache-Control", "no-store")
	c.JSON(http.StatusGone, failure{Errors: []string{"The registry has lost this file; whoever published it can upload it again."}})
}

// send writes the file or the part of it that Range asks for. It never compresses: a box is a box, byte by byte.
func (a *API) send(c *gin.Context, f located) {
	if f.file.URL != "" {
		a.elsewhere(c, f)
		return
	}
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
	h.Set("Cache-Control", cacheControl(c.Param("digest"), f.private))
	if pastTheEnd(c.Request, info.Size) {
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", info.Size, info.Size-1, info.Size))
		h.Set("Content-Length", "0")
		c.Status(http.StatusPartialContent)
		return
	}
	w, m := newKernelWriter(c.Writer)
	http.ServeContent(w, c.Request, "", f.file.Published, content)
	if s, ok := m.span(info.Size); ok && c.Request.Method == http.MethodGet {
		a.tally.sent(f, f.client, s, info.Size)
	}
}

// elsewhere sends the client to the URL that the file's maker gave.
func (a *API) elsewhere(c *gin.Context, f located) {
	c.Header("Cache-Control", "no-cache")
	c.Header("Location", f.file.URL)
	c.Status(http.StatusFound)
	a.redirected(c, f)
}

// redirected counts a client that was sent elsewhere: how much it fetches there, nobody tells, so going on does not count.
func (a *API) redirected(c *gin.Context, f located) {
	if c.Request.Method == http.MethodGet && c.GetHeader("Range") == "" {
		a.tally.redirected(f, f.client)
	}
}

// cacheControl lets caches keep a path with a digest for ever; other paths may be revoked under them. What is private stays
// with whoever asked.
func cacheControl(digest string, private bool) string {
	switch {
	case digest == "":
		return "no-cache"
	case private:
		return "private, max-age=31536000, immutable"
	}
	return "public, max-age=31536000, immutable"
}

// pastTheEnd recognises a Vagrant client that has the whole file already, because it died between the download and
// the unpacking, and asks for the rest. The correct answer, 416, makes Vagrant give up and keep the file, so that it
// fails again for 24 hours; a 206 with nothing in it lets it check the checksum and go on.
func pastTheEnd(r *http.Request, size int64) bool {
	return strings.HasPrefix(r.Header.Get("User-Agent"), "Vagrant/") && r.Header.Get("Range") == fmt.Sprintf("bytes=%d-", size)
}
