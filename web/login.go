package web

import (
	"errors"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/boxkiln/boxkiln/internal/auth"
)

// maxForm bounds what a form may send, in bytes.
const maxForm = 512 << 10

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
	if wait := s.failures.wait(from, s.now()); wait > 0 {
		c.Header("Retry-After", strconv.Itoa(int(wait.Seconds())+1))
		s.askToken(c, http.StatusTooManyRequests, next, "Too many tokens were refused. Try again in a minute.")
		return
	}
	token := strings.TrimSpace(c.Request.PostForm.Get("token"))
	_, err := s.Tokens.Check(c.Request.Context(), token)
	if errors.Is(err, auth.ErrRefused) {
		s.failures.count(from, s.now())
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
	case who.Scope != "":
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

const (
	// failuresAllowed is how many tokens may be refused to one address in a failureWindow.
	failuresAllowed = 5
	failureWindow   = time.Minute
	// maxAddresses bounds the memory of addresses; when there are more, all share one count.
	maxAddresses = 1000
)

// failures counts refused tokens. A token cannot be guessed; this keeps who tries from costing much. The zero value is
// ready.
type failures struct {
	mu     sync.Mutex
	byAddr map[string]failing
}

type failing struct {
	count int
	until time.Time // when it is forgotten
}

// wait is how long an address must not try again.
func (f *failures) wait(addr string, now time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if known := f.byAddr[f.key(addr)]; known.count >= failuresAllowed {
		return max(0, known.until.Sub(now))
	}
	return 0
}

func (f *failures) count(addr string, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.byAddr == nil {
		f.byAddr = map[string]failing{}
	}
	for a, known := range f.byAddr {
		if !now.Before(known.until) {
			delete(f.byAddr, a)
		}
	}
	key := f.key(addr)
	known := f.byAddr[key]
	if known.count == 0 {
		known.until = now.Add(failureWindow)
	}
	known.count++
	f.byAddr[key] = known
}

// key is where an address is counted.
func (f *failures) key(addr string) string {
	if _, known := f.byAddr[addr]; !known && len(f.byAddr) >= maxAddresses {
		return ""
	}
	return addr
}

func remote(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
