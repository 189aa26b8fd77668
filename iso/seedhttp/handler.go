package seedhttp

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
)

// handler answers the guest.
type handler struct {
	cfg     Config
	content map[string]string // by clean path with a leading slash; nil if there is a Root

	log     sync.Mutex // one report at a time
	mu      sync.Mutex
	closed  bool
	running sync.WaitGroup
}

func newHandler(cfg Config) (*handler, error) {
	if cfg.Root != nil && len(cfg.Content) > 0 {
		return nil, errors.New("http_directory and http_content are both set: keep one of them")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = func(Request) {}
	}
	if strings.ContainsAny(cfg.Prefix, "/%") {
		return nil, errors.New("seed server: the prefix must be one path element")
	}
	content, err := cleanContent(cfg.Content)
	return &handler{cfg: cfg, content: content}, err
}

// enter notes a request, unless the server is closing.
func (h *handler) enter() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.closed {
		h.running.Add(1)
	}
	return !h.closed
}

// drain lets no request in any more and waits for those that are being answered.
func (h *handler) drain() {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	h.running.Wait()
}

// ServeHTTP answers one request and reports it.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !h.enter() {
		return
	}
	defer h.running.Done()
	start := h.cfg.Now()
	name := h.name(r.URL.Path)
	c := &counter{ResponseWriter: w, head: r.Method == http.MethodHead}
	defer func() { h.report(r, name, c, start) }()
	h.serve(c, r, name)
}

// name is the requested path, clean and without the prefix.
func (h *handler) name(p string) string {
	p = path.Clean("/" + p)
	if h.cfg.Prefix == "" {
		return p
	}
	if rest, ok := strings.CutPrefix(p, "/"+h.cfg.Prefix); ok && (rest == "" || rest[0] == '/') {
		return path.Clean("/" + rest)
	}
	return p
}

func (h *handler) serve(w http.ResponseWriter, r *http.Request, name string) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	w.Header().Set("Cache-Control", "no-store") // the template may have changed by the next build
	if text, ok := h.content[name]; ok {
		http.ServeContent(w, r, path.Base(name), time.Time{}, strings.NewReader(text))
		return
	}
	if h.cfg.Root == nil || !h.serveFile(w, r, strings.TrimPrefix(name, "/")) {
		w.Header().Del("Cache-Control")
		http.Error(w, "not found", http.StatusNotFound)
	}
}

// serveFile sends a regular file of Root, or the index.html of a directory as Packer does. It reports false, and has
// sent nothing, if there is none.
func (h *handler) serveFile(w http.ResponseWriter, r *http.Request, name string) bool {
	if name == "" {
		name = "."
	}
	if !fs.ValidPath(name) {
		return false
	}
	info, err := fs.Stat(h.cfg.Root, name)
	if err == nil && info.IsDir() {
		name = path.Join(name, "index.html")
		info, err = fs.Stat(h.cfg.Root, name)
	}
	if err != nil || !info.Mode().IsRegular() { // opening a pipe would wait for its writer
		return false
	}
	f, err := h.cfg.Root.Open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	content, err := seekable(f)
	if err != nil {
		return false
	}
	http.ServeContent(w, r, path.Base(name), info.ModTime(), content)
	return true
}

// seekable makes ranges possible for file systems whose files cannot seek.
func seekable(f fs.File) (io.ReadSeeker, error) {
	if s, ok := f.(io.ReadSeeker); ok {
		return s, nil
	}
	data, err := io.ReadAll(f)
	return bytes.NewReader(data), err
}

// Longest texts that a report takes over from a guest, in bytes.
const (
	maxPath  = 1024
	maxAgent = 256
)

func (h *handler) report(r *http.Request, name string, c *counter, start time.Time) {
	h.log.Lock()
	defer h.log.Unlock()
	h.cfg.Log(Request{
		Time:      start,
		Method:    printable(r.Method, 16),
		Path:      printable(name, maxPath),
		Status:    c.status,
		Bytes:     c.n,
		Whole:     r.Method == http.MethodGet && c.whole(),
		Remote:    r.RemoteAddr,
		UserAgent: printable(r.UserAgent(), maxAgent),
		Duration:  h.cfg.Now().Sub(start),
	})
}

// printable makes a guest's text fit for a terminal and a log.
func printable(s string, most int) string {
	s = strings.ToValidUTF8(s[:min(len(s), most)], "?")
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

// counter notes the status and the bytes of an answer.
type counter struct {
	http.ResponseWriter
	head   bool // nothing written reaches the guest
	status int
	n      int64
}

// WriteHeader notes the status.
func (c *counter) WriteHeader(status int) {
	c.status = status
	c.ResponseWriter.WriteHeader(status)
}

// Write counts the bytes.
func (c *counter) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	if !c.head {
		c.n += int64(n)
	}
	return n, err
}

// whole tells whether all of a file was sent: not a part of it, and not an error.
func (c *counter) whole() bool {
	return c.status == http.StatusOK && c.Header().Get("Content-Length") == strconv.FormatInt(c.n, 10)
}

// ReadFrom counts the bytes and keeps sendfile possible.
func (c *counter) ReadFrom(r io.Reader) (int64, error) {
	n, err := io.Copy(c.ResponseWriter, r)
	c.n += n
	return n, err
}

// Unwrap serves http.ResponseController.
func (c *counter) Unwrap() http.ResponseWriter { return c.ResponseWriter }
