package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/blob"
	"github.com/boxkiln/boxkiln/internal/auth"
)

const draftPath = "/boxes/ops/debian12/versions/20261121.1.0"

var makerPages = []string{"/boxes/new", "/boxes/trash", "/boxes/ops/debian12/edit", "/boxes/ops/debian12/retention", "/boxes/ops/debian12/retention?last=1",
	"/boxes/ops/debian12/upload", "/boxes/ops/debian12/delete", draftPath, "/boxes/ops/debian12/versions/20261101.1.0",
	versionPage + "/notes", versionPage + "/revoke", versionPage + "/delete"}

var makerPosts = []string{"/boxes/ops/debian12/edit", "/boxes/ops/debian12/retention", "/boxes/ops/debian12/upload", "/boxes/ops/debian12/delete",
	"/boxes/ops/debian12/restore", versionPage + "/notes", versionPage + "/release", versionPage + "/revoke", versionPage + "/promote",
	versionPage + "/demote", versionPage + "/pin", versionPage + "/delete", versionPage + "/restore"}

// Only who may write in the organisation reaches the forms and what they change.
func TestOnlyMakersChangeBoxes(t *testing.T) {
	t.Parallel()
	boxes, builds := samples()
	b := setup(t, boxes, builds)
	b.tokens.known["bxk_lab"] = auth.Principal{Name: "lab", Orgs: map[string]auth.Scope{"lab": auth.Admin}}
	reader, other, admin := b.login("bxk_read"), b.login("bxk_lab"), b.login("bxk_admin")
	for _, path := range append(makerPosts, "/boxes/new") {
		if w := b.post(path, url.Values{}); w.Code != http.StatusUnauthorized || !strings.Contains(w.Body.String(), `name="token"`) {
			t.Errorf("POST %s by a guest: %d", path, w.Code)
		}
		if w := b.post(path, url.Values{"name": {"ops/x"}}, reader); w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "scope write") {
			t.Errorf("POST %s by a reader: %d", path, w.Code)
		}
		if w := b.post(path, url.Values{"name": {"ops/x"}}, other); w.Code != http.StatusForbidden {
			t.Errorf("POST %s by a maker of another organisation: %d", path, w.Code)
		}
		r := httptest.NewRequestWithContext(t.Context(), "POST", "http://reg.example:8099"+path, strings.NewReader("confirm=ops/debian12"))
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		r.AddCookie(admin)
		if w := b.do(r); w.Code != http.StatusForbidden {
			t.Errorf("POST %s from another site: %d", path, w.Code)
		}
	}
	for _, path := range []string{"/boxes/new", "/boxes/trash", "/boxes/ops/debian12/edit", "/boxes/ops/debian12/upload", "/boxes/ops/debian12/delete", versionPage + "/revoke"} {
		if w := b.get(path); w.Code != http.StatusUnauthorized || !strings.Contains(w.Body.String(), `name="next" value="`+path) {
			t.Errorf("GET %s by a guest: %d", path, w.Code)
		}
	}
	if did := boxes.did(); did != "" {
		t.Errorf("the registry was asked to %s", did)
	}
}

func TestMakersChangeBoxes(t *testing.T) {
	t.Parallel()
	boxes, builds := samples()
	b := setup(t, boxes, builds)
	b.tokens.known["bxk_ops"] = auth.Principal{Name: "ops", Orgs: map[string]auth.Scope{"ops": auth.Write}}
	maker := b.login("bxk_ops")
	for _, c := range []struct{ path, form, want, next string }{
		{"/boxes/new", "name=ops/new&short=a++b&text=one%0D%0Atwo%0D%0A&private=1", `create ops/new "a b" "one\ntwo" private=true`, "/ops/new"},
		{"/boxes/ops/debian12/edit", "short=s&text=t", `edit ops/debian12 "s" "t" private=false keep=0/0s`, "/ops/debian12"},
		{"/boxes/ops/rocky9/retention", "last=3&days=30", `edit ops/rocky9 "Rocky Linux 9 for the build farm" "" private=false keep=3/720h0m0s`, "/boxes/ops/rocky9/retention"},
		{"/boxes/ops/debian12/delete", "confirm=+ops/debian12", "delete ops/debian12", "/boxes/trash"},
		{"/boxes/ops/centos7/restore", "", "restore ops/centos7", "/ops/centos7"},
		{draftPath + "/release", "channel=", "release ops/debian12 20261121.1.0 [stable]", draftPath},
		{draftPath + "/release", "channel=candidate", "release ops/debian12 20261121.1.0 [candidate]", draftPath},
		{versionPage + "/promote", "channel=beta", "promote ops/debian12 20261120.1.0 beta", versionPage},
		{versionPage + "/demote", "channel=stable", "demote ops/debian12 20261120.1.0 stable", versionPage},
		{versionPage + "/pin", "pinned=1", "pin ops/debian12 20261120.1.0 true", versionPage},
		{versionPage + "/pin", "pinned=", "pin ops/debian12 20261120.1.0 false", versionPage},
		{versionPage + "/notes", "notes=a%0D%0Ab", `describe ops/debian12 20261120.1.0 "a\nb"`, versionPage},
		{versionPage + "/revoke", "why=a+bad%0Aclock", `revoke ops/debian12 20261120.1.0 "a bad clock"`, versionPage},
		{versionPage + "/delete", "confirm=20261120.1.0", "delete ops/debian12 20261120.1.0", "/ops/debian12"},
		{versionPage + "/restore", "", "restore ops/debian12 20261120.1.0", versionPage},
	} {
		form, err := url.ParseQuery(c.form)
		if err != nil {
			t.Fatal(err)
		}
		w := b.post(c.path, form, maker)
		if did := boxes.did(); w.Code != http.StatusSeeOther || w.Header().Get("Location") != c.next || did != c.want+" by ops" {
			t.Errorf("POST %s: %d to %q, did %s\nwant %s", c.path, w.Code, w.Header().Get("Location"), did, c.want)
		}
	}
	if w := b.post("/boxes/new", url.Values{"name": {"lab/x"}}, maker); w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "may not write in the organisation") {
		t.Errorf("a box of another organisation: %d", w.Code)
	}
}

// What cannot be done is told on the form that asked, with what was typed still in it.
func TestRefusalsOfForms(t *testing.T) {
	t.Parallel()
	boxes, builds := samples()
	b := setup(t, boxes, builds)
	maker := b.login("bxk_write")
	for _, c := range []struct {
		path   string
		form   url.Values
		status int
		says   string
	}{
		{"/boxes/new", url.Values{"name": {"nonsense"}, "short": {"typed"}}, 400, `value="typed"`},
		{"/boxes/new", url.Values{"name": {"builds/x"}}, 400, "is taken by the registry"},
		{"/boxes/ops/debian12/delete", url.Values{"confirm": {"ops/Debian12"}}, 400, "Nothing was deleted"},
		{"/boxes/ops/debian12/delete", nil, 400, "ci-runner"},
		{versionPage + "/delete", url.Values{"confirm": {"1"}}, 400, "Nothing was deleted"},
		{versionPage + "/revoke", url.Values{"why": {" \n"}}, 400, "Say why"},
		{versionPage + "/revoke", url.Values{"why": {strings.Repeat("x", maxReason+1)}}, 400, "Say why"},
		{versionPage + "/promote", url.Values{"channel": {"Not One"}}, 400, "lower-case letters"},
		{"/boxes/ops/debian12/retention", url.Values{"last": {"-1"}}, 400, "whole number"},
		{"/boxes/ops/missing/edit", url.Values{"short": {"x"}}, 404, "nothing here"},
		{"/boxes/ops/missing/delete", url.Values{"confirm": {"x"}}, 404, "nothing here"},
		{versionPage + "x/notes", url.Values{"notes": {strings.Repeat("x", maxForm)}}, 400, "too large"},
	} {
		w := b.post(c.path, c.form, maker)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.says) {
			t.Errorf("POST %s %.60v: %d, does not say %q", c.path, c.form, w.Code, c.says)
		}
	}
	if did := boxes.did(); did != "" {
		t.Errorf("the registry was asked to %s", did)
	}
}

func TestErrorsOfTheRegistry(t *testing.T) {
	t.Parallel()
	boxes, builds := samples()
	b := setup(t, boxes, builds)
	maker := b.login("bxk_write")
	for err, status := range map[error]int{boxregistry.ErrLastChannel: 409, boxregistry.ErrNotFound: 404, boxregistry.ErrExists: 409, blob.ErrNoSpace: 507, errors.New("disk I/O at /secret"): 500} {
		boxes.err = fmt.Errorf("x: %w", err)
		w := b.post(versionPage+"/demote", url.Values{"channel": {"stable"}}, maker)
		if w.Code != status || strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%v: %d\n%s", err, w.Code, w.Body)
		}
		if w := b.post("/boxes/new", url.Values{"name": {"ops/x"}}, maker); w.Code != status {
			t.Errorf("create, %v: %d", err, w.Code)
		}
	}
}

func TestRetentionPreview(t *testing.T) {
	t.Parallel()
	boxes, builds := samples()
	b := setup(t, boxes, builds)
	maker := b.login("bxk_write")
	says(t, b.getAs("/boxes/ops/debian12/retention", maker), "No rule is set")
	says(t, b.getAs("/boxes/ops/debian12/retention?last=1&days=", maker), "1 version goes, 2 stay", "Nothing has been changed yet", ">20261113.1.0<")
	says(t, b.getAs("/boxes/ops/debian12/retention?last=10", maker), "No version goes")
	says(t, b.getAs("/boxes/ops/debian12/retention?last=x&days=1", maker), "whole number", `value="x"`)
	if did := boxes.did(); did != "" {
		t.Errorf("a preview had the registry %s", did)
	}
}

func TestTrash(t *testing.T) {
	t.Parallel()
	boxes, builds := samples()
	b := setup(t, boxes, builds)
	b.tokens.known["bxk_lab"] = auth.Principal{Name: "lab", Orgs: map[string]auth.Scope{"lab": auth.Admin}}
	says(t, b.getAs("/boxes/trash", b.login("bxk_write")), "centos7", `action="/boxes/ops/centos7/restore"`, ">private<")
	says(t, b.getAs("/boxes/trash", b.login("bxk_lab")), "Nothing is deleted")
}

// sendFile posts a form with a file, of the fields in their order.
func (b *bundle) sendFile(accept string, session *http.Cookie, file io.Reader, fields ...string) *httptest.ResponseRecorder {
	b.t.Helper()
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	for i := 0; i < len(fields); i += 2 {
		if err := w.WriteField(fields[i], fields[i+1]); err != nil {
			b.t.Fatal(err)
		}
	}
	body := io.Reader(&form)
	if file != nil {
		if _, err := w.CreateFormFile("file", "x.box"); err != nil {
			b.t.Fatal(err)
		}
		body = io.MultiReader(&form, file, strings.NewReader("\r\n--"+w.Boundary()+"--\r\n"))
	} else if err := w.Close(); err != nil {
		b.t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(b.t.Context(), "POST", "http://reg.example:8099/boxes/ops/debian12/upload", body)
	r.Header.Set("Content-Type", w.FormDataContentType())
	r.Header.Set("Accept", accept)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.AddCookie(session)
	return b.do(r)
}

func TestUpload(t *testing.T) {
	t.Parallel()
	boxes, builds := samples()
	b := setup(t, boxes, builds)
	maker := b.login("bxk_write")
	sum := strings.Repeat("AB", 32)
	fields := []string{"version", "2.0", "provider", "libvirt", "architecture", "x86_64", "notes", "a\r\nb", "sha256", "sha256:" + sum, "release", "candidate", "replace", "1", "size", "8"}
	w := b.sendFile("text/html", maker, strings.NewReader("box file"), fields...)
	const want = `upload ops/debian12 2.0 libvirt/amd64 of 8 bytes, 8 announced, sha256 abab, notes "a\nb", replace=true by ada-write, release ops/debian12 2.0 [candidate] by ada-write`
	if did := boxes.did(); w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/boxes/ops/debian12/versions/2.0" || did != want {
		t.Errorf("%d to %q, did %s\n%s", w.Code, w.Header().Get("Location"), did, w.Body)
	}
	w = b.sendFile("application/json", maker, nil, fields...)
	if did := boxes.did(); w.Code != http.StatusOK || did != "" || !strings.Contains(w.Body.String(), `"location":"/boxes/ops/debian12/versions/2.0"`) {
		t.Errorf("a module that asks first: %d, did %q\n%s", w.Code, did, w.Body)
	}
	w = b.sendFile("application/json", maker, strings.NewReader("box"), "version", "2.0", "provider", "libvirt", "architecture", "amd64")
	if did := boxes.did(); w.Code != http.StatusOK || did != `upload ops/debian12 2.0 libvirt/amd64 of 3 bytes, -1 announced, sha256 , notes "", replace=false by ada-write` {
		t.Errorf("a module: %d, did %s\n%s", w.Code, did, w.Body)
	}
}

// cut is a body whose connection breaks.
type cut struct{ r io.Reader }

func (c cut) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func TestUploadsThatCannotBe(t *testing.T) {
	t.Parallel()
	boxes, builds := samples()
	b := setup(t, boxes, builds)
	maker := b.login("bxk_write")
	good := []string{"version", "2.0", "provider", "libvirt", "architecture", "amd64"}
	for what, c := range map[string]struct {
		file   io.Reader
		fields []string
		status int
		says   string
	}{
		"no file":            {nil, good, 400, "Choose a box file"},
		"a bad file":         {strings.NewReader("zip"), good, 422, "metadata.json is missing"},
		"a bad version":      {strings.NewReader("box"), []string{"version", "two", "provider", "libvirt", "architecture", "amd64"}, 400, `value="two"`},
		"a bad checksum":     {strings.NewReader("box"), append([]string{"sha256", "12"}, good...), 400, "64 hexadecimal digits"},
		"a bad channel":      {strings.NewReader("box"), append([]string{"release", "No!"}, good...), 400, "Channel"},
		"a released version": {strings.NewReader("box"), []string{"version", "20261120.1.0", "provider", "libvirt", "architecture", "amd64"}, 409, "eleased versions never change"},
		"too many fields":    {strings.NewReader("box"), append([]string{"notes", strings.Repeat("x", maxForm)}, good...), 400, "too large"},
		"a cut connection":   {cut{strings.NewReader("box and then nothing")}, good, 400, "cut off"},
	} {
		w := b.sendFile("text/html", maker, c.file, c.fields...)
		if did := boxes.did(); w.Code != c.status || !strings.Contains(w.Body.String(), c.says) || did != "" {
			t.Errorf("%s: %d, did %q, does not say %q\n%s", what, w.Code, did, c.says, w.Body)
		}
	}
	if w := b.sendFile("application/json", maker, strings.NewReader("zip"), good...); w.Code != 422 || !strings.HasPrefix(w.Body.String(), `{"error":"`) {
		t.Errorf("a module: %d %s", w.Code, w.Body)
	}
	if w := b.post("/boxes/ops/debian12/upload", url.Values{"version": {"1"}}, maker); w.Code != 400 || !strings.Contains(w.Body.String(), "no form with a file") {
		t.Errorf("no multipart form: %d", w.Code)
	}
}

// endless is a box that never ends.
type endless struct{ read int64 }

func (e *endless) Read(p []byte) (int, error) {
	e.read += int64(len(p))
	return copy(p, bytes.Repeat([]byte("x"), len(p))), nil
}

// What comes is handed on as it comes, and not read by anybody once the Uploader has had enough.
func TestUploadsAreStreamed(t *testing.T) {
	t.Parallel()
	boxes, builds := samples()
	b := setup(t, boxes, builds)
	const enough = 20 << 20
	b.site.Uploader = tasting{boxes, enough}
	source := &endless{}
	w := b.sendFile("text/html", b.login("bxk_write"), source, "version", "2.0", "provider", "libvirt", "architecture", "amd64")
	if w.Code != 507 || source.read < enough || source.read > enough+1<<20 {
		t.Errorf("%d after %d bytes", w.Code, source.read)
	}
}

// tasting reads some of a file and then has no space.
type tasting struct {
	Uploader
	most int64
}

func (u tasting) Upload(_ context.Context, _ boxregistry.Publication, _ int64, body io.Reader) (boxregistry.File, error) {
	if _, err := io.CopyN(io.Discard, body, u.most); err != nil {
		return boxregistry.File{}, err
	}
	return boxregistry.File{}, blob.ErrNoSpace
}
