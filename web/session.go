package web

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/boxkiln/boxkiln/internal/auth"
)

// sessionLife is how long a session lasts, however much it is used.
const sessionLife = 12 * time.Hour

// maxSessions bounds the memory of sessions; the oldest goes for a new one.
const maxSessions = 1000

// cookieName names the cookie that holds the id of a session.
const cookieName = "boxkiln_session"

// sessions are those who have logged in. They are kept in memory only: who was logged in when the daemon restarts logs
// in again. The zero value is ready.
type sessions struct {
	mu   sync.Mutex
	byID map[[sha256.Size]byte]session // by the hash of the id, so that looking one up takes no time that tells of it
}

// session is one browser that showed a token or a password. The token is checked again with every request, so that one that is revoked
// or expires ends its sessions at once.
type session struct {
	token   string
	login   int64  // the number of the token, if it was made for this session; 0 if it is somebody's
	user    string // whose password opened it; empty without one
	expires time.Time
}

// begin keeps a session and returns its id, 130 random bits or more.
func (s *sessions) begin(opened session, now time.Time) string {
	id := rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byID == nil {
		s.byID = map[[sha256.Size]byte]session{}
	}
	s.makeRoom(now)
	opened.expires = now.Add(sessionLife)
	s.byID[sha256.Sum256([]byte(id))] = opened
	return id
}

func (s *sessions) makeRoom(now time.Time) {
	var oldest [sha256.Size]byte
	var first time.Time
	for id, session := range s.byID {
		if !now.Before(session.expires) {
			delete(s.byID, id)
		} else if first.IsZero() || session.expires.Before(first) {
			oldest, first = id, session.expires
		}
	}
	if len(s.byID) >= maxSessions {
		delete(s.byID, oldest)
	}
}

// token is that of a session which has not expired.
func (s *sessions) token(id string, now time.Time) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, ok := s.byID[sha256.Sum256([]byte(id))]
	return found.token, ok && now.Before(found.expires)
}

// end ends a session and returns what it was.
func (s *sessions) end(id string) session {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := sha256.Sum256([]byte(id))
	ended := s.byID[key]
	delete(s.byID, key)
	return ended
}

// endOthers ends the sessions that the password of a user opened, but for the one of an id, and returns them.
func (s *sessions) endOthers(user, id string) (ended []session) {
	own := sha256.Sum256([]byte(id))
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, other := range s.byID {
		if key != own && other.user == user && other.login != 0 {
			ended = append(ended, other)
			delete(s.byID, key)
		}
	}
	return ended
}

// visitor is who looks at a page, as the pages show it.
type visitor struct {
	Name  string
	User  string // who has a password that he can change; empty for others
	In    bool   // there is a session, or the daemon's own socket
	Local bool   // it is the socket, which cannot be logged out of
	May   bool   // may change something
}

func (s *Site) visitor(c *gin.Context) visitor {
	who := s.who(c)
	return visitor{Name: cmp.Or(who.User, who.Name), User: who.User, In: who.Known(), Local: who.Local, May: who.Scope.Permits(auth.Write)}
}

// principalKey is where who stores what it found, for the rest of the request.
const principalKey = "boxkiln.principal"

// who finds out who asks; the zero value is anybody. Requests through the daemon's socket have its file permission for
// authority, as everywhere.
func (s *Site) who(c *gin.Context) auth.Principal {
	if known, ok := c.Get(principalKey); ok {
		return known.(auth.Principal)
	}
	who := auth.PrincipalFrom(c.Request.Context())
	if !who.Known() {
		who = s.Principal(c.Request)
	}
	c.Set(principalKey, who)
	return who
}

// Principal is who asks by a session or through the socket, for the guard before all handlers.
func (s *Site) Principal(r *http.Request) auth.Principal {
	if fromSocket(r) {
		return auth.Principal{Name: "socket", Scope: auth.Admin, Local: true}
	}
	cookie, err := r.Cookie(cookieName)
	if err != nil {
		return auth.Principal{}
	}
	token, ok := s.sessions.token(cookie.Value, s.now())
	if !ok {
		return auth.Principal{}
	}
	who, err := s.Tokens.Check(r.Context(), token)
	switch {
	case errors.Is(err, auth.ErrRefused):
		s.sessions.end(cookie.Value)
		return auth.Principal{}
	case err != nil: // pages stay readable; what needs a session is refused
		s.log.ErrorContext(r.Context(), "check the token of a session", "error", err)
		return auth.Principal{}
	}
	return who
}

// fromSocket tells whether a request came through a unix socket, which net/http says of the connection it came by.
func fromSocket(r *http.Request) bool {
	addr, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	return ok && addr.Network() == "unix"
}

// setCookie hands the browser the id of its session, or with an empty one takes it away.
func (s *Site) setCookie(c *gin.Context, id string) {
	cookie := http.Cookie{Name: cookieName, Value: id, Path: "/", MaxAge: int(sessionLife.Seconds()), HttpOnly: true,
		SameSite: http.SameSiteStrictMode, Secure: s.encrypted(c.Request)}
	if id == "" {
		cookie.MaxAge = -1
	}
	http.SetCookie(c.Writer, &cookie)
}

// encrypted tells whether the browser speaks TLS, if only to a proxy before us. Who lies about it in a header only makes
// their own browser forget the cookie.
func (s *Site) encrypted(r *http.Request) bool {
	return strings.HasPrefix(s.base.For(r), "https://") || r.Header.Get("X-Forwarded-Proto") == "https"
}
