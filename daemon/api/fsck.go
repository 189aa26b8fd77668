package api

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/gin-gonic/gin"

	boxstore "github.com/boxkiln/boxkiln/boxregistry/store"
	"github.com/boxkiln/boxkiln/daemon/wire"
	"github.com/boxkiln/boxkiln/internal/auth"
)

// BoxStore is what the handlers need of the registry; *store.Registry is one.
type BoxStore interface {
	Fsck(ctx context.Context, o boxstore.FsckOptions, tell func(boxstore.FsckStep) error) (boxstore.FsckReport, error)
}

func (s *Server) mountFsck(v1 gin.IRouter) {
	v1.POST("/fsck", need(auth.Admin), s.fsck)
}

// fsckEvery is how often a reader is told how far a check is.
const fsckEvery = 200 * time.Millisecond

// fsck checks the store of boxes while its reader stays, as server-sent events.
func (s *Server) fsck(c *gin.Context) {
	var req wire.FsckRequest
	if !s.body(c, &req) {
		return
	}
	if req.Rate < 0 {
		s.fail(c, wire.Errorf(wire.CodeBadRequest, "a rate of %d bytes a second cannot be: leave it out for no limit", req.Rate))
		return
	}
	s.serveEvents(c, func(ctx context.Context, out *stream) error {
		f := &fsckFeed{server: s, out: out}
		report, err := s.BoxStore.Fsck(ctx, boxstore.FsckOptions{Repair: req.Repair, Rate: req.Rate}, f.step)
		switch {
		case errors.Is(err, boxstore.ErrFsckRuns):
			return wire.Errorf(wire.CodeConflict, "%w; wait until it has ended", err)
		case err != nil && ctx.Err() != nil:
			return err
		case err != nil: // an admin asks, who wants to know why
			s.Log.Error("the check of the box store ended early", "err", err)
			return wire.Errorf(wire.CodeInternal, "the check ended early: %w", err)
		}
		return f.end(report)
	})
}

// fsckFeed tells a reader about a check.
type fsckFeed struct {
	server *Server
	out    *stream
	id     int64
	said   time.Time
	last   wire.FsckEvent
}

// step tells every finding, and from time to time how far the check is.
func (f *fsckFeed) step(step boxstore.FsckStep) error {
	f.last = wire.FsckEvent{Done: step.Done, Total: step.Total}
	if now := f.server.Now(); step.Finding == nil && now.Sub(f.said) < fsckEvery {
		return nil
	} else if step.Finding == nil {
		f.said = now
	}
	event := f.last
	if found := step.Finding; found != nil {
		event.Finding = &wire.FsckFinding{Kind: string(found.Kind), Digest: string(found.Digest), Size: found.Size, Files: found.Files,
			Detail: found.Detail, Quarantined: found.Quarantined}
		f.log(found)
	}
	return f.send(event)
}

func (f *fsckFeed) log(found *boxstore.FsckFinding) {
	if found.Kind == boxstore.FsckUnreferenced {
		return
	}
	f.server.Log.Error("a file of a box is not whole", "kind", found.Kind, "blob", found.Digest, "files", found.Files, "detail", found.Detail,
		"quarantined", found.Quarantined)
}

func (f *fsckFeed) end(report boxstore.FsckReport) error {
	event := f.last
	event.Report = &wire.FsckReport{Blobs: report.Blobs, Bytes: report.Bytes, Counts: map[string]int{}}
	for kind, n := range report.Counts {
		event.Report.Counts[string(kind)] = n
	}
	return f.send(event)
}

func (f *fsckFeed) send(event wire.FsckEvent) error {
	data, err := json.Marshal(event)
	if err != nil {
		return err
	}
	f.id++
	return f.out.event(f.id, data)
}
