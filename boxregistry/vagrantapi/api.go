// Package vagrantapi is the face of the registry that the Vagrant client sees.
//
// "vagrant box add org/box" asks HEAD and then GET for /org/box (from 2.4 on also /api/v2/vagrant/org/box), reads the
// catalog, chooses a version, a provider and an architecture, and downloads the URL that the catalog gives with curl,
// resuming where it was cut. Each rule here that looks odd keeps some released client working; the comments say which.
//
// Reads are open: a token is never looked at here, because people carry tokens of other servers in their environment
// and an unknown one must not break a public box (hashicorp/vagrant#11088). Do not put a handler that refuses tokens
// in front of these routes.
package vagrantapi

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/blob"
)

// Boxes is what this package needs of the registry.
type Boxes interface {
	// Box returns a box with all its versions, or boxregistry.ErrNotFound.
	Box(ctx context.Context, name boxregistry.Name) (boxregistry.Box, error)
	// OpenBlob reads a file of a version, or returns blob.ErrNotFound. A *os.File is sent by the kernel.
	OpenBlob(ctx context.Context, d blob.Digest) (io.ReadSeekCloser, blob.Info, error)
}

// Linker knows where else a client can fetch a file of a version.
type Linker interface {
	// LinkBlob returns a URL, or errors.ErrUnsupported when there is none, or blob.ErrNotFound.
	LinkBlob(ctx context.Context, d blob.Digest, o blob.LinkOptions) (string, error)
}

// Options are the things that depend on where the registry runs.
type Options struct {
	// BaseURL begins every download URL; the zero value takes the host that the client asked.
	BaseURL boxregistry.BaseURL
	// Page answers browsers at /org/box; with nil they get the catalog too.
	Page gin.HandlerFunc
	// Links sends downloads to where the files are; with nil all bytes go through here.
	Links Linker
	// Logger gets the causes of answers with status 500; slog.Default() when it is nil.
	Logger *slog.Logger
}

// API answers the Vagrant client. Make it with New.
type API struct {
	boxes Boxes
	links Linker
	base  boxregistry.BaseURL
	page  gin.HandlerFunc
	log   *slog.Logger
}

// New makes the API; Register mounts it.
func New(boxes Boxes, o Options) *API {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return &API{boxes: boxes, links: o.Links, base: o.BaseURL, page: o.Page, log: o.Logger}
}

// Register mounts the catalog and the downloads at the root of r; a registry cannot live under a path. Wrap the whole
// server in CollapseSlashes.
func (a *API) Register(r gin.IRoutes) {
	read := []string{http.MethodGet, http.MethodHead} // since Vagrant 2.2.15 a HEAD that fails is fatal
	r.Match(read, "/:org/:box", a.boxOrPage)
	r.Match(read, "/api/v2/vagrant/:org/:box", a.catalog)
	const providers = "/:org/boxes/:box/versions/:version/providers/:provider"
	r.Match(read, providers+"/:arch/:digest/vagrant.box", a.download)
	r.Match(read, providers+"/:arch/vagrant.box", a.download)
	r.Match(read, providers, a.downloadDefault)
}

// CollapseSlashes makes "//org/box" mean "/org/box", without a redirect: clients whose VAGRANT_SERVER_URL ends in a
// slash send the former, for uploads too, and a redirected PUT loses its body.
func CollapseSlashes(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "//") {
			u := *r.URL
			u.Path, u.RawPath = collapse(u.Path), collapse(u.RawPath)
			r2 := *r
			r2.URL = &u
			r = &r2
		}
		next.ServeHTTP(w, r)
	})
}

func collapse(path string) string {
	var b strings.Builder
	for i := range len(path) {
		if path[i] != '/' || i == 0 || path[i-1] != '/' {
			b.WriteByte(path[i])
		}
	}
	return b.String()
}

// failure is the body of every error, in the shape that Vagrant Cloud's clients print.
type failure struct {
	Errors  []string `json:"errors"`
	Success bool     `json:"success"`
}

// fail answers with 404 for what is not there, or may not be seen, and with 500 for what went wrong here.
func (a *API) fail(c *gin.Context, err error) {
	var invalid *boxregistry.InvalidNameError
	switch {
	case errors.Is(err, boxregistry.ErrNotFound), errors.As(err, &invalid):
		c.JSON(http.StatusNotFound, failure{Errors: []string{"Resource not found!"}})
	case c.Request.Context().Err() != nil: // the client has gone
		c.Abort()
	default:
		a.log.ErrorContext(c.Request.Context(), "registry request", "path", c.Request.URL.Path, "error", err)
		c.JSON(http.StatusInternalServerError, failure{Errors: []string{"The registry has a problem; its log says which."}})
	}
}

// box finds the box that the path names.
func (a *API) box(c *gin.Context) (boxregistry.Box, error) {
	name, err := boxregistry.ParseName(c.Param("org") + "/" + c.Param("box"))
	if err != nil {
		return boxregistry.Box{}, err
	}
	return a.boxes.Box(c.Request.Context(), name)
}
