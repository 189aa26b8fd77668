package upstream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

func fetchAll(t *testing.T, f *Fetcher, at string) ([]byte, *Download, error) {
	t.Helper()
	d, err := f.Fetch(t.Context(), FetchRequest{Origin: Origin{Kind: AtURL, At: at}}, ignore)
	if err != nil {
		return nil, nil, err
	}
	defer d.Close()
	data, err := io.ReadAll(d)
	return data, d, err
}

// cut answers as many bytes as it is told and then breaks the connection, until it has been asked often enough.
func cut(content []byte, after, times int) http.HandlerFunc {
	asked := 0
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"v1"`)
		if asked++; asked > times {
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
			return
		}
		http.ServeContent(&breaking{w, after}, r, "", time.Time{}, bytes.NewReader(content))
	}
}

type breaking struct {
	http.ResponseWriter
	left int
}

func (b *breaking) Write(p []byte) (int, error) {
	n, _ := b.ResponseWriter.Write(p[:min(len(p), b.left)])
	if b.left -= n; b.left == 0 {
		_ = http.NewResponseController(b.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	return n, nil
}

func TestDownloadsGoOnWhereTheyBroke(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	content := bytes.Repeat([]byte("0123456789"), 50_000)
	s.handle("/x.box", cut(content, 120_000, 3))
	f, waits := testFetcher(t)
	got, _, err := fetchAll(t, f, s.URL+"/x.box")
	if err != nil || !bytes.Equal(got, content) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	if asked := s.requests("GET /x.box"); len(asked) != 4 || !strings.Contains(asked[3], "bytes=") || len(waits()) != 3 {
		t.Errorf("asked %q, waited %v", asked, waits())
	}
}

func TestDownloadsGoOnInAnotherProcess(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	content := bytes.Repeat([]byte("0123456789"), 50_000)
	s.file("/x.box", content)
	f, _ := testFetcher(t)
	d := must(f.Fetch(t.Context(), FetchRequest{Origin: Origin{Kind: AtURL, At: s.URL + "/x.box"}}, ignore))
	if _, err := io.CopyN(io.Discard, d, 100_000); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	later := &Fetcher{Dir: f.Dir}
	defer later.Close()
	got, d, err := fetchAll(t, later, s.URL+"/x.box")
	if err != nil || !bytes.Equal(got, content) || !d.Resumed() {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	if asked := s.requests("GET /x.box"); len(asked) != 2 || !strings.Contains(asked[1], "bytes=1") {
		t.Errorf("asked %q", asked)
	}
	s.file("/x.box", []byte("other bytes")) // the ETag is another one, so all of it comes
	if err := os.Truncate(d.Path(), 1000); err != nil {
		t.Fatal(err)
	}
	if got, _, err := fetchAll(t, later, s.URL+"/x.box"); err != nil || string(got) != "other bytes" {
		t.Errorf("after a change: %q, %v", got, err)
	}
}

func TestServersWithoutRanges(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	content := bytes.Repeat([]byte("0123456789"), 50_000)
	begin := cut(content, 120_000, 2)
	s.handle("/x.box", func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del("Range")
		begin(w, r)
	})
	f, waits := testFetcher(t)
	if got, _, err := fetchAll(t, f, s.URL+"/x.box"); err != nil || !bytes.Equal(got, content) || len(waits()) != 2 {
		t.Errorf("%d bytes, %v, waits %v", len(got), err, waits())
	}
}

func TestAChangeInTheMiddleIsAnError(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	content := bytes.Repeat([]byte("0123456789"), 50_000)
	begin := cut(content, 120_000, 1)
	asked := 0
	s.handle("/x.box", func(w http.ResponseWriter, r *http.Request) {
		if asked++; asked == 1 {
			begin(w, r)
			return
		}
		w.Header().Set("ETag", `"v2"`)
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader("others"))
	})
	f, _ := testFetcher(t)
	if _, _, err := fetchAll(t, f, s.URL+"/x.box"); !errors.Is(err, errChanged) {
		t.Errorf("got %v", err)
	}
}

func TestLimitsOfServersAreObeyed(t *testing.T) {
	t.Parallel()
	for header, value := range map[string]string{
		"X-Hcp-Vagrant-Limit-Retry-After": "1000090", "Retry-After": "90",
		"X-RateLimit-Reset": "1000090", "Retry-After ": time.Unix(1_000_090, 0).UTC().Format(http.TimeFormat),
	} {
		t.Run(header, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			asked := 0
			s.handle("/x.box", func(w http.ResponseWriter, _ *http.Request) {
				if asked++; asked < 10 {
					w.Header().Set(strings.TrimSpace(header), value)
					w.Header().Set("X-RateLimit-Remaining", "0")
					w.WriteHeader(http.StatusTooManyRequests)
					return
				}
				fmt.Fprint(w, "bytes")
			})
			f, waits := testFetcher(t)
			f.Now = func() time.Time { return time.Unix(1_000_000, 0) }
			var said []string
			d, err := f.Fetch(t.Context(), FetchRequest{Origin: Origin{Kind: AtURL, At: s.URL + "/x.box"}}, func(s Status) { said = append(said, s.Message()) })
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			if got := waits(); len(got) != 9 || got[0] != 90*time.Second || !strings.Contains(said[0], "asks to wait 1m30s") {
				t.Errorf("waited %v, said %q", got, said)
			}
		})
	}
	s := newServer(t)
	s.handle("/x.box", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "100000")
		w.WriteHeader(http.StatusTooManyRequests)
	})
	f, waits := testFetcher(t)
	if _, _, err := fetchAll(t, f, s.URL+"/x.box"); err == nil || !strings.Contains(err.Error(), "try again later") || len(waits()) != 0 {
		t.Errorf("a wait of a day: %v", err)
	}
}

func TestFailuresThatStayAndThatPass(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for _, code := range []int{404, 403, 500, 503} {
		s.handle("/"+strconv.Itoa(code), func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })
	}
	for code, tries := range map[int]int{404: 1, 403: 1, 500: 5, 503: 5} {
		f, _ := testFetcher(t)
		at := "/" + strconv.Itoa(code)
		if _, _, err := fetchAll(t, f, s.URL+at); err == nil || !strings.Contains(err.Error(), strconv.Itoa(code)) || len(s.requests("GET "+at)) != tries {
			t.Errorf("%d: %v after %d attempts", code, err, len(s.requests("GET "+at)))
		}
	}
}

func TestSizesAreLimited(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.file("/x.box", make([]byte, 2000))
	s.handle("/endless", func(w http.ResponseWriter, _ *http.Request) {
		for range 100 {
			if _, err := w.Write(make([]byte, 1000)); err != nil {
				return
			}
		}
	})
	f, _ := testFetcher(t)
	f.MaxSize = 1000
	for _, path := range []string{"/x.box", "/endless"} {
		if _, _, err := fetchAll(t, f, s.URL+path); !errors.Is(err, ErrTooLarge) || len(s.requests("GET "+path)) != 1 {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestASilentServerIsLeft(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.handle("/x.box", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "some")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	f, _ := testFetcher(t)
	f.Stall, f.Retries = 50*time.Millisecond, 2
	if got, _, err := fetchAll(t, f, s.URL+"/x.box"); !errors.Is(err, errStalled) {
		t.Errorf("%q, %v", got, err)
	}
}

func TestAWaitEndsWithItsContext(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.handle("/x.box", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	f := &Fetcher{Dir: t.TempDir(), Backoff: func(int) time.Duration { return time.Hour }}
	defer f.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("the user left")
	_, err := f.Fetch(ctx, FetchRequest{Origin: Origin{Kind: AtURL, At: s.URL + "/x.box"}}, func(Status) { cancel(gone) })
	if !errors.Is(err, gone) {
		t.Errorf("got %v", err)
	}
}

func TestCredentialsStayWithTheirHost(t *testing.T) {
	t.Parallel()
	seen := make(chan string, 10)
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen <- "other " + r.Header.Get("Authorization") + r.Header.Get("Referer")
		fmt.Fprint(w, "bytes")
	}))
	defer other.Close()
	s := newServer(t)
	s.handle("/x.box", func(w http.ResponseWriter, r *http.Request) {
		seen <- "own " + r.Header.Get("Authorization")
		http.Redirect(w, r, s.URL+"/y.box?secret=1", http.StatusFound)
	})
	s.handle("/y.box", func(w http.ResponseWriter, r *http.Request) {
		seen <- "own " + r.Header.Get("Authorization")
		http.Redirect(w, r, other.URL+"/z", http.StatusFound)
	})
	f, _ := testFetcher(t)
	host := strings.TrimPrefix(s.URL, "http://")
	d := must(f.Fetch(t.Context(), FetchRequest{Origin: Origin{Kind: AtURL, At: s.URL + "/x.box", Access: Access{host, "tok"}}}, ignore))
	defer d.Close()
	for _, want := range []string{"own Bearer tok", "own Bearer tok", "other "} {
		if got := <-seen; got != want {
			t.Errorf("sent %q, want %q", got, want)
		}
	}
}

func TestRedirectsStayOnTheWeb(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.handle("/file", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "file:///etc/passwd", http.StatusFound)
	})
	s.handle("/loop", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/loop", http.StatusFound) })
	f, waits := testFetcher(t)
	for _, path := range []string{"/file", "/loop"} {
		if _, _, err := fetchAll(t, f, s.URL+path); err == nil || !strings.Contains(err.Error(), "redirects") || len(waits()) != 0 {
			t.Errorf("%s: %v after waits %v", path, err, waits())
		}
	}
	secure := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, s.URL, http.StatusFound) }))
	defer secure.Close()
	f.Client = secure.Client()
	f.Client.CheckRedirect = checkRedirect
	if _, _, err := fetchAll(t, f, secure.URL); err == nil || !strings.Contains(err.Error(), "from https to") {
		t.Errorf("from https to http: %v", err)
	}
}

func TestSweep(t *testing.T) {
	t.Parallel()
	f := &Fetcher{Dir: t.TempDir()}
	old := write(t, f.Dir+"/old", []byte("x"))
	young := write(t, f.Dir+"/young", []byte("x"))
	past := time.Now().Add(-48 * time.Hour)
	if err := errors.Join(os.Chtimes(old, past, past), f.Sweep(24*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if _, file := exists(old); file {
		t.Error("the old part is still there")
	}
	if _, file := exists(young); !file {
		t.Error("the young part is gone")
	}
}
