package web

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/boxkiln/boxkiln/internal/auth"
)

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

// A session for a password has a token of its own, which ends with it; somebody's token stays.
func TestLoginByPassword(t *testing.T) {
	t.Parallel()
	b := liveBundle(t)
	form := url.Values{"username": {"ada"}, "token": {"correct horse"}, "next": {"/builds/b7"}}
	w := b.post("/login", form)
	if w.Code != http.StatusSeeOther || len(w.Result().Cookies()) != 1 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	cookie := w.Result().Cookies()[0]
	if page := b.getAs("/builds/b7", cookie); !strings.Contains(page, "ada") || !strings.Contains(page, "/builds/b7/cancel") {
		t.Error("the session shows no name, or no buttons")
	}
	if b.tokens.life != sessionLife {
		t.Errorf("the session's token lives for %v", b.tokens.life)
	}
	if w := b.post("/logout", nil, cookie); w.Code != http.StatusSeeOther {
		t.Errorf("logout: %d", w.Code)
	}
	if _, err := b.tokens.Check(t.Context(), "bxk_login"); !errors.Is(err, auth.ErrRefused) {
		t.Errorf("the token of the session after its end: %v", err)
	}
	for _, wrong := range []url.Values{{"username": {"ada"}, "token": {"battery"}}, {"username": {"eve"}, "token": {"correct horse"}}, {"token": {"correct horse"}}, {"username": {"ada"}}} {
		if w := b.post("/login", wrong); w.Code != http.StatusUnauthorized || len(w.Result().Cookies()) != 0 {
			t.Errorf("%v: %d", wrong, w.Code)
		}
	}
	w = b.post("/login", url.Values{"username": {"ada"}, "token": {"bxk_read"}})
	if w.Code != http.StatusSeeOther {
		t.Fatalf("a token beside a name: %d", w.Code)
	}
	b.post("/logout", nil, w.Result().Cookies()[0])
	if _, err := b.tokens.Check(t.Context(), "bxk_read"); err != nil {
		t.Errorf("a logout ended somebody's token: %v", err)
	}
}

// A user changes his password, and what the old one opened elsewhere ends.
func TestChangePassword(t *testing.T) {
	t.Parallel()
	b := liveBundle(t)
	login := func() *http.Cookie {
		return b.post("/login", url.Values{"username": {"ada"}, "token": {"correct horse"}}).Result().Cookies()[0]
	}
	own, other, token := login(), login(), b.login("bxk_write")
	says(t, b.getAs("/", own), `href="/settings/password"`)
	says(t, b.getAs("/settings/password", own), "Password of ada", `autocomplete="new-password"`)
	for _, who := range []*http.Cookie{token, {Name: cookieName, Value: "nobody"}} {
		if w := b.post("/settings/password", url.Values{"present": {"correct horse"}}, who); w.Code != http.StatusUnauthorized || !strings.Contains(w.Body.String(), "Log in as the user") {
			t.Errorf("without a user: %d", w.Code)
		}
	}
	change := func(present, password, again string) *httptest.ResponseRecorder {
		return b.post("/settings/password", url.Values{"present": {present}, "password": {password}, "again": {again}}, own)
	}
	for problem, w := range map[string]*httptest.ResponseRecorder{
		"differ": change("correct horse", "battery staple", "battery stable"), "not your present password": change("wrong", "battery staple", "battery staple"),
		"A password has": change("correct horse", "short", "short"), "in a minute": change("again and again", "battery staple", "battery staple"),
	} {
		if w.Code < 400 || w.Code >= 500 || !strings.Contains(w.Body.String(), problem) || b.tokens.changed != "" {
			t.Errorf("want %q: %d, changed to %q", problem, w.Code, b.tokens.changed)
		}
	}
	w := change("correct horse", "battery staple", "battery staple")
	if w.Code != http.StatusSeeOther || b.tokens.changed != "battery staple" {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	says(t, b.getAs(w.Header().Get("Location"), own), "Your password was changed")
	if page := b.getAs("/", other); strings.Contains(page, "Log out") {
		t.Error("a session of the old password goes on elsewhere")
	}
	if page := b.getAs("/", token); !strings.Contains(page, "Log out") {
		t.Error("the session of a token has ended")
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
	for i := range auth.FailuresAllowed {
		if code := try("192.0.2.1:100", "bxk_guess"); code != http.StatusUnauthorized {
			t.Errorf("guess %d: %d", i, code)
		}
	}
	if code := try("192.0.2.1:200", "bxk_write"); code != http.StatusTooManyRequests {
		t.Errorf("after %d guesses: %d", auth.FailuresAllowed, code)
	}
	if code := try("192.0.2.2:100", "bxk_write"); code != http.StatusSeeOther {
		t.Errorf("somebody else: %d", code)
	}
	now = now.Add(auth.FailureWindow)
	if code := try("192.0.2.1:300", "bxk_write"); code != http.StatusSeeOther {
		t.Errorf("a minute later: %d", code)
	}
}

func TestSessionsAreBounded(t *testing.T) {
	t.Parallel()
	var s sessions
	first := s.begin(session{token: "a"}, noon)
	for i := range maxSessions {
		s.begin(session{token: "b"}, noon.Add(time.Duration(i+1)*time.Millisecond))
	}
	if _, ok := s.token(first, noon); ok || len(s.byID) != maxSessions {
		t.Errorf("%d sessions, and the oldest is still there: %v", len(s.byID), ok)
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
