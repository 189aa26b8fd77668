package web

import (
	"errors"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/boxkiln/boxkiln/internal/auth"
)

// maxForm bounds what a form may send, in bytes.
const maxForm = 64 << 10

// loginView is the form that takes a token.
type loginView struct {
	Next    string // the page to go to afterwards
	Problem string // why this form is shown again, or at all
}

func (loginView) isView() {}

func (s *Site) loginForm(c *gin.Context) {
	next := localPath(c.Query("next"))
	if s.visitor(c).In {
		c.Redirect(http.StatusSeeOther, next)
		return
	}
	s.askToken(c, http.StatusOK, next, "")
}

func (s *Site) askToken(c *gin.Context, status int, next, problem string) {
	s.render(c, status, "login.html", page{Title: "Log in", Here: next, Body: loginView{Next: next, Problem: problem}})
}

// login gives a session for a token.
func (s *Site) login(c *gin.Context) {
	if !s.readForm(c) {
		return
	}
	next, from := localPath(c.Request.PostForm.Get("next")), remote(c.Request)
	if wait := s.failures.Wait(from, s.now()); wait > 0 {
		c.Header("Retry-After", strconv.Itoa(int(wait.Seconds())+1))
		s.askToken(c, http.StatusTooManyRequests, next, "Too many tokens were refused. Try again in a minute.")
		return
	}
	token := strings.TrimSpace(c.Request.PostForm.Get("token"))
	_, err := s.Tokens.Check(c.Request.Context(), token)
	if errors.Is(err, auth.ErrRefused) {
		s.failures.Count(from, s.now())
		s.askToken(c, http.StatusUnauthorized, next, "That token is unknown, expired or revoked.")
		return
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	s.setCookie(c, s.sessions.begin(token, s.now()))
	c.Redirect(http.StatusSeeOther, next)
}

// logout ends the session; without one it does nothing.
func (s *Site) logout(c *gin.Context) {
	if !s.readForm(c) {
		return
	}
	if cookie, err := c.Request.Cookie(cookieName); err == nil {
		s.sessions.end(cookie.Value)
	}
	s.setCookie(c, "")
	c.Redirect(http.StatusSeeOther, localPath(c.Request.PostForm.Get("next")))
}

// sameOrigin refuses what a page of another site has a browser send.
func (s *Site) sameOrigin(c *gin.Context) {
	if s.origin.Check(c.Request) == nil {
		return
	}
	s.tell(c, http.StatusForbidden, "This came from another site", "Only pages of this server may ask it to change something.")
	c.Abort()
}

// change lets only those pass who may change something.
func (s *Site) change(c *gin.Context) {
	if s.sameOrigin(c); c.IsAborted() || !s.readForm(c) {
		return
	}
	who := s.who(c)
	switch {
	case who.Scope.Permits(auth.Write):
		return
	case who.Known():
		s.fail(c, &Refusal{http.StatusForbidden, "This needs a token with the scope " + string(auth.Write) + ", and " +
			strconv.Quote(who.Name) + " has " + string(who.Scope) + ". Log out, and in again with another one."})
	case wantsJSON(c):
		s.fail(c, &Refusal{http.StatusUnauthorized, "Your session has ended. Log in again."})
	default:
		s.askToken(c, http.StatusUnauthorized, s.back(c), "Log in to do that, then ask for it once more.")
		c.Abort()
	}
}

// readForm reads the body of a POST, and answers and returns false if it is no form.
func (s *Site) readForm(c *gin.Context) bool {
	c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, maxForm)
	if err := c.Request.ParseForm(); err != nil {
		s.fail(c, &Refusal{http.StatusBadRequest, "What was sent is no form, or too large."})
		return false
	}
	return true
}

// wantsJSON tells modules, which ask for JSON, from people.
func wantsJSON(c *gin.Context) bool {
	return strings.Contains(c.GetHeader("Accept"), "application/json")
}

// localPath is a path on this server to go to, or the start if text would lead elsewhere.
func localPath(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "" || u.Host != "" || !strings.HasPrefix(text, "/") || strings.HasPrefix(text, "//") || strings.ContainsAny(text, "\\\r\n\t") {
		return "/"
	}
	return text
}

func remote(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
