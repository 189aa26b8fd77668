// Package api is the daemon's HTTP interface under /v1: submit builds and their inputs, follow events, fetch outputs,
// cancel, answer, and manage tokens.
//
// Handlers translate between HTTP and a [Service]; they decide nothing about builds. Who asks is decided once, by
// [Guard]: requests through the daemon's socket are trusted by file permission, others need a token. Every error leaves
// as wire.ErrorReply with the status that wire.Status gives its code.
package api

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"
	"golang.org/x/sys/unix"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/eventlog"
	"github.com/boxkiln/boxkiln/daemon/inputs"
	"github.com/boxkiln/boxkiln/daemon/store"
	"github.com/boxkiln/boxkiln/daemon/wire"
	"github.com/boxkiln/boxkiln/internal/auth"
	"github.com/boxkiln/boxkiln/internal/netx"
	"github.com/boxkiln/boxkiln/internal/sqlitedb"
)

// Builds is what the handlers need to know of builds. Errors are *wire.Error, or build.ErrNotFound, or ours.
type Builds interface {
	Submit(ctx context.Context, who auth.Principal, r wire.SubmitRequest) ([]build.Record, error)
	Get(ctx context.Context, id build.ID) (wire.BuildReply, error)
	List(ctx context.Context, f store.Filter) ([]build.Record, error)
	Cancel(ctx context.Context, id build.ID) (build.State, error)
	Answer(ctx context.Context, id build.ID, answer string) error
	Follow(ctx context.Context, id build.ID, offset int64, fn func(eventlog.Line) error) error
	Outputs(ctx context.Context, id build.ID) ([]wire.Output, error)
	OpenOutput(ctx context.Context, id build.ID, n int) (io.ReadSeekCloser, wire.Output, error)
}

// Inputs takes the contents that plans name.
type Inputs interface {
	Missing(digests []string) ([]string, error)
	Put(digest string, r io.Reader) error
}

// Server is the set of handlers.
type Server struct {
	Builds Builds
	// Explainer tells what is kept of plans.
	Explainer Explainer
	Inputs    Inputs
	Tokens    Access
	Audit     Audit
	// Resumer makes new attempts.
	Resumer Resumer
	Info    wire.Info
	Log     *slog.Logger
	Now     func() time.Time
	// Window looks into the machines of builds.
	Window Window
	// MaxFollowers is how many readers may follow events, screens and consoles at once, and work in shells; 0 for 1000.
	MaxFollowers int64
	// KeepAlive is how long a stream is quiet at most; 0 for 15 s.
	KeepAlive time.Duration

	// Checkpoints is the store of frozen machines.
	Checkpoints Checkpoints
	// Installed tells what is in the boxes.
	Installed Installed
	// Imports brings boxes from elsewhere.
	Imports Imports
	// Clouds are what drivers hold elsewhere.
	Clouds Clouds
	// BoxStore keeps the files of boxes.
	BoxStore BoxStore
	// Registry holds the boxes, and Uploads receives their files.
	Registry Registry
	Uploads  Uploads

	followers atomic.Int64
}

const defaultFollowers = 1000

// maxPlans bounds the body of a submission, in bytes.
const maxPlans = 64 << 20

// Mount adds the routes to r, below /v1.
func (s *Server) Mount(r gin.IRouter) {
	v1 := r.Group("/v1", noStore)
	v1.GET("/info", need(auth.Read), s.info)
	v1.POST("/inputs/missing", need(auth.Write), s.missing)
	v1.PUT("/inputs/sha256/:digest", need(auth.Write), s.putInput)
	s.mountPlans(v1)
	v1.POST("/builds", need(auth.Write), s.submit)
	v1.GET("/builds", need(auth.Read), s.list)
	v1.GET("/builds/:id", need(auth.Read), s.get)
	v1.GET("/builds/:id/events", need(auth.Read), s.events)
	v1.POST("/builds/:id/cancel", need(auth.Write), s.cancel)
	v1.POST("/builds/:id/answer", need(auth.Write), s.answer)
	v1.GET("/builds/:id/outputs", need(auth.Read), s.outputs)
	v1.GET("/builds/:id/outputs/:n", need(auth.Read), s.output)
	s.mountWindow(v1)
	s.mountResume(v1)
	s.mountCheckpoints(v1)
	s.mountAccess(v1)
	s.mountPackages(v1)
	s.mountImports(v1)
	s.mountFsck(v1)
	s.mountOrphans(v1)
	s.mountBoxes(v1)
	s.mountUploads(v1)
}

func noStore(c *gin.Context) { c.Header("Cache-Control", "no-store") }

func (s *Server) info(c *gin.Context) {
	info, who := s.Info, principal(c)
	info.Local, info.SameUser = who.Local, who.SameUser
	c.JSON(http.StatusOK, info)
}

func (s *Server) missing(c *gin.Context) {
	var req wire.MissingRequest
	if !s.body(c, &req) {
		return
	}
	missing, err := s.Inputs.Missing(req.Digests)
	if err != nil {
		s.fail(c, wire.Errorf(wire.CodeBadRequest, "%w", err))
		return
	}
	c.JSON(http.StatusOK, wire.MissingReply{Missing: missing})
}

func (s *Server) putInput(c *gin.Context) {
	if err := s.Inputs.Put(c.Param("digest"), netx.Impatient(c.Writer, c.Request.Body)); err != nil {
		s.fail(c, err)
		return
	}
	c.Status(http.StatusNoContent)
}

func (s *Server) submit(c *gin.Context) {
	var req wire.SubmitRequest
	if !s.body(c, &req) {
		return
	}
	records, err := s.Builds.Submit(c.Request.Context(), principal(c), req)
	if err != nil {
		s.fail(c, err)
		return
	}
	c.JSON(http.StatusCreated, wire.SubmitReply{Builds: records})
}

func (s *Server) list(c *gin.Context) {
	f := store.Filter{Run: c.Query("run"), Box: c.Query("box"), Before: build.ID(c.Query("before"))}
	for _, text := range c.QueryArray("state") {
		st, err := build.ParseState(text)
		if err != nil {
			s.fail(c, wire.Errorf(wire.CodeBadRequest, "%w", err))
			return
		}
		f.States = append(f.States, st)
	}
	var err error
	if f.Limit, err = limit(c); err != nil {
		s.fail(c, err)
		return
	}
	records, err := s.Builds.List(c.Request.Context(), f)
	if err != nil {
		s.fail(c, err)
		return
	}
	c.JSON(http.StatusOK, wire.BuildList{Builds: records})
}

// limit is how long a page of a list may be; 0 when nobody says.
func limit(c *gin.Context) (int, error) {
	text, given := c.GetQuery("limit")
	if !given || text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > 1000 {
		return 0, wire.Errorf(wire.CodeBadRequest, "limit %q is not a number from 1 to 1000", text)
	}
	return n, nil
}

func (s *Server) get(c *gin.Context) {
	reply, err := s.Builds.Get(c.Request.Context(), build.ID(c.Param("id")))
	if err != nil {
		s.fail(c, err)
		return
	}
	c.JSON(http.StatusOK, reply)
}

func (s *Server) cancel(c *gin.Context) {
	state, err := s.Builds.Cancel(c.Request.Context(), build.ID(c.Param("id")))
	if err != nil {
		s.fail(c, err)
		return
	}
	c.JSON(http.StatusOK, wire.CancelReply{State: state})
}

func (s *Server) answer(c *gin.Context) {
	var req wire.AnswerRequest
	if !s.body(c, &req) {
		return
	}
	if err := s.Builds.Answer(c.Request.Context(), build.ID(c.Param("id")), req.Answer); err != nil {
		s.fail(c, err)
		return
	}
	c.Status(http.StatusNoContent)
}

func (s *Server) outputs(c *gin.Context) {
	outputs, err := s.Builds.Outputs(c.Request.Context(), build.ID(c.Param("id")))
	if err != nil {
		s.fail(c, err)
		return
	}
	c.JSON(http.StatusOK, wire.OutputList{Outputs: outputs})
}

func (s *Server) output(c *gin.Context) {
	n, err := strconv.Atoi(c.Param("n"))
	if err != nil {
		s.fail(c, wire.Errorf(wire.CodeBadRequest, "output %q is not a number", c.Param("n")))
		return
	}
	r, out, err := s.Builds.OpenOutput(c.Request.Context(), build.ID(c.Param("id")), n)
	if err != nil {
		s.fail(c, err)
		return
	}
	defer r.Close()
	c.Header("Content-Type", "application/octet-stream")
	c.Header("Content-Length", strconv.FormatInt(out.Size, 10))
	http.ServeContent(c.Writer, c.Request, "", time.Time{}, r)
}

// events streams the events of a build as server-sent events. The id of each is the offset after it, and a reader that
// comes back with Last-Event-ID (or ?offset=) goes on there.
func (s *Server) events(c *gin.Context) {
	offset, err := eventOffset(c)
	if err != nil {
		s.fail(c, err)
		return
	}
	id := build.ID(c.Param("id"))
	if _, err := s.Builds.Get(c.Request.Context(), id); err != nil {
		s.fail(c, err)
		return
	}
	s.serveEvents(c, func(ctx context.Context, out *stream) error {
		if err := out.write(nil); err != nil { // browsers want to know at once that they are connected
			return err
		}
		return s.Builds.Follow(ctx, id, offset, func(l eventlog.Line) error { return out.event(l.Next, l.Event) })
	})
}

func eventOffset(c *gin.Context) (int64, error) {
	text := c.GetHeader("Last-Event-ID")
	if text == "" {
		text = c.DefaultQuery("offset", "0")
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, wire.Errorf(wire.CodeBadRequest, "offset %q is not a number", text)
	}
	return n, nil
}

// body reads a JSON body, and answers and returns false if it is none.
func (s *Server) body(c *gin.Context, into any) bool {
	c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, maxPlans)
	err := c.ShouldBindJSON(into)
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		s.fail(c, wire.Errorf(wire.CodeTooLarge, "the request is larger than %d MiB", maxPlans>>20))
	case err != nil:
		s.fail(c, wire.Errorf(wire.CodeBadRequest, "the request is no JSON of the right form: %w", err))
	}
	return err == nil
}

// fail answers with an error. What has no code of its own is ours: it is logged and its text is not sent.
func (s *Server) fail(c *gin.Context, err error) {
	e := coded(err)
	if e.Code == wire.CodeInternal {
		s.Log.Error("request failed", "method", c.Request.Method, "path", c.Request.URL.Path, "err", err)
	}
	c.AbortWithStatusJSON(wire.Status[e.Code], wire.ErrorReply{Error: e})
}

func coded(err error) *wire.Error {
	var e *wire.Error
	var wrong *auth.InvalidError
	switch {
	case errors.As(err, &e):
		return e
	case errors.As(err, &wrong):
		return wire.Errorf(wire.CodeBadRequest, "%w", err)
	case errors.Is(err, auth.ErrNoToken), errors.Is(err, auth.ErrNoUser), errors.Is(err, auth.ErrNoOrg):
		return wire.Errorf(wire.CodeNotFound, "%w", err)
	case errors.Is(err, auth.ErrTaken):
		return wire.Errorf(wire.CodeConflict, "%w", err)
	case errors.Is(err, build.ErrNotFound):
		return wire.Errorf(wire.CodeNotFound, "no such build; `boxkiln builds ls` shows them")
	case errors.Is(err, inputs.ErrDigest):
		return wire.Errorf(wire.CodeBadRequest, "%w", err)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, netx.ErrSilent):
		return wire.Errorf(wire.CodeBadRequest, "the request ended early: %w", err)
	case errors.Is(err, sqlitedb.ErrDiskFull), errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return wire.Errorf(wire.CodeDiskFull, "the daemon's disk is full: %w", err)
	}
	return wire.Errorf(wire.CodeInternal, "internal error; the daemon's log has the details")
}
