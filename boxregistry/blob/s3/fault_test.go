package s3

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/boxkiln/boxkiln/boxregistry/blob"
	"github.com/boxkiln/boxkiln/boxregistry/blob/s3/s3test"
)

// between puts a handler before a service that answers what it takes, and passes on the rest.
func between(t *testing.T, service s3test.Service, take func(w http.ResponseWriter, r *http.Request) bool) s3test.Service {
	t.Helper()
	to, err := url.Parse(service.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	pass := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !take(w, r) {
			pass.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	service.Endpoint = server.URL
	return service
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>no</Message></Error>", code)
}

func TestServiceFull(t *testing.T) {
	t.Parallel()
	for name, fails := range map[string]func(*http.Request) bool{
		"begin":    func(r *http.Request) bool { return r.Method == http.MethodPost && r.URL.Query().Has("uploads") },
		"part":     func(r *http.Request) bool { return r.URL.Query().Get("partNumber") == "2" },
		"complete": func(r *http.Request) bool { return r.Method == http.MethodPost && r.URL.Query().Has("uploadId") },
		"copy":     func(r *http.Request) bool { return r.Header.Get("X-Amz-Copy-Source") != "" },
		"put":      func(r *http.Request) bool { return r.Method == http.MethodPut && !r.URL.Query().Has("partNumber") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var full atomic.Bool
			s := open(t, configFor(between(t, s3test.Fake(t), func(w http.ResponseWriter, r *http.Request) bool {
				if !full.Load() || !fails(r) {
					return false
				}
				refuse(w, http.StatusForbidden, "QuotaExceeded")
				return true
			}), "full"))
			s.firstPart = minPart
			full.Store(true)
			size := 3*minPart + 1
			if name == "put" {
				size = 100
			}
			if _, err := blob.Copy(t.Context(), s, bytes.NewReader(noise(size)), ""); !errors.Is(err, blob.ErrNoSpace) {
				t.Errorf("got %v, want ErrNoSpace", err)
			}
			if n := left(t, s); n != 0 || len(s.live) != 0 {
				t.Errorf("%d things left, live %v", n, s.live)
			}
			for info, err := range s.All(t.Context()) {
				t.Errorf("visible: %v, %v", info, err)
			}
		})
	}
}

// TestTriesAgainButNotForEver lets a part fail some times, and then always.
func TestTriesAgainButNotForEver(t *testing.T) {
	t.Parallel()
	var fails, tries atomic.Int32
	s := open(t, configFor(between(t, s3test.Fake(t), func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Query().Get("partNumber") != "1" {
			return false
		}
		tries.Add(1)
		if fails.Add(-1) < 0 {
			return false
		}
		refuse(w, http.StatusServiceUnavailable, "SlowDown")
		return true
	}), "again"))
	s.firstPart = minPart
	data := noise(minPart + 1)
	fails.Store(2)
	if _, err := blob.Copy(t.Context(), s, bytes.NewReader(data), ""); err != nil || tries.Load() != 3 {
		t.Errorf("%d tries, %v", tries.Load(), err)
	}
	wantContent(t, s, data)
	fails.Store(1000)
	tries.Store(0)
	if _, err := blob.Copy(t.Context(), s, bytes.NewReader(data), ""); err == nil || tries.Load() != attempts {
		t.Errorf("%d tries, %v; want %d and an error", tries.Load(), err, attempts)
	}
}

// TestReadingGoesOn cuts connections in the middle of what they send.
func TestReadingGoesOn(t *testing.T) {
	t.Parallel()
	data := noise(1 << 20)
	var cut atomic.Bool
	var requests atomic.Int32
	service := s3test.Fake(t)
	to := service.Client()
	s := open(t, configFor(between(t, service, func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/sha256/") {
			return false
		}
		if requests.Add(1); !cut.Load() {
			return false
		}
		in := &awss3.GetObjectInput{Bucket: &service.Bucket, Key: aws.String(strings.TrimPrefix(r.URL.Path, "/"+service.Bucket+"/"))}
		if h := r.Header.Get("Range"); h != "" {
			in.Range = &h
			w.WriteHeader(http.StatusPartialContent)
		}
		out, err := to.GetObject(r.Context(), in)
		if err == nil {
			_, err = io.CopyN(w, out.Body, 300<<10)
			err = errors.Join(err, out.Body.Close())
		}
		if err == nil {
			panic(http.ErrAbortHandler)
		}
		return true
	}), "cut"))
	info, err := blob.Copy(t.Context(), s, bytes.NewReader(data), "")
	if err != nil {
		t.Fatal(err)
	}
	r, _, err := s.Open(t.Context(), info.Digest)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cut.Store(true)
	if _, err := r.Seek(1, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Seek(500<<10, io.SeekStart); err != nil { // too far to read and throw away
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, data[500<<10:]) {
		t.Errorf("read %d bytes, %v; want %d", len(got), err, len(data)-500<<10)
	}
	if n := requests.Load(); n < 3 {
		t.Errorf("%d requests: the connection was never cut", n)
	}
}

func TestWrongKeysAreRefused(t *testing.T) {
	t.Parallel()
	service := s3test.Gateway(t)
	c := configFor(service, "keys")
	open(t, c)
	const wrong = "not-the-secret-of-this-service"
	c.Credentials = credentials.NewStaticCredentialsProvider(service.Key, wrong, "")
	_, err := Open(t.Context(), c)
	if !hasCode(err, "SignatureDoesNotMatch") {
		t.Errorf("got %v, want SignatureDoesNotMatch", err)
	}
	if err != nil && (strings.Contains(err.Error(), wrong) || !strings.Contains(err.Error(), service.Bucket)) {
		t.Errorf("the error names the secret, or not the bucket: %v", err)
	}
}

func TestOneOwner(t *testing.T) {
	t.Parallel()
	services(t, func(t *testing.T, service s3test.Service) {
		c := configFor(service, "owned")
		open(t, c)
		open(t, c) // the same installation again
		c.Owner = "another"
		if _, err := Open(t.Context(), c); err == nil || !strings.Contains(err.Error(), `belongs to the installation "this installation"`) {
			t.Errorf("another installation: %v", err)
		}
		c.Prefix = "other/"
		open(t, c)
		c.Bucket = "nowhere"
		if _, err := Open(t.Context(), c); err == nil || !strings.Contains(err.Error(), "make it first") {
			t.Errorf("no bucket: %v", err)
		}
	})
}

func TestLinks(t *testing.T) {
	t.Parallel()
	service := s3test.Gateway(t)
	s := open(t, configFor(service, "links"))
	info, err := blob.Copy(t.Context(), s, strings.NewReader("fetch me"), "")
	if err != nil {
		t.Fatal(err)
	}
	link, err := s.Link(t.Context(), info.Digest, blob.LinkOptions{TTL: time.Hour, ContentDisposition: `attachment; filename="a.box"`})
	if err != nil {
		t.Fatal(err)
	}
	status, header, body := fetch(t, link)
	if status != http.StatusOK || body != "fetch me" || header.Get("Content-Disposition") != `attachment; filename="a.box"` {
		t.Errorf("%d %v %q", status, header, body)
	}
	if strings.Contains(link, service.Secret) {
		t.Error("the link has the secret")
	}
	if status, _, _ := fetch(t, strings.Replace(link, "a.box", "b.box", 1)); status != http.StatusForbidden {
		t.Errorf("a changed link: %d", status)
	}
	if _, err := s.Link(t.Context(), "../owner", blob.LinkOptions{TTL: time.Hour}); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("a link to no digest: %v", err)
	}
}

func fetch(t *testing.T, link string) (status int, header http.Header, body string) {
	t.Helper()
	res, err := http.Get(link)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header, string(data)
}
