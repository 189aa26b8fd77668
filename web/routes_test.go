package web

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

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
	for _, path := range append([]string{"/login", "/logout"}, changes...) {
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

func TestSessions(t *testing.T) {
	t.Parallel()
	b := liveBundle(t)
	now := noon
	b.site.now = func() time.Time { return now }
	session := b.login("bxk_write")
	if !session.HttpOnly || session.SameSite != http.SameSiteStrictMode || session.Secure || session.Path != "/" || len(session.Value) < 26 {
		t.Errorf("the cookie is %v", session)
	}
	if strings.Contains(session.Value, "bxk") {
		t.Error("the cookie holds the token")
	}
	if page := b.getAs("/builds/b7", session); !strings.Contains(page, "ada-write") || !strings.Contains(page, "/builds/b7/cancel") {
		t.Error("a session shows no name, or no buttons")
	}
	gone := func(why string) {
		t.Helper()
		if page := b.getAs("/builds/b7", session); strings.Contains(page, "ada-write") || b.post("/builds/b7/cancel", nil, session).Code != http.StatusUnauthorized {
			t.Errorf("the session goes on after %s", why)
		}
	}
	now = now.Add(sessionLife)
	gone("its life")
	now = noon
	b.tokens.err = errors.New("no database")
	gone("an error, while it lasts")
	b.tokens.err = nil
	if page := b.getAs("/", session); !strings.Contains(page, "ada-write") {
		t.Error("an error of the database ended a session")
	}
	w := b.post("/logout", url.Values{"next": {"/builds"}}, session)
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/builds" || w.Result().Cookies()[0].MaxAge != -1 {
		t.Errorf("logout: %d %v", w.Code, w.Header())
	}
	gone("a logout")
	session = b.login("bxk_write")
	b.tokens.revoke("bxk_write")
	gone("its token was revoked")
}

func TestLogin(t *testing.T) {
	t.Parallel()
	b := liveBundle(t)
	says(t, b.page("/login?next=/builds/b7"), `name="next" value="/builds/b7"`, `type="password"`)
	if w := b.post("/login", url.Values{"token": {" bxk_read\n"}, "next": {"/builds?q=x"}}); w.Header().Get("Location") != "/builds?q=x" {
		t.Errorf("login leads to %q", w.Header().Get("Location"))
	}
	for _, next := range []string{"//evil.example", "https://evil.example/", "/\\evil.example", "javascript:alert(1)", "", "builds", "/\t/evil.example"} {
		if w := b.post("/login", url.Values{"token": {"bxk_read"}, "next": {next}}); w.Header().Get("Location") != "/" {
			t.Errorf("login with next=%q leads to %q", next, w.Header().Get("Location"))
		}
	}
	r := httptest.NewRequestWithContext(t.Context(), "POST", "/login", strings.NewReader("token=bxk_read"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("X-Forwarded-Proto", "https")
	if c := b.do(r).Result().Cookies(); len(c) != 1 || !c[0].Secure {
		t.Errorf("behind a proxy with TLS the cookie is %v", c)
	}
	b.tokens.err = errors.New("no database")
	if w := b.post("/login", url.Values{"token": {"bxk_read"}}); w.Code != http.StatusInternalServerError {
		t.Errorf("without a database: %d", w.Code)
	}
}

func TestLoginIsLimited(t *testing.T) {
	t.Parallel()
	b := liveBundle(t)
	now := noon
	b.site.now = func() time.Time { return now }
	try := func(addr, token string) int {
		r := httptest.NewRequestWithContext(t.Context(), "POST", "/login", strings.NewReader("token="+token))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.RemoteAddr = addr
		return b.do(r).Code
	}
	for i := range failuresAllowed {
		if code := try("192.0.2.1:100", "bxk_guess"); code != http.StatusUnauthorized {
			t.Errorf("guess %d: %d", i, code)
		}
	}
	if code := try("192.0.2.1:200", "bxk_write"); code != http.StatusTooManyRequests {
		t.Errorf("after %d guesses: %d", failuresAllowed, code)
	}
	if code := try("192.0.2.2:100", "bxk_write"); code != http.StatusSeeOther {
		t.Errorf("somebody else: %d", code)
	}
	now = now.Add(failureWindow)
	if code := try("192.0.2.1:300", "bxk_write"); code != http.StatusSeeOther {
		t.Errorf("a minute later: %d", code)
	}
}

func TestSessionsAndFailuresAreBounded(t *testing.T) {
	t.Parallel()
	var s sessions
	first := s.begin("a", noon)
	for i := range maxSessions {
		s.begin("b", noon.Add(time.Duration(i+1)*time.Millisecond))
	}
	if _, ok := s.token(first, noon); ok || len(s.byID) != maxSessions {
		t.Errorf("%d sessions, and the oldest is still there: %v", len(s.byID), ok)
	}
	var f failures
	for i := range 3 * maxAddresses {
		f.count(fmt.Sprint(i), noon)
	}
	if len(f.byAddr) > maxAddresses+1 || f.wait("another", noon) == 0 {
		t.Errorf("%d addresses are counted", len(f.byAddr))
	}
}

// Who comes through the daemon's socket needs no session, as everywhere; other sites still change nothing.
func TestSocketNeedsNoSession(t *testing.T) {
	t.Parallel()
	b := liveBundle(t)
	ctx := context.WithValue(t.Context(), http.LocalAddrContextKey, &net.UnixAddr{Name: "daemon.sock", Net: "unix"})
	ask := func(method, path string, site string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(ctx, method, path, strings.NewReader(""))
		r.Header.Set("Sec-Fetch-Site", site)
		return b.do(r)
	}
	page := ask("GET", "/builds/b7", "none").Body.String()
	if !strings.Contains(page, "/builds/b7/cancel") || strings.Contains(page, "Log in</a>") || strings.Contains(page, "Log out") {
		t.Error("the page for the socket has no buttons, or asks for a login")
	}
	if w := ask("POST", "/builds/b7/cancel", "same-origin"); w.Code != http.StatusSeeOther {
		t.Errorf("cancel through the socket: %d", w.Code)
	}
	if w := ask("POST", "/builds/b7/cancel", "cross-site"); w.Code != http.StatusForbidden {
		t.Errorf("cancel through a forwarded socket by another site: %d", w.Code)
	}
	if w := ask("GET", "/login?next=/builds", "none"); w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/builds" {
		t.Errorf("login through the socket: %d", w.Code)
	}
}

// sse is a reader of server-sent events.
type sse struct {
	t    *testing.T
	body *bufio.Reader
	stop func()
}

type event struct{ id, name, data string }

func follow(t *testing.T, url string, header http.Header) sse {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = header
	transport := &http.Transport{}
	answer, err := (&http.Client{Transport: transport}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if got := answer.Header.Get("Content-Type"); got != "text/event-stream" || answer.Header.Get("Content-Security-Policy") == "" {
		t.Fatalf("%d %v", answer.StatusCode, answer.Header)
	}
	return sse{t, bufio.NewReader(answer.Body), func() {
		cancel()
		answer.Body.Close()
		transport.CloseIdleConnections()
	}}
}

// next returns the next event; at the end of the stream its name is "gone".
func (s sse) next() event {
	s.t.Helper()
	var e event
	for {
		line, err := s.body.ReadString('\n')
		if err != nil {
			return event{name: "gone"}
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch {
		case line == "\n" && e != event{}:
			return e
		case name == "id":
			e.id = value
		case name == "event":
			e.name = value
		case name == "data":
			e.data = value
		}
	}
}

func TestEventsGoOnFromAnyPlace(t *testing.T) {
	t.Parallel()
	b := liveBundle(t)
	server := serve(t, b).URL
	all := follow(t, server+"/builds/b7/events", nil)
	defer all.stop()
	want := []event{
		{"64", "change", `{"state":"running"}`}, {"128", "line", `{"at":"12:00:00","kind":"say","text":"==\u003e Waiting for SSH ..."}`},
		{"192", "line", `{"at":"12:00:00","kind":"message","text":"connected"}`}, {"256", "line", `{"at":"12:00:00","kind":"message","text":"100%"}`},
		{"320", "progress", `{"text":"debian.iso","done":1,"total":2,"said":"1 B of 2 B"}`},
		{"384", "line", `{"at":"12:00:00","kind":"seed","text":"seed: GET /preseed.cfg: 200"}`}, {"384", "change", `{}`},
	}
	for i, w := range want {
		if got := all.next(); got != w {
			t.Errorf("event %d is %+v, want %+v", i, got, w)
		}
	}
	for name, from := range map[string]sse{
		"?offset=":      follow(t, server+"/builds/b7/events?offset=448", nil),
		"Last-Event-ID": follow(t, server+"/builds/b7/events?offset=0", http.Header{"Last-Event-Id": {"448"}}),
	} {
		defer from.stop()
		if got := from.next(); got.id != "512" || !strings.Contains(got.data, "Setting up openssh-server") {
			t.Errorf("%s goes on with %+v", name, got)
		}
	}
	at := follow(t, server+"/builds/b7/events?offset=512", nil)
	defer at.stop()
	b.builds.tell("b7", msg("later"))
	if got := at.next(); got.id != "576" || !strings.Contains(got.data, "later") {
		t.Errorf("what is said later comes as %+v", got)
	}
	b.builds.alter("b7", func(x *Build) { x.State = build.Succeeded })
	if got := []event{at.next(), at.next(), at.next()}; got[0].name != "change" || got[1].name != "end" || got[2].name != "gone" {
		t.Errorf("the end is %+v", got)
	}
}

func TestStreamsRefuse(t *testing.T) {
	t.Parallel()
	b := liveBundle(t)
	for _, path := range []string{"/builds/b7/events", "/builds/b7/serial"} {
		for _, offset := range []string{"-1", "x", "1e3", "99999999999999999999"} {
			if w := b.get(path + "?offset=" + offset); w.Code != http.StatusBadRequest {
				t.Errorf("%s from %s: %d", path, offset, w.Code)
			}
		}
	}
	b.site.readers.Store(maxReaders)
	for _, path := range []string{"/builds/b7/events", "/builds/b7/serial", "/builds/b7/screen"} {
		if w := b.get(path); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
			t.Errorf("%s when there is no room: %d", path, w.Code)
		}
	}
	if n := b.site.readers.Load(); n != maxReaders {
		t.Errorf("%d readers are counted", n)
	}
}

// A reader that takes nothing holds up neither the build nor other readers.
func TestSlowReaderHoldsUpNobody(t *testing.T) {
	t.Parallel()
	b := liveBundle(t)
	server := serve(t, b).URL
	slow := follow(t, server+"/builds/b7/events", nil)
	defer slow.stop()
	long := strings.Repeat("x", 60<<10)
	for range 400 { // more than the kernel keeps for a connection
		b.builds.tell("b7", msg(long))
	}
	b.builds.tell("b7", msg("the end"))
	quick := follow(t, fmt.Sprintf("%s/builds/b7/events?offset=%d", server, (len(sampleLog())+400)*entrySize), nil)
	defer quick.stop()
	if got := quick.next(); !strings.Contains(got.data, "the end") {
		t.Errorf("another reader sees %+v", got)
	}
}

func TestSerialConsole(t *testing.T) {
	t.Parallel()
	b := liveBundle(t)
	server := serve(t, b).URL
	from := follow(t, fmt.Sprintf("%s/builds/b7/serial?offset=%d", server, len(sampleSerial)), nil)
	defer from.stop()
	b.window.print("\x1b[32mlogin:")
	if got := from.next(); got.name != "console" || got.data != `{"text":"login:"}` || got.id != fmt.Sprint(len(sampleSerial)+11) {
		t.Errorf("got %+v", got)
	}
	b.window.mu.Lock()
	b.window.gone = true
	b.window.changed.Broadcast()
	b.window.mu.Unlock()
	if got := from.next(); got.name != "end" {
		t.Errorf("at the end comes %+v", got)
	}
	b.window.err = ErrNothing
	none := follow(t, server+"/builds/b7/serial", nil) // a machine without one: the browser comes again
	defer none.stop()
	if got := none.next(); got.name != "gone" {
		t.Errorf("without a serial port comes %+v", got)
	}
}

func TestScreen(t *testing.T) {
	t.Parallel()
	b := liveBundle(t)
	ask := func(ctx context.Context, path, tag string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(ctx, "GET", path, nil)
		r.Header.Set("If-None-Match", tag)
		return b.do(r)
	}
	for _, path := range []string{"/builds/b7/screen.png", "/builds/b7/screen"} {
		w := ask(t.Context(), path, "")
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "image/png" || w.Header().Get("Boxkiln-Screen") != "live" || w.Body.Len() != len(b.window.frame.PNG) {
			t.Errorf("%s: %d %v", path, w.Code, w.Header())
		}
	}
	tag := tagOf(b.window.frame)
	if w := ask(t.Context(), "/builds/b7/screen.png", tag); w.Code != http.StatusNotModified {
		t.Errorf("the same picture again: %d", w.Code)
	}
	next := make(chan *httptest.ResponseRecorder)
	go func() { next <- ask(t.Context(), "/builds/b7/screen", tag) }()
	b.window.until(t, func() bool { return b.window.watches > 0 })
	b.window.show(screenPicture(t, 5))
	if w := <-next; w.Code != http.StatusOK || w.Header().Get("ETag") == tag {
		t.Errorf("the next picture: %d %v", w.Code, w.Header())
	}
	gone, cancel := context.WithCancel(t.Context())
	go func() { next <- ask(gone, "/builds/b7/screen", tagOf(b.window.frame)) }()
	b.window.until(t, func() bool { return b.window.watches > 0 })
	cancel() // who goes away ends the watch
	<-next
	b.window.gone = true
	if w := ask(t.Context(), "/builds/b7/screen", tag); w.Code != http.StatusNoContent {
		t.Errorf("without a machine: %d", w.Code)
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
	if n := strings.Count(status, "data-fresh"); n != 4 || strings.Contains(status, "<html") {
		t.Errorf("the status has %d parts", n)
	}
}
