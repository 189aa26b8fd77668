// Package seedhttp serves an installer its kickstart, preseed or autoinstall files while one build runs.
//
// [Start] listens on the address that only the guest reaches and serves the files of http_directory or http_content
// at the root, under the names that Packer gives them. It answers GET and HEAD, lists no directory, says the same
// "not found" to everything else, and never leaves the directory, whatever the path or a symbolic link says. Files
// are read anew for each request. Every finished request is reported, so that a build's log shows what the installer
// fetched. [Server.Close] cuts all connections and returns when the last request has been reported.
package seedhttp

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// Config says what to serve and where.
type Config struct {
	Addr    netip.Addr // to listen on; loopback if not set
	PortMin int        // 0 with PortMax 0 for any free port
	PortMax int
	Root    fs.FS             // what http_directory holds; use os.Root.FS or the like, which links cannot leave
	Content map[string]string // http_content, instead of Root
	Prefix  string            // serve under /Prefix/ too, for URLs that we compose; see RandomPrefix
	Log     func(Request)     // told about each finished request, one at a time; must not call Close; may be nil
	Now     func() time.Time  // nil for time.Now
}

// Request is one finished request.
type Request struct {
	Time      time.Time     `json:"time"` // when it came in
	Method    string        `json:"method"`
	Path      string        `json:"path"` // without Prefix and query, cut to a sane length, unprintable characters replaced
	Status    int           `json:"status"`
	Bytes     int64         `json:"bytes"` // of the body, as far as they were sent
	Whole     bool          `json:"whole"` // a GET was answered with a file, and all of it was sent
	Remote    string        `json:"remote"`
	UserAgent string        `json:"user_agent"`
	Duration  time.Duration `json:"duration"`
}

// RandomPrefix is a path element of at least 128 random bits, for URLs that Boxkiln composes itself.
func RandomPrefix() string { return strings.ToLower(rand.Text()) }

// Server is a running seed server.
type Server struct {
	listener net.Listener
	http     *http.Server
	stop     func() bool // undoes the tie to Start's context
	serving  sync.WaitGroup
	handler  *handler
	once     sync.Once
	closeErr error
}

// Start listens and serves until Close is called or ctx ends.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	h, err := newHandler(cfg)
	if err != nil {
		return nil, err
	}
	if !cfg.Addr.IsValid() {
		cfg.Addr = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	anyPort := cfg.PortMin == 0 && cfg.PortMax == 0
	if !anyPort && (cfg.PortMin < 1 || cfg.PortMax > 65535 || cfg.PortMin > cfg.PortMax) {
		return nil, fmt.Errorf("seed server: %d to %d is no range of ports", cfg.PortMin, cfg.PortMax)
	}
	l, err := listen(ctx, cfg.Addr, cfg.PortMin, cfg.PortMax)
	if err != nil {
		return nil, err
	}
	s := &Server{listener: l, handler: h, http: newHTTPServer(h)}
	s.serving.Go(func() {
		// Serve ends when the listener is closed, by Close alone: what it returns then is no news.
		_ = s.http.Serve(l)
	})
	s.stop = context.AfterFunc(ctx, func() { _ = s.shut() })
	return s, nil
}

// newHTTPServer bounds what a guest can make us keep. There is no limit on the time of an answer, because guests
// under emulation read large files slowly.
func newHTTPServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 30 * time.Second,
		IdleTimeout:       30 * time.Second,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug), // requests are reported by Log
	}
}

// Port is the port that the server listens on.
func (s *Server) Port() int { return int(s.Addr().Port()) }

// Addr is the address that the server listens on.
func (s *Server) Addr() netip.AddrPort {
	if a, ok := s.listener.Addr().(*net.TCPAddr); ok {
		return a.AddrPort()
	}
	return netip.AddrPort{}
}

// Close ends the server: the port is free, all connections are cut and all requests reported when it returns. It may
// be called more than once.
func (s *Server) Close() error {
	s.stop()
	return s.shut()
}

func (s *Server) shut() error {
	s.once.Do(func() {
		s.closeErr = s.http.Close()
		if err := s.listener.Close(); !errors.Is(err, net.ErrClosed) {
			s.closeErr = errors.Join(s.closeErr, err) // Serve had not taken it over yet
		}
		s.serving.Wait()
		s.handler.drain()
	})
	return s.closeErr
}
