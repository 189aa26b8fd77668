// Package web is what people see: boxes with their versions, builds with their steps and log.
//
// Pages are rendered on the server from embedded templates and need no JavaScript; a strict content security policy
// allows none, nor any inline style, so that nothing that a box's maker or a guest's output writes can become code.
// The package reads through the two small interfaces that it declares, [Boxes] and [Builds]. The daemon mounts the
// routes with [Site.Register] and hands [Site.Box] to the Vagrant API, which shares /org/box with it.
package web

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/boxkiln/boxkiln/boxregistry"
)

// ErrNotFound is what Builds returns for a build that does not exist.
var ErrNotFound = errors.New("no such build")

// Boxes is what the pages need of the registry.
type Boxes interface {
	// List returns the boxes that q asks for, and how many there are without its limit.
	List(ctx context.Context, q boxregistry.ListQuery) ([]boxregistry.Summary, int, error)
	// Box returns a box with all its versions, or boxregistry.ErrNotFound.
	Box(ctx context.Context, name boxregistry.Name) (boxregistry.Box, error)
}

// Builds is what the pages need of the daemon's builds.
type Builds interface {
	// List returns builds, newest first, without their steps, and how many there are in all.
	List(ctx context.Context, limit, offset int) ([]Build, int, error)
	// Build returns one build with its steps, or ErrNotFound.
	Build(ctx context.Context, id string) (Build, error)
	// Log opens what the build printed so far; the caller closes it. It returns ErrNotFound when nothing was printed.
	Log(ctx context.Context, id string) (io.ReadSeekCloser, error)
}

// Build is a build as the pages show it.
type Build struct {
	ID       string
	State    string // one of build.State's values
	Template string // the template's name or path
	Source   string // "libvirt.debian"
	Box      string // "org/box" that it publishes into; may be empty
	Version  string // the version that it publishes; may be empty
	Attempt  int
	Queued   time.Time
	Started  time.Time // zero while queued
	Finished time.Time // zero while it runs
	Error    string    // why it did not succeed, for the user
	Steps    []Step    // in their order
}

// Step is one step of a build's last attempt.
type Step struct {
	Name     string
	State    string // "pending", "running", "done", "cached", "failed" or "skipped"
	Note     string // "made 3 h ago"; may be empty
	Started  time.Time
	Finished time.Time
}

// Options are the things that depend on where the pages are served.
type Options struct {
	BaseURL boxregistry.BaseURL // begins the URLs in commands to copy; the zero value takes the host that was asked
	Version string              // of Boxkiln, shown at the foot
	Logger  *slog.Logger        // gets the causes of pages with status 500; slog.Default() when nil
}

//go:embed templates/*.html
var templateFiles embed.FS

// Site renders the pages. Make it with New.
type Site struct {
	boxes   Boxes
	builds  Builds
	base    boxregistry.BaseURL
	version string
	log     *slog.Logger
	now     func() time.Time
	assets  assets
	pages   map[string]*template.Template // by file name
}

// New parses the templates, which are part of the program, and returns the pages.
func New(boxes Boxes, builds Builds, o Options) (*Site, error) {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	s := &Site{boxes: boxes, builds: builds, base: o.BaseURL, version: o.Version, log: o.Logger, now: time.Now,
		pages: map[string]*template.Template{}}
	var err error
	if s.assets, err = loadAssets(); err != nil {
		return nil, err
	}
	layout, err := template.New("layout.html").Funcs(s.funcs()).ParseFS(templateFiles, "templates/layout.html", "templates/parts.html")
	if err != nil {
		return nil, fmt.Errorf("web templates: %w", err)
	}
	for _, page := range []string{"home.html", "box.html", "builds.html", "build.html", "message.html"} {
		t, err := layout.Clone()
		if err == nil {
			_, err = t.ParseFS(templateFiles, "templates/"+page)
		}
		if err != nil {
			return nil, fmt.Errorf("web template %s: %w", page, err)
		}
		s.pages[page] = t
	}
	return s, nil
}

// Register mounts the pages, except that of a box, which shares its path with the catalog: see Box.
func (s *Site) Register(r gin.IRoutes) {
	read := []string{http.MethodGet, http.MethodHead}
	r.Match(read, "/", s.home)
	r.Match(read, "/builds", s.buildList)
	r.Match(read, "/builds/:id", s.build)
	r.Match(read, "/builds/:id/log", s.buildLog)
	r.Match(read, "/assets/:digest/:name", s.asset)
}

// NotFound is the page for a path that leads nowhere.
func (s *Site) NotFound(c *gin.Context) {
	s.render(c, http.StatusNotFound, "message.html", page{Title: "Not found", Body: message{
		Heading: "There is nothing here",
		Text:    "The page, box or build does not exist, or it is not open to you.",
	}})
}

// page is what the layout needs; Body is the page's own view.
type page struct {
	Title   string
	Section string // "boxes" or "builds": which link of the head is the current one
	Reload  int    // seconds after which the page loads itself again; 0 for never
	Body    view
	Version string
	Style   string // URL of the style sheet
	Icon    string // URL of the icon
}

// view marks the types that pages are made of.
type view interface{ isView() }

// message is a page with one thing to say.
type message struct{ Heading, Text string }

func (message) isView() {}

// contentSecurityPolicy forbids scripts, inline styles, frames and everything from elsewhere.
const contentSecurityPolicy = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// render writes a page, whole or not at all.
func (s *Site) render(c *gin.Context, status int, name string, p page) {
	p.Version, p.Style, p.Icon = s.version, s.assets.url("style.css"), s.assets.url("icon.svg")
	var buf bytes.Buffer
	if err := s.pages[name].ExecuteTemplate(&buf, "layout.html", p); err != nil {
		s.log.ErrorContext(c.Request.Context(), "render page", "page", name, "path", c.Request.URL.Path, "error", err)
		c.String(http.StatusInternalServerError, "The page could not be made; the daemon's log says why.\n")
		return
	}
	secure(c)
	c.Writer.Header().Set("Cache-Control", "no-cache")
	c.Writer.Header().Set("Content-Length", strconv.Itoa(buf.Len()))
	c.Data(status, "text/html; charset=utf-8", buf.Bytes())
}

// secure sets the headers that every answer has.
func secure(c *gin.Context) {
	h := c.Writer.Header()
	h.Set("Content-Security-Policy", contentSecurityPolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
}

// fail answers with the page for what is not there, or with an excuse for what went wrong here.
func (s *Site) fail(c *gin.Context, err error) {
	var invalid *boxregistry.InvalidNameError
	switch {
	case errors.Is(err, ErrNotFound), errors.Is(err, boxregistry.ErrNotFound), errors.As(err, &invalid):
		s.NotFound(c)
	case c.Request.Context().Err() != nil: // the reader has gone
		c.Abort()
	default:
		s.log.ErrorContext(c.Request.Context(), "web page", "path", c.Request.URL.Path, "error", err)
		s.render(c, http.StatusInternalServerError, "message.html", page{Title: "Error", Body: message{
			Heading: "Something went wrong here", Text: "The daemon's log says what. Loading the page again may help.",
		}})
	}
}
