// Package web is what people see: boxes with their versions, and the forms of those who make them; builds with their
// timeline and log, and the window into the machine of a build that runs.
//
// Pages are rendered on the server from embedded templates and are whole without JavaScript. A few small modules make
// them live: they append to the log what server-sent events bring, exchange parts of a page for newer ones that the
// server rendered, and show the screen while somebody looks. A strict content security policy allows these modules and
// no inline code, so that nothing that a box's maker or a guest's output writes can become code.
//
// Everybody who reaches the listener may read, but for private boxes, which are not there for strangers, and for drafts
// and deleted versions, which only their makers see (see seen.go). What changes something needs a session, which [Site]
// gives for a token (see login.go), or the daemon's own socket. The package reads and acts through the small interfaces of [Sources]. The
// daemon mounts the routes with [Site.Register] and hands [Site.Box] to the Vagrant API, which shares /org/box with it.
package web

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/internal/auth"
)

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
	Sources
	base     boxregistry.BaseURL
	version  string
	log      *slog.Logger
	now      func() time.Time
	logShown int64 // see the constant
	origin   *http.CrossOriginProtection
	sessions sessions
	failures auth.Failures
	readers  atomic.Int64 // that follow something now
	assets   assets
	pages    map[string]*template.Template // by file name
}

// pageFiles are the templates with a page of their own.
var pageFiles = []string{"home.html", "box.html", "version.html", "packages.html", "edit.html", "retention.html", "upload.html", "notes.html",
	"revoke.html", "delete.html", "trash.html", "builds.html", "build.html", "login.html", "password.html", "message.html"}

// New parses the templates, which are part of the program, and returns the pages.
func New(from Sources, o Options) (*Site, error) {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	s := &Site{Sources: from, base: o.BaseURL, version: o.Version, log: o.Logger, now: time.Now, logShown: logShown,
		origin: http.NewCrossOriginProtection(), pages: map[string]*template.Template{}}
	var err error
	if s.assets, err = loadAssets(); err != nil {
		return nil, err
	}
	layout, err := template.New("layout.html").Funcs(s.funcs()).ParseFS(templateFiles, "templates/layout.html", "templates/parts.html", "templates/boxparts.html")
	if err != nil {
		return nil, fmt.Errorf("web templates: %w", err)
	}
	for _, page := range pageFiles {
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
	r.Match(read, "/builds/:id", s.shownBuild, s.build)
	r.Match(read, "/builds/:id/status", s.shownBuild, s.status)
	r.Match(read, "/builds/:id/log", s.shownBuild, s.buildLog)
	r.Match(read, "/builds/:id/screen.png", s.shownBuild, s.screenPicture)
	r.Match(read, "/assets/:digest/:name", s.asset)
	r.GET("/builds/:id/screen", s.shownBuild, s.screenNext)
	r.GET("/builds/:id/events", s.shownBuild, s.events)
	r.GET("/builds/:id/serial", s.shownBuild, s.serial)
	r.POST("/builds/:id/keys", s.change, s.keys)
	r.POST("/builds/:id/cancel", s.change, s.cancel)
	r.POST("/builds/:id/retry", s.change, s.retry)
	r.POST("/builds/:id/resume", s.change, s.resume)
	r.POST("/builds/:id/answer", s.change, s.answer)
	r.Match(read, "/login", s.loginForm)
	r.POST("/login", s.sameOrigin, s.login)
	r.POST("/logout", s.sameOrigin, s.logout)
	r.Match(read, passwordPath, s.passwordForm)
	r.POST(passwordPath, s.sameOrigin, s.changePassword)
	s.registerBoxes(r)
	s.registerMakers(r)
}

// registerBoxes mounts what is to be read of boxes. "boxes" is no organisation, so that these paths hide no box.
func (s *Site) registerBoxes(r gin.IRoutes) {
	read := []string{http.MethodGet, http.MethodHead}
	const box, version = "/boxes/:org/:box", "/boxes/:org/:box/versions/:version"
	r.Match(read, "/boxes/feed.atom", s.listFeed)
	r.Match(read, box+"/feed.atom", s.boxFeed)
	r.Match(read, version, s.showVersion)
	r.Match(read, version+"/packages", s.packages)
}

// registerMakers mounts the forms of those who may write.
func (s *Site) registerMakers(r gin.IRoutes) {
	read := []string{http.MethodGet, http.MethodHead}
	const box, version = "/boxes/:org/:box", "/boxes/:org/:box/versions/:version"
	r.Match(read, "/boxes/new", s.somewhere, s.createForm)
	r.POST("/boxes/new", s.create)
	r.Match(read, "/boxes/trash", s.somewhere, s.trash)
	for path, form := range map[string]gin.HandlerFunc{box + "/edit": s.editForm, box + "/retention": s.retentionForm, box + "/upload": s.uploadForm,
		box + "/delete": s.deleteBoxForm, version + "/notes": s.notesForm, version + "/revoke": s.revokeForm, version + "/delete": s.deleteVersionForm} {
		r.Match(read, path, s.maker, form)
	}
	r.POST(box+"/upload", s.upload)
	for path, change := range map[string]gin.HandlerFunc{box + "/edit": s.edit, box + "/retention": s.retention, box + "/delete": s.deleteBox,
		box + "/restore": s.restoreBox, version + "/notes": s.notes, version + "/release": s.release, version + "/revoke": s.revoke,
		version + "/promote": s.promote, version + "/demote": s.demote, version + "/pin": s.pin, version + "/delete": s.deleteVersion,
		version + "/restore": s.restoreVersion} {
		r.POST(path, s.making, change)
	}
}

// NotFound is the page for a path that leads nowhere.
func (s *Site) NotFound(c *gin.Context) {
	s.tell(c, http.StatusNotFound, "There is nothing here", "The page, box or build does not exist, or it is not open to you.")
}

// page is what the layout needs; Body is the page's own view.
type page struct {
	Title   string
	Section string // "boxes" or "builds": which link of the head is the current one
	Script  string // file of the module that makes the page live; empty for none
	Wide    bool   // the page uses the whole of a large screen
	Body    view
	Version string
	Feed    string   // URL of the page's Atom feed; empty for none
	Styles  []string // URLs of the style sheets
	Icon    string   // URL of the icon
	Who     visitor
	Here    string // where to return to after a login
}

// view marks the types that pages are made of.
type view interface{ isView() }

// message is a page with one thing to say.
type message struct{ Heading, Text string }

func (message) isView() {}

// tell answers with a page that has one thing to say.
func (s *Site) tell(c *gin.Context, status int, heading, text string) {
	s.render(c, status, "message.html", page{Title: heading, Body: message{Heading: heading, Text: text}})
}

// contentSecurityPolicy allows our own modules and what they fetch from here, and pictures that they were given; no
// inline code, frames or anything from elsewhere.
const contentSecurityPolicy = "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self' blob:; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// render writes a page, whole or not at all.
func (s *Site) render(c *gin.Context, status int, name string, p page) {
	p.Version, p.Styles, p.Icon = s.version, []string{s.assets.url("style.css"), s.assets.url("boxes.css")}, s.assets.url("icon.svg")
	if p.Script != "" {
		p.Script = s.assets.url(p.Script)
	}
	p.Who = s.visitor(c)
	if p.Here == "" {
		p.Here = c.Request.URL.RequestURI()
	}
	s.execute(c, status, s.pages[name], "layout.html", p)
}

func (s *Site) execute(c *gin.Context, status int, t *template.Template, name string, data any) {
	var buf bytes.Buffer
	if err := t.ExecuteTemplate(&buf, name, data); err != nil {
		s.log.ErrorContext(c.Request.Context(), "render page", "page", name, "path", c.Request.URL.Path, "error", err)
		c.String(http.StatusInternalServerError, "The page could not be made; the daemon's log says why.\n")
		return
	}
	secure(c)
	h := c.Writer.Header()
	h.Set("Cache-Control", "private, no-cache")
	h.Set("Vary", "Cookie")
	h.Set("Content-Length", strconv.Itoa(buf.Len()))
	c.Data(status, "text/html; charset=utf-8", buf.Bytes())
}

// secure sets the headers that every answer has.
func secure(c *gin.Context) {
	h := c.Writer.Header()
	h.Set("Content-Security-Policy", contentSecurityPolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
}

// fail answers with the page for what is not there, with what the person who asked must know, or with an excuse for what
// went wrong here.
func (s *Site) fail(c *gin.Context, err error) {
	status, heading, text := s.explain(c, err)
	switch {
	case status == http.StatusNotFound:
		heading, text = "There is nothing here", "The page, box or build does not exist, or it is not open to you."
	case c.Request.Context().Err() != nil: // the reader has gone
		c.Abort()
		return
	}
	if wantsJSON(c) {
		secure(c)
		c.AbortWithStatusJSON(status, failure{Error: text})
		return
	}
	s.tell(c, status, heading, text)
	c.Abort()
}

// failure is what a module is told that asked for something in vain.
type failure struct {
	Error string `json:"error"`
}

// explain finds the words for an error. One that is ours is logged and its text is not shown.
func (s *Site) explain(c *gin.Context, err error) (status int, heading, text string) {
	var invalid *boxregistry.InvalidNameError
	var refusal *Refusal
	switch {
	case errors.Is(err, ErrNotFound), errors.Is(err, ErrNothing), errors.Is(err, boxregistry.ErrNotFound), errors.As(err, &invalid):
		return http.StatusNotFound, "", ""
	case errors.As(err, &refusal):
		return refusal.Status, "That cannot be done", refusal.Text
	case c.Request.Context().Err() == nil:
		s.log.ErrorContext(c.Request.Context(), "web page", "path", c.Request.URL.Path, "error", err)
	}
	return http.StatusInternalServerError, "Something went wrong here", "The daemon's log says what. Loading the page again may help."
}
