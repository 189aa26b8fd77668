package web

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
)

// screenPatience is how long a request for the next picture waits for one.
const screenPatience = 20 * time.Second

// errEnough ends a watch that has what it wants.
var errEnough = errors.New("enough")

// screenPicture is the newest picture of the machine.
func (s *Site) screenPicture(c *gin.Context) {
	f, err := s.Window.Screen(c.Request.Context(), c.Param("id"))
	if err != nil {
		s.fail(c, err)
		return
	}
	if tag := tagOf(f); c.GetHeader("If-None-Match") == tag {
		unchanged(c, tag)
		return
	}
	sendFrame(c, f)
}

// screenNext waits for a picture other than the one that If-None-Match names, and answers 304 if none comes for a while,
// or 204 while there is no machine to look at. A module asks again and again, but only while somebody looks: so the
// machine's screen is read only then, a reader that is slow gets fewer pictures, and all browsers can do it.
func (s *Site) screenNext(c *gin.Context) {
	leave, ok := s.enter(c)
	if !ok {
		return
	}
	defer leave()
	seen := c.GetHeader("If-None-Match")
	frame, err := s.nextFrame(c.Request.Context(), c.Param("id"), seen)
	switch {
	case err == nil:
		sendFrame(c, frame)
	case errors.Is(err, errEnough):
		unchanged(c, seen)
	case errors.Is(err, ErrNothing):
		secure(c)
		c.Header("Cache-Control", "no-store")
		c.Status(http.StatusNoContent)
	default:
		s.fail(c, err)
	}
}

// nextFrame returns errEnough when no other picture came.
func (s *Site) nextFrame(ctx context.Context, id, seen string) (Frame, error) {
	watch, stop := context.WithTimeoutCause(ctx, screenPatience, errEnough)
	defer stop()
	var next Frame
	err := s.Window.WatchScreen(watch, id, func(f Frame) error {
		if tagOf(f) == seen {
			return nil
		}
		next = f
		return errEnough
	})
	switch {
	case next.PNG != nil:
		return next, nil
	case err == nil: // the machine is gone
		return Frame{}, ErrNothing
	case ctx.Err() == nil && watch.Err() != nil:
		return Frame{}, errEnough
	}
	return Frame{}, err
}

// nothing tells whether err only means that there is nothing to look at.
func nothing(err error) bool { return errors.Is(err, ErrNothing) || errors.Is(err, ErrNotFound) }

func tagOf(f Frame) string {
	sum := sha256.Sum256(f.PNG)
	return `"` + hex.EncodeToString(sum[:8]) + `"`
}

func unchanged(c *gin.Context, tag string) {
	secure(c)
	c.Header("ETag", tag)
	c.Header("Cache-Control", "no-cache")
	c.Status(http.StatusNotModified)
}

func sendFrame(c *gin.Context, f Frame) {
	secure(c)
	c.Header("ETag", tagOf(f))
	c.Header("Cache-Control", "no-cache")
	c.Header("Last-Modified", f.At.UTC().Format(http.TimeFormat))
	if f.Live {
		c.Header("Boxkiln-Screen", "live")
	}
	c.Data(http.StatusOK, "image/png", f.PNG)
}
