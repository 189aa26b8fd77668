package vagrantapi

import (
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/boxkiln/boxkiln/boxregistry"
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
	who := a.asker(c)
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

// asker is who signed the path, else who sent the request. A signature that does not hold proves nothing, but does no harm
// to the download of a public box either.
func (a *API) asker(c *gin.Context) auth.Principal {
	who := auth.PrincipalFrom(c.Request.Context())
	signature := c.Param("signature")
	if signature == "" || who.Known() {
		return who
	}
	path := strings.TrimPrefix(c.Request.URL.Path, "/dl/"+signature)
	if p, err := a.signs.check(c.Request.Context(), signature, path); err == nil {
		return p
	}
	return who
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

// send writes the file or the part of it that Range asks for. It never compresses: a box is a box, byte by byte.
func (a *API) send(c *gin.Context, f located) {
	if f.file.URL != "" {
		a.elsewhere(c, f)
		return
	}
	content, info, err := a.boxes.OpenBlob(c.Request.Context(), f.file.Digest)
	if err != nil { // the row is there and the bytes are not: our fault, not the client's
		a.fail(c, fmt.Errorf("file of %s %s: %w", f.box, f.version, err))
		return
	}
	defer content.Close()
	h := c.Writer.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", fmt.Sprintf(`attachment; filename="%s-%s-%s-%s-%s.box"`,
		f.box.Org(), f.box.Box(), f.version, f.file.Provider, f.file.Architecture))
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
	if c.Request.Method == http.MethodGet {
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
