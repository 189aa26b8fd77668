package api

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"

	"github.com/gin-gonic/gin"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/window"
	"github.com/boxkiln/boxkiln/daemon/wire"
	"github.com/boxkiln/boxkiln/internal/auth"
	"github.com/boxkiln/boxkiln/provisioners"
)

// Window is how the handlers look into the machine of a build and reach into it. Errors are *wire.Error, or
// build.ErrNotFound, or ours.
type Window interface {
	// Screen returns one picture: of the running machine, or else the last one that was kept.
	Screen(ctx context.Context, id build.ID) (window.Frame, error)
	// WatchScreen calls fn with the newest picture and with each new one until the build has ended.
	WatchScreen(ctx context.Context, id build.ID, fn func(window.Frame) error) error
	// ReadSerial calls fn with what the guest has printed from offset on; a negative offset counts from the end.
	ReadSerial(ctx context.Context, id build.ID, offset int64, fn func(next int64, chunk []byte) error) error
	// FollowSerial is ReadSerial that waits for more until the attempt has ended.
	FollowSerial(ctx context.Context, id build.ID, offset int64, fn func(next int64, chunk []byte) error) error
	Timeline(ctx context.Context, id build.ID) ([]build.Moment, error)
	// Type types text with the tokens of boot commands and returns the number of key events.
	Type(ctx context.Context, id build.ID, text string) (int, error)
	OpenShell(ctx context.Context, id build.ID) (provisioners.Terminal, error)
}

func (s *Server) mountWindow(v1 gin.IRouter) {
	v1.GET("/builds/:id/screen", need(auth.Read), s.screen)
	v1.GET("/builds/:id/serial", need(auth.Read), s.serial)
	v1.GET("/builds/:id/timeline", need(auth.Read), s.timeline)
	v1.POST("/builds/:id/keys", need(auth.Write), s.keys)
	v1.GET("/builds/:id/shell", need(auth.Write), s.shell)
}

// wantsLive reads ?live=1.
func wantsLive(c *gin.Context) (bool, error) {
	live, err := strconv.ParseBool(c.DefaultQuery("live", "false"))
	if err != nil {
		return false, wire.Errorf(wire.CodeBadRequest, "live %q is neither 1 nor 0", c.Query("live"))
	}
	return live, nil
}

// screen answers with one picture, or with all of them, one after another in the manner of web cameras.
func (s *Server) screen(c *gin.Context) {
	live, err := wantsLive(c)
	if err != nil {
		s.fail(c, err)
		return
	}
	id := build.ID(c.Param("id"))
	if live {
		s.watchScreen(c, id)
		return
	}
	f, err := s.Window.Screen(c.Request.Context(), id)
	if err != nil {
		s.fail(c, err)
		return
	}
	c.Header("Last-Modified", f.At.UTC().Format(http.TimeFormat))
	c.Header(wire.HeaderLive, strconv.FormatBool(f.Live))
	c.Data(http.StatusOK, "image/png", f.PNG)
}

// frameBoundary stands between the pictures of a stream (RFC 2046, section 5.1.1).
const frameBoundary = "boxkiln-frame"

// watchScreen streams pictures. Each has the boundary behind it, because browsers show a picture when the next one begins.
func (s *Server) watchScreen(c *gin.Context, id build.ID) {
	if _, err := s.Builds.Get(c.Request.Context(), id); err != nil {
		s.fail(c, err)
		return
	}
	feed := func(ctx context.Context, out *stream) error {
		return s.Window.WatchScreen(ctx, id, func(f window.Frame) error {
			if !out.begun() {
				if err := out.write([]byte("--" + frameBoundary + "\r\n")); err != nil {
					return err
				}
			}
			return out.replace(framePart(f))
		})
	}
	s.serveStream(c, "multipart/x-mixed-replace; boundary="+frameBoundary, feed, (*stream).again)
}

func framePart(f window.Frame) []byte {
	var part bytes.Buffer
	fmt.Fprintf(&part, "Content-Type: image/png\r\nContent-Length: %d\r\n%s: %t\r\n\r\n", len(f.PNG), wire.HeaderLive, f.Live)
	part.Write(f.PNG)
	part.WriteString("\r\n--" + frameBoundary + "\r\n")
	return part.Bytes()
}

// serial answers with what the guest has printed, or follows it as server-sent events with the bytes in base64.
func (s *Server) serial(c *gin.Context) {
	live, err := wantsLive(c)
	var offset int64
	if err == nil {
		offset, err = serialOffset(c)
	}
	id := build.ID(c.Param("id"))
	if err == nil {
		_, err = s.Builds.Get(c.Request.Context(), id)
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	if live {
		s.serveEvents(c, func(ctx context.Context, out *stream) error {
			return s.Window.FollowSerial(ctx, id, offset, func(next int64, chunk []byte) error {
				return out.event(next, []byte(base64.StdEncoding.EncodeToString(chunk)))
			})
		})
		return
	}
	s.readSerial(c, id, offset)
}

func (s *Server) readSerial(c *gin.Context, id build.ID, offset int64) {
	const kind = "application/octet-stream"
	err := s.Window.ReadSerial(c.Request.Context(), id, offset, func(_ int64, chunk []byte) error {
		c.Header("Content-Type", kind)
		_, err := c.Writer.Write(chunk)
		return err
	})
	switch {
	case c.Writer.Written(): // too late for another answer; whoever reads sees the end of the connection
	case err != nil:
		s.fail(c, err)
	default:
		c.Data(http.StatusOK, kind, nil)
	}
}

// serialOffset is eventOffset, and may be negative for a place before the end.
func serialOffset(c *gin.Context) (int64, error) {
	text := c.DefaultQuery("offset", "0")
	if last := c.GetHeader("Last-Event-ID"); last != "" {
		text = last
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, wire.Errorf(wire.CodeBadRequest, "offset %q is not a number", text)
	}
	return n, nil
}

func (s *Server) timeline(c *gin.Context) {
	moments, err := s.Window.Timeline(c.Request.Context(), build.ID(c.Param("id")))
	if err != nil {
		s.fail(c, err)
		return
	}
	c.JSON(http.StatusOK, wire.Timeline{Moments: moments})
}

func (s *Server) keys(c *gin.Context) {
	var req wire.KeysRequest
	if !s.body(c, &req) {
		return
	}
	n, err := s.Window.Type(c.Request.Context(), build.ID(c.Param("id")), req.Text)
	if err != nil {
		s.fail(c, err)
		return
	}
	c.JSON(http.StatusOK, wire.KeysReply{Events: n})
}
