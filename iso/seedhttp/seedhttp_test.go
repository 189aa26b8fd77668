package seedhttp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// journal keeps what a server reports.
type journal struct {
	mu   sync.Mutex
	list []Request
}

func (j *journal) log(r Request) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.list = append(j.list, r)
}

func start(t *testing.T, cfg Config) (*Server, *journal) {
	t.Helper()
	j := &journal{}
	cfg.Log = j.log
	s, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, j
}

// answer is what a guest sees.
type answer struct {
	Status int
	Body   string
}

// ask sends a request line as it stands, so that no client library tidies the path.
func ask(t *testing.T, s *Server, method, target string, headers ...string) answer {
	t.Helper()
	conn, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "%s %s HTTP/1.0\r\nUser-Agent: debian-installer\r\n%s\r\n", method, target, strings.Join(append(headers, ""), "\r\n"))
	raw, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	head, body, _ := strings.Cut(string(raw), "\r\n\r\n")
	var a answer
	if _, err := fmt.Sscanf(head, "HTTP/1.0 %d", &a.Status); err != nil {
		t.Fatalf("answer %q", raw)
	}
	a.Body = body
	return a
}

var notFound = answer{404, "not found\n"}

func TestContent(t *testing.T) {
	t.Parallel()
	s, _ := start(t, Config{Content: map[string]string{"/preseed.cfg": "d-i", "a/b c": "x", "./ks.cfg": "text"}, Prefix: "s3cr3t"})
	for target, want := range map[string]answer{
		"/preseed.cfg":          {200, "d-i"},
		"//preseed.cfg":         {200, "d-i"},
		"/x/../preseed.cfg?a=b": {200, "d-i"},
		"/s3cr3t/preseed.cfg":   {200, "d-i"},
		"/a/b%20c":              {200, "x"},
		"/ks.cfg":               {200, "text"},
		"/":                     notFound,
		"/a":                    notFound,
		"/s3cr3t":               notFound,
		"/s3cr3t/":              notFound,
		"/s3cr3tpreseed.cfg":    notFound,
		"/Preseed.cfg":          notFound,
	} {
		if diff := cmp.Diff(want, ask(t, s, "GET", target)); diff != "" {
			t.Errorf("%s: %s", target, diff)
		}
	}
}

func TestDirectory(t *testing.T) {
	t.Parallel()
	outside := t.TempDir()
	dir := t.TempDir()
	for name, text := range map[string]string{
		filepath.Join(outside, "secret"):         "secret",
		filepath.Join(dir, "preseed.cfg"):        "d-i",
		filepath.Join(dir, "sub/user-data"):      "#cloud-config",
		filepath.Join(dir, "sub/two/index.html"): "index",
		filepath.Join(dir, ".hidden"):            "hidden",
	} {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	links := map[string]string{"inside": "sub/user-data", "escape": filepath.Join(outside, "secret"), "up": "../"}
	for link, target := range links {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o644); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	s, _ := start(t, Config{Root: root.FS()})
	for target, want := range map[string]answer{
		"/preseed.cfg":             {200, "d-i"},
		"/sub/user-data":           {200, "#cloud-config"},
		"/sub/two":                 {200, "index"},
		"/sub/two/":                {200, "index"},
		"/sub/two/index.html":      {200, "index"},
		"/.hidden":                 {200, "hidden"},
		"/inside":                  {200, "#cloud-config"},
		"/":                        notFound,
		"/sub/":                    notFound,
		"/escape":                  notFound,
		"/up/" + outside:           notFound,
		"/pipe":                    notFound,
		"/../secret":               notFound,
		"/..%2f..%2fetc%2fpasswd":  notFound,
		"/sub/..%5c..%5csecret":    notFound,
		"/%2e%2e/%2e%2e/etc/hosts": notFound,
		"/preseed.cfg%00.txt":      notFound,
		"/preseed.cfg/x":           notFound,
	} {
		if diff := cmp.Diff(want, ask(t, s, "GET", target)); diff != "" {
			t.Errorf("%s: %s", target, diff)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "preseed.cfg"), []byte("changed"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, s, "GET", "/preseed.cfg"); got.Body != "changed" {
		t.Errorf("an old version was served: %v", got)
	}
}

func TestMethodsAndRanges(t *testing.T) {
	t.Parallel()
	s, j := start(t, Config{Content: map[string]string{"/x": "0123456789", "/empty": ""}})
	for _, tc := range []struct {
		method, target string
		header         string
		want           answer
		bytes          int64
	}{
		{"HEAD", "/x", "X: y", answer{200, ""}, 0},
		{"HEAD", "/nope", "X: y", answer{404, ""}, 0},
		{"GET", "/x", "X: y", answer{200, "0123456789"}, 10},
		{"GET", "/empty", "X: y", answer{200, ""}, 0},
		{"GET", "/nope", "X: y", notFound, 10},
		{"GET", "/x", "Range: bytes=2-4", answer{206, "234"}, 3},
		{"GET", "/x", "Range: bytes=0-9", answer{206, "0123456789"}, 10},
		{"GET", "/x", "Range: bytes=20-", answer{416, "invalid range: failed to overlap\n"}, 33},
		{"POST", "/x", "Content-Length: 0", answer{405, "method not allowed\n"}, 19},
		{"DELETE", "/x", "X: y", answer{405, "method not allowed\n"}, 19},
		{"OPTIONS", "/x", "X: y", answer{405, "method not allowed\n"}, 19},
	} {
		if diff := cmp.Diff(tc.want, ask(t, s, tc.method, tc.target, tc.header)); diff != "" {
			t.Errorf("%s %s: %s", tc.method, tc.target, diff)
		}
		if err := waitFor(t, func() bool { j.mu.Lock(); defer j.mu.Unlock(); return len(j.list) > 0 }); err != nil {
			t.Fatal(err)
		}
		j.mu.Lock()
		got := j.list[0]
		j.list = nil
		j.mu.Unlock()
		if got.Method != tc.method || got.Path != tc.target || got.Status != tc.want.Status || got.Bytes != tc.bytes {
			t.Errorf("reported as %+v", got)
		}
		if got.Whole != (tc.method == "GET" && tc.want.Status == 200) {
			t.Errorf("%s %s: reported as whole: %v", tc.method, tc.header, got.Whole)
		}
		if got.UserAgent != "debian-installer" || !strings.HasPrefix(got.Remote, "127.0.0.1:") || got.Time.IsZero() || got.Duration <= 0 {
			t.Errorf("reported as %+v", got)
		}
	}
}

func waitFor(t *testing.T, ok func() bool) error {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-t.Context().Done():
			return errors.New("never happened")
		}
	}
	return nil
}

func TestReportsAreFitForATerminal(t *testing.T) {
	t.Parallel()
	s, j := start(t, Config{Content: map[string]string{"/x": ""}, Prefix: "s3cr3t"})
	ask(t, s, "GET", "/s3cr3t/%1b%5b2J%0a"+strings.Repeat("y", 3000)+"?password=hunter2", "User-Agent: \u009b31m\tred")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintf("%+v", j.list)
	if len(j.list) != 1 || len(j.list[0].Path) > maxPath || strings.ContainsAny(got, "\x1b\n") || strings.Contains(got, "hunter2") || strings.Contains(got, "s3cr3t") {
		t.Errorf("reported as %q", got)
	}
}

func TestCloseCutsAndReports(t *testing.T) {
	t.Parallel()
	big := bytes.Repeat([]byte("x"), 64<<20)
	s, j := start(t, Config{Root: fstest.MapFS{"big": {Data: big}}})
	conn, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET /big HTTP/1.0\r\n\r\n")
	if _, err := io.ReadFull(conn, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if len(j.list) != 1 || j.list[0].Bytes >= int64(len(big)) || j.list[0].Status != 200 || j.list[0].Whole {
		t.Errorf("reported %+v", j.list)
	}
	if err := s.Close(); err != nil {
		t.Errorf("a second Close: %v", err)
	}
	l, err := net.Listen("tcp", s.Addr().String())
	if err != nil {
		t.Fatalf("the port is still taken: %v", err)
	}
	l.Close()
}

func TestContextEndsTheServer(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	s, err := Start(ctx, Config{Content: map[string]string{"/x": ""}})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	s.serving.Wait()
	if _, err := net.Dial("tcp", s.Addr().String()); err == nil {
		t.Error("it still listens")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := Start(ctx, Config{}); !errors.Is(err, context.Canceled) {
		t.Errorf("started with a dead context: %v", err)
	}
}

func TestManyGuests(t *testing.T) {
	t.Parallel()
	s, j := start(t, Config{Content: map[string]string{"/x": "0123456789", "/empty": ""}})
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if got := ask(t, s, "GET", "/x"); got.Body != "0123456789" {
				t.Errorf("got %v", got)
			}
		})
	}
	wg.Wait()
	if err := s.Close(); err != nil || len(j.list) != 50 {
		t.Errorf("%d reports, %v", len(j.list), err)
	}
}

func TestRandomPrefix(t *testing.T) {
	t.Parallel()
	if a, b := RandomPrefix(), RandomPrefix(); a == b || len(a) < 26 || strings.ContainsAny(a, "/ %") {
		t.Errorf("%q and %q", a, b)
	}
}

// FuzzPath asks for any path in a directory that lies beside a secret and holds a link to it.
func FuzzPath(f *testing.F) {
	base := f.TempDir()
	dir := filepath.Join(base, "http")
	if err := errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(filepath.Join(base, "secret"), []byte("top secret"), 0o644),
		os.WriteFile(filepath.Join(dir, "ok"), []byte("public"), 0o644), os.Symlink("../secret", filepath.Join(dir, "link")), os.Symlink("..", filepath.Join(dir, "up"))); err != nil {
		f.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { root.Close() })
	h, err := newHandler(Config{Root: root.FS(), Prefix: "p"})
	if err != nil {
		f.Fatal(err)
	}
	for _, p := range []string{"/ok", "/../secret", "/link", "/up/secret", "//..//secret", "/p/../../secret", "\x00", ""} {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p string) {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, &http.Request{Method: http.MethodGet, URL: &url.URL{Path: p}, Header: http.Header{}})
		if w.Code != http.StatusNotFound && w.Body.String() != "public" {
			t.Errorf("%q: %d %q", p, w.Code, w.Body)
		}
	})
}
