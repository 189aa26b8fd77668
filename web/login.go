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
const maxForm = 512 << 10

// loginView is the form that takes a token, or the name and password of a user.
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
	opened, err := s.open(c.Request)
	if errors.Is(err, auth.ErrRefused) {
		s.failures.Count(from, s.now())
		s.askToken(c, http.StatusUnauthorized, next, "That token is unknown, expired or revoked, or the name or the password is wrong.")
		return
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	s.setCookie(c, s.sessions.begin(opened, s.now()))
	c.Redirect(http.StatusSeeOther, next)
}

// open makes of a login form the session that it opens, or returns auth.ErrRefused. For a password a token is made, which ends
// with the session; what begins like a token is one, whatever the name beside it.
func (s *Site) open(r *http.Request) (session, error) {
	user, secret := r.PostForm.Get("username"), r.PostForm.Get("token")
	if token := strings.TrimSpace(secret); user == "" || strings.HasPrefix(token, auth.Prefix) {
		_, err := s.Tokens.Check(r.Context(), token)
		return session{token: token}, err
	}
	// Nobody but the session has the token. One that outlived it, because the daemon restarted or the browser was closed and
	// nobody logged out, would be of use only to a thief.
	token, err := s.Tokens.Login(r.Context(), user, secret, "web", sessionLife)
	if err != nil {
		return session{}, err
	}
	who, err := s.Tokens.Check(r.Context(), token)
	return session{token: token, login: who.Token, user: who.User}, err
}

// logout ends the session, and the token that was made for it; without one it does nothing.
func (s *Site) logout(c *gin.Context) {
	if !s.readForm(c) {
		return
	}
	if cookie, err := c.Request.Cookie(cookieName); err == nil {
		if ended := s.sessions.end(cookie.Value); ended.login != 0 {
			if err := s.Tokens.Logout(c.Request.Context(), ended.login); err != nil {
				s.fail(c, err)
				return
			}
		}
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

// remote is from where a request comes: as far as the guard found out, else its connection's other end.
func remote(r *http.Request) string {
	if addr := auth.AddressFrom(r.Context()); addr != "" {
		return addr
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
