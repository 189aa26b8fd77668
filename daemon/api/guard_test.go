package api_test

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/gin-gonic/gin"

	"github.com/boxkiln/boxkiln/daemon/api"
	"github.com/boxkiln/boxkiln/internal/auth"
)

func basic(user, password string) http.Header {
	return http.Header{"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))}}
}

// cookieSessions knows one session.
type cookieSessions struct{}

func (cookieSessions) Principal(r *http.Request) auth.Principal {
	if c, err := r.Cookie("session"); err == nil && c.Value == "good" {
		return auth.Principal{Name: "browser", Scope: auth.Read}
	}
	return auth.Principal{}
}

// echo answers with who asks and with the address as handlers see it.
type echo struct{}

func (echo) Register(r gin.IRoutes) {
	answer := func(c *gin.Context) {
		c.String(http.StatusOK, auth.PrincipalFrom(c.Request.Context()).Name+" "+c.Request.URL.RequestURI()+" "+c.Request.RequestURI)
	}
	r.Any("/:org/:box", answer)
	r.GET("/login", answer)
	r.GET("/assets/:digest/:name", answer)
}

// door is all of a listener, over the tokens of a kiln.
func door(k *kiln, private bool) http.Handler {
	return api.Door{Tokens: k.tokens, Sessions: cookieSessions{}, Private: private, API: k.server, Others: []api.Routes{echo{}},
		NotFound: func(c *gin.Context) { c.String(http.StatusNotFound, "no page") }}.Handler()
}

func ask(t *testing.T, h http.Handler, method, path string, header http.Header) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, nil)
	for name, values := range header {
		r.Header[name] = values
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestGuardTakesEveryCredential(t *testing.T) {
	t.Parallel()
	k := newKiln(t)
	if err := k.tokens.CreateUser(t.Context(), "ada", "correct horse", auth.Read); err != nil {
		t.Fatal(err)
	}
	token, h := k.token(t, auth.Read), door(k, false)
	for name, c := range map[string]struct {
		query, want string
		header      http.Header
	}{
		"nothing":           {"", "", nil},
		"bearer":            {"", "of-read", http.Header{"Authorization": {"Bearer " + token}}},
		"token by Basic":    {"", "of-read", basic("anybody", token)},
		"password by Basic": {"", "password", basic("ada", "correct horse")},
		"wrong password":    {"", "", basic("ada", "battery staple")},
		"no such user":      {"", "", basic("eve", "correct horse")},
		"atlas":             {"", "of-read", http.Header{"X-Atlas-Token": {token}}},
		"address":           {"?access_token=" + token, "of-read", nil},
		"unknown":           {"?access_token=bxk_wrong", "", nil},
		"garbage":           {"?access_token=%00%ff", "", http.Header{"Authorization": {"Basic !!"}}},
		"session":           {"", "browser", http.Header{"Cookie": {"session=good"}}},
		"session, bad token": {"?access_token=bxk_wrong", "browser",
			http.Header{"Cookie": {"session=good"}}},
	} {
		w := ask(t, h, http.MethodGet, "/acme/box"+c.query, c.header)
		if want := c.want + " /acme/box /acme/box"; w.Code != http.StatusOK || w.Body.String() != want {
			t.Errorf("%s: %d %q, want %q", name, w.Code, w.Body, want)
		}
	}
	if w := ask(t, h, http.MethodGet, "/acme/box?q=1&access_token=bxk_x", nil); w.Body.String() != " /acme/box?q=1 /acme/box?q=1" {
		t.Errorf("the rest of the address: %q", w.Body)
	}
}

func TestPrivate(t *testing.T) {
	t.Parallel()
	k := newKiln(t)
	h, page := door(k, true), http.Header{"Accept": {"text/html,*/*"}}
	for path, want := range map[string]int{
		"/acme/box": http.StatusNotFound, "/": http.StatusNotFound, "/nothing": http.StatusNotFound, "/loginx": http.StatusNotFound,
		"/acme/box?access_token=bxk_wrong": http.StatusNotFound, "/v1/builds": http.StatusUnauthorized, "//dl/x": http.StatusNotFound,
		"/livez": http.StatusOK, "/login": http.StatusOK, "/assets/1/style.css": http.StatusOK, "/dl": http.StatusNotFound,
	} {
		if w := ask(t, h, http.MethodGet, path, nil); w.Code != want {
			t.Errorf("%s: %d, want %d", path, w.Code, want)
		}
	}
	w := ask(t, h, http.MethodGet, "/acme/box?version=1&access_token=bxk_wrong", page)
	if got, want := w.Header().Get("Location"), "/login?next="+url.QueryEscape("/acme/box?version=1"); w.Code != http.StatusSeeOther || got != want {
		t.Errorf("a browser: %d to %q, want %q", w.Code, got, want)
	}
	if w := ask(t, h, http.MethodPost, "/acme/box", page); w.Code != http.StatusNotFound {
		t.Errorf("a form: %d", w.Code)
	}
	for name, header := range map[string]http.Header{
		"token": {"Authorization": {"Bearer " + k.token(t, auth.Read)}}, "session": {"Cookie": {"session=good"}},
	} {
		if w := ask(t, h, http.MethodGet, "/acme/box", header); w.Code != http.StatusOK {
			t.Errorf("with a %s: %d", name, w.Code)
		}
	}
}

// Vagrant must not learn from a database that does not answer that a box is gone.
func TestPrivateWithoutDatabase(t *testing.T) {
	t.Parallel()
	k := newKiln(t)
	header := http.Header{"Authorization": {"Bearer " + k.token(t, auth.Read)}}
	if err := k.db.R.Close(); err != nil {
		t.Fatal(err)
	}
	if w := ask(t, door(k, true), http.MethodGet, "/acme/box", header); w.Code != http.StatusInternalServerError {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
