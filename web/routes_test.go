package web

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/daemon/build"
)

var changes = []string{"/builds/b7/keys", "/builds/b7/cancel", "/builds/b6/retry", "/builds/b6/resume", "/builds/b7/answer"}

var anything = url.Values{"text": {"<enter>"}, "answer": {"retry"}}

func TestOnlySessionsChangeAnything(t *testing.T) {
	t.Parallel()
	b := liveBundle(t)
	reader := b.login("bxk_read")
	for _, path := range changes {
		if w := b.post(path, anything); w.Code != http.StatusUnauthorized || !strings.Contains(w.Body.String(), `name="token"`) ||
			!strings.Contains(w.Body.String(), `name="next" value="/builds/b`) {
			t.Errorf("POST %s by a guest: %d\n%s", path, w.Code, w.Body)
		}
		if w := b.post(path, anything, &http.Cookie{Name: cookieName, Value: "made up"}); w.Code != http.StatusUnauthorized {
			t.Errorf("POST %s with a made-up session: %d", path, w.Code)
		}
		if w := b.post(path, anything, reader); w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "scope write") {
			t.Errorf("POST %s with the scope read: %d\n%s", path, w.Code, w.Body)
		}
		if w := b.get(path); w.Code != http.StatusNotFound {
			t.Errorf("GET %s: %d", path, w.Code)
		}
	}
	if did := b.builds.did(); len(did) > 0 || b.window.allTyped() != "" {
		t.Errorf("they had %v done and typed %q", did, b.window.allTyped())
	}
	if page := b.getAs("/builds/b7", reader); strings.Contains(page, "/cancel") || strings.Contains(page, "/keys") {
		t.Error("buttons are shown to those who may only read")
	}
}

func TestOtherSitesChangeNothing(t *testing.T) {
	t.Parallel()
	b := liveBundle(t)
	session := b.login("bxk_admin")
	for _, path := range append([]string{"/login", "/logout", "/settings/password"}, changes...) {
		for name, value := range map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"} {
			r := httptest.NewRequestWithContext(t.Context(), "POST", "http://reg.example:8099"+path, strings.NewReader("text=x&token=bxk_admin"))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set(name, value)
			r.AddCookie(session)
			if w := b.do(r); w.Code != http.StatusForbidden || len(w.Result().Cookies()) > 0 {
				t.Errorf("POST %s with %s: %s gives %d", path, name, value, w.Code)
			}
		}
	}
	if did := b.builds.did(); len(did) > 0 || b.window.allTyped() != "" {
		t.Errorf("another site had %v done and typed %q", did, b.window.allTyped())
	}
}

func TestChanges(t *testing.T) {
	t.Parallel()
	b := liveBundle(t)
	session := b.login("bxk_write")
	for path, want := range map[string]string{"/builds/b7/cancel": "/builds/b7", "/builds/b6/retry": "/builds/b5", "/builds/b6/resume": "/builds/b6",
		"/builds/b7/answer": "/builds/b7", "/builds/b7/keys": "/builds/b7#machine"} {
		if w := b.post(path, anything, session); w.Code != http.StatusSeeOther || w.Header().Get("Location") != want {
			t.Errorf("POST %s: %d to %q\n%s", path, w.Code, w.Header().Get("Location"), w.Body)
		}
	}
	did := b.builds.did()
	slices.Sort(did)
	want := []string{"answer retry b7 by ada-write", "cancel b7 by ada-write", "resume b6 by ada-write", "retry b6 by ada-write"}
	if diff := cmp.Diff(want, did); diff != "" || b.window.allTyped() != "<enter>" {
		t.Errorf("typed %q; -want +got:\n%s", b.window.allTyped(), diff)
	}
	for next, want := range map[string]string{"/builds?page=2": "/builds?page=2", "//evil.example": "/", "https://evil.example": "/builds/b7", "/\\evil.example": "/"} {
		if w := b.post("/builds/b7/cancel", url.Values{"next": {next}}, session); w.Header().Get("Location") != want {
			t.Errorf("the form says to go to %q, and the answer leads to %q", next, w.Header().Get("Location"))
		}
	}
}

func TestChangesThatCannotBe(t *testing.T) {
	t.Parallel()
	b := liveBundle(t)
	session := b.login("bxk_write")
	for _, path := range []string{"/builds/none/keys", "/builds/none/cancel", "/builds/none/retry", "/builds/none/resume", "/builds/none/answer"} {
		if w := b.post(path, anything, session); w.Code != http.StatusNotFound {
			t.Errorf("POST %s: %d", path, w.Code)
		}
	}
	b.builds.err = &Refusal{Status: http.StatusConflict, Text: "build b7 has <ended>"}
	if w := b.post("/builds/b7/cancel", nil, session); w.Code != http.StatusConflict || !strings.Contains(w.Body.String(), "build b7 has &lt;ended&gt;") {
		t.Errorf("a refusal: %d\n%s", w.Code, w.Body)
	}
	b.builds.err = errors.New("disk I/O error at /var/lib/secret")
	if w := b.post("/builds/b7/cancel", nil, session); w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "secret") {
		t.Errorf("an error of ours: %d\n%s", w.Code, w.Body)
	}
	for name, form := range map[string]url.Values{"nothing": {}, "too much": {"text": {strings.Repeat("x", maxKeys+1)}}, "far too much": {"text": {strings.Repeat("x", maxForm)}}} {
		if w := b.post("/builds/b7/keys", form, session); w.Code != http.StatusBadRequest {
			t.Errorf("typing %s: %d", name, w.Code)
		}
	}
	if b.window.allTyped() != "" {
		t.Error("something was typed")
	}
}

// Modules get JSON, for good and for bad.
func TestKeysForModules(t *testing.T) {
	t.Parallel()
	b := liveBundle(t)
	session := b.login("bxk_write")
	ask := func(text string, cookies ...*http.Cookie) string {
		r := httptest.NewRequestWithContext(t.Context(), "POST", "/builds/b7/keys", strings.NewReader(url.Values{"text": {text}}.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Accept", "application/json")
		for _, c := range cookies {
			r.AddCookie(c)
		}
		w := b.do(r)
		return fmt.Sprint(w.Code, " ", w.Body.String())
	}
	if got := ask("ls", session); got != `200 {"events":2}` {
		t.Error(got)
	}
	if got := ask("ü", session); !strings.HasPrefix(got, `400 {"error":"the character`) {
		t.Error(got)
	}
	if got := ask("ls"); !strings.HasPrefix(got, `401 {"error":"Your session has ended`) {
		t.Error(got)
	}
	b.window.gone = true
	if got := ask("ls", session); !strings.HasPrefix(got, `409 {"error":"The build has no machine`) {
		t.Error(got)
	}
}

func TestFilters(t *testing.T) {
	t.Parallel()
	b := liveBundle(t)
	page := b.page("/builds?state=running")
	says(t, page, `href="/builds/b7"`, `<option selected>running</option>`)
	if strings.Contains(page, `href="/builds/b6"`) {
		t.Error("the state does not narrow the list")
	}
	says(t, b.page("/builds?box=ops/debian12&q=debian"), `href="/builds/b7"`, `value="ops/debian12"`, `value="debian"`)
	says(t, b.page("/builds?q=nothing"), "No build matches", "Show all builds")
	says(t, b.page("/builds?state=%27OR+1"), `href="/builds/b6"`)
	for range 3 * buildsPerPage {
		b.builds.builds = append(b.builds.builds, Build{ID: "x", State: build.Failed, Source: "many", Box: "a/b", Queued: noon})
	}
	says(t, b.page("/builds?state=failed&box=a%2Fb&page=2"), "Page 2 of 3", `href="/builds?box=a%2Fb&amp;page=3&amp;state=failed"`, `href="/builds?box=a%2Fb&amp;state=failed"`)
}

func TestStatusIsPartOfThePage(t *testing.T) {
	t.Parallel()
	b := liveBundle(t)
	page, status := b.page("/builds/b7"), b.page("/builds/b7/status")
	for part := range strings.SplitSeq(status, "data-fresh") {
		part = strings.TrimSpace(part[:strings.LastIndexByte(part, '<')]) // without the beginning of the next
		if !strings.Contains(page, part) {
			t.Errorf("the page has no such part:\n%s", part)
		}
	}
	if n := strings.Count(status, "data-fresh"); n != 5 || strings.Contains(status, "<html") {
		t.Errorf("the status has %d parts", n)
	}
}
