package vagrantapi

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/blob"
	"github.com/boxkiln/boxkiln/boxregistry/boxfile"
	"github.com/boxkiln/boxkiln/internal/auth"
)

// memory is a registry that takes everything, so that what is fuzzed is reading requests and writing answers.
type memory struct {
	Editor
	box boxregistry.Box
}

func (m memory) Box(_ context.Context, n boxregistry.Name) (boxregistry.Box, error) {
	if n != m.box.Name {
		return boxregistry.Box{}, boxregistry.ErrNotFound
	}
	return m.box, nil
}

func (m memory) List(context.Context, boxregistry.ListQuery) ([]boxregistry.Summary, int, error) {
	return []boxregistry.Summary{{Name: m.box.Name}}, 1, nil
}

func (memory) CreateBox(context.Context, boxregistry.Box) error  { return nil }
func (memory) DeleteBox(context.Context, boxregistry.Name) error { return nil }
func (m memory) EditBox(_ context.Context, _ boxregistry.Name, edit func(*boxregistry.Box) error) error {
	return edit(&m.box)
}
func (memory) CreateVersion(context.Context, boxregistry.Name, boxregistry.Version, string) error {
	return nil
}
func (memory) DescribeVersion(context.Context, boxregistry.Name, boxregistry.Version, string) error {
	return nil
}
func (memory) Renumber(context.Context, boxregistry.Name, boxregistry.Version, boxregistry.Version) error {
	return nil
}
func (memory) DeleteVersion(context.Context, boxregistry.Name, boxregistry.Version) error { return nil }
func (memory) Release(context.Context, boxregistry.Name, boxregistry.Version, ...boxregistry.Channel) error {
	return nil
}
func (memory) Promote(context.Context, boxregistry.Name, boxregistry.Version, boxregistry.Channel) error {
	return nil
}
func (memory) Revoke(context.Context, boxregistry.Name, boxregistry.Version, string) error {
	return nil
}
func (memory) Declare(context.Context, boxregistry.Name, boxregistry.Version, boxregistry.File) error {
	return nil
}
func (memory) EditFile(_ context.Context, _ boxregistry.Name, _ boxregistry.Version, _ boxregistry.Provider, _ boxregistry.Architecture, edit func(*boxregistry.File) error) error {
	return edit(&boxregistry.File{})
}
func (memory) DeleteFile(context.Context, boxregistry.Name, boxregistry.Version, boxregistry.Provider, boxregistry.Architecture) error {
	return nil
}

// Whatever is asked, nothing panics, nothing is our fault, and an error of the API is one that the clients can print.
func FuzzAPI(f *testing.F) {
	for _, seed := range [][3]string{
		{"GET", "/ops/deb~candidate?channel=x", ""}, {"HEAD", "//ops//deb", ""}, {"GET", "/dl/1.700.x/ops/boxes/deb/versions/1.0/providers/libvirt.box", ""},
		{"GET", "/ops/boxes/deb/versions/1.0/providers/libvirt/amd64/0123456789ab/vagrant.box", ""},
		{"POST", "/api/v1/boxes", `{"box":{"username":"ops","name":"x","is_private":"true"}}`}, {"PUT", "/api/v2/box/ops/deb", `{"name":"y"}`},
		{"POST", "/api/v2/box/ops/deb/versions", `{"version":{"version":"1.0"}}`}, {"PUT", "/api/v2/box/ops/deb/version/1.0", `{"version":"2"}`},
		{"POST", "/api/v2/box/ops/deb/version/1.0/providers", `{"provider":{"name":"libvirt","checksum":"00","checksum_type":"md5","url":"http://h"}}`},
		{"PUT", "/api/v1/box/ops/deb/version/1.0/provider/libvirt/amd64", `{"provider":{"architecture":"arm64"}}`},
		{"DELETE", "/api/v2/box/ops/deb/version/1.0/provider/libvirt", ""}, {"PUT", "/api/v2/box/ops/deb/version/1.0/release", ""},
		{"GET", "/api/v2/search?q=%00&sort=created&order=asc&limit=9e9&page=-1", ""}, {"GET", "/api/v1/user/ops", ""},
		{"POST", "/api/v1/authenticate", `{"user":{"login":"a","password":"b"},"two_factor":{"code":null}}`}, {"PUT", "/up/x", "bytes"},
		{"POST", "/api/v1/boxes", "box[name]=a&box[x"}, {"POST", "/up/x", "--b\r\n"},
	} {
		f.Add(seed[0], seed[1], seed[2], "application/json")
		f.Add(seed[0], seed[1], seed[2], "application/x-www-form-urlencoded")
	}
	engine := fuzzed()
	f.Fuzz(func(t *testing.T, method, target, body, kind string) {
		u, err := url.Parse("http://h/" + strings.TrimPrefix(target, "/"))
		if err != nil || strings.ContainsAny(method, " \r\n\x00") {
			t.Skip()
		}
		r := &http.Request{Method: method, URL: u, Host: "h", Header: http.Header{"Content-Type": {kind}}, RemoteAddr: "192.0.2.1:1",
			Body: http.NoBody, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
		if body != "" {
			r.Body = readCloser{bytes.NewReader([]byte(body))}
		}
		who := auth.Principal{Name: "fuzz", Token: 1, Scope: auth.Admin}
		w := httptest.NewRecorder()
		engine.ServeHTTP(w, r.WithContext(auth.WithPrincipal(t.Context(), who)))
		if w.Code >= 500 {
			t.Errorf("%s %s %q: %d %s", method, u, body, w.Code, w.Body)
		}
		if strings.HasPrefix(u.Path, "/api/v") && w.Code >= 400 && strings.Contains(w.Header().Get("Content-Type"), "json") && !strings.Contains(w.Body.String(), `"errors":["`) {
			t.Errorf("%s %s: an error that no client prints: %s", method, u, w.Body)
		}
	})
}

type readCloser struct{ *bytes.Reader }

func (readCloser) Close() error { return nil }

func fuzzed() http.Handler {
	files := []boxregistry.File{{Provider: "libvirt", Architecture: "arm64"},
		{Provider: "libvirt", Architecture: "amd64", Default: true, URL: "https://h/x.box"}}
	m := memory{box: boxregistry.Box{Name: must(boxregistry.ParseName("ops/deb")), Private: true, Releases: []boxregistry.Release{
		{Version: must(boxregistry.ParseVersion("1.1")), State: boxregistry.Draft, Files: files},
		{Version: must(boxregistry.ParseVersion("1.0")), State: boxregistry.Released, Channels: []boxregistry.Channel{"stable"}, Files: files[1:]},
	}}}
	p := newPeople()
	api := New(boxesOnly{m}, Options{Editor: m, Uploads: nothingGood{}, Accounts: p, Principals: p, SignKey: []byte("key"), Revision: func(boxregistry.Name) (uint64, bool) { return 1, true }})
	engine := gin.New()
	api.Register(engine)
	return CollapseSlashes(api.Signed(engine))
}

// boxesOnly has no bytes: the files of the fuzzed box are elsewhere.
type boxesOnly struct{ memory }

func (boxesOnly) OpenBlob(context.Context, blob.Digest) (io.ReadSeekCloser, blob.Info, error) {
	return nil, blob.Info{}, blob.ErrNotFound
}

// nothingGood reads what comes and finds it wanting.
type nothingGood struct{}

func (nothingGood) Begin(context.Context, boxregistry.Name, boxregistry.Version, boxregistry.Provider, boxregistry.Architecture) (string, error) {
	return "secret", nil
}

func (nothingGood) Put(_ context.Context, _ string, _ int64, body io.Reader) (boxregistry.File, error) {
	_, err := io.Copy(io.Discard, body)
	return boxregistry.File{}, errors.Join(boxfile.ErrInvalid, err)
}

func (nothingGood) Done(context.Context, string) (bool, error) { return false, boxregistry.ErrNotFound }

// FuzzSignature: no text but the one that was made is a signature.
func FuzzSignature(f *testing.F) {
	p := newPeople()
	s := signer{key: []byte("key"), who: p, now: (&clock{}).now}
	const path = "/ops/boxes/deb/versions/1.0/providers/libvirt.box"
	good := strings.TrimSuffix(strings.TrimPrefix(s.sign(1, 0, path), "/dl/"), path)
	f.Add(good, path)
	f.Add("1.0.", path)
	f.Add("..", "")
	f.Fuzz(func(t *testing.T, signature, at string) {
		_, err := s.check(t.Context(), signature, at)
		if made := signature == good && at == path; made != (err == nil) {
			t.Errorf("%q for %q: %v", signature, at, err)
		}
	})
}
