package api

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"
	"golang.org/x/sys/unix"

	"github.com/boxkiln/boxkiln/daemon/wire"
	"github.com/boxkiln/boxkiln/internal/auth"
)

// Checker turns what a request shows into who asks, or auth.ErrRefused.
type Checker interface {
	Check(ctx context.Context, token string) (auth.Principal, error)
	CheckPassword(ctx context.Context, user, password string) (auth.Principal, error)
}

// Sessions finds the principal of a browser's session; the zero value is nobody.
type Sessions interface {
	Principal(r *http.Request) auth.Principal
}

// ConnContext marks connections of a unix socket as local: set it as ConnContext of the server that listens there.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return ctx
	}
	return auth.WithPrincipal(ctx, auth.Principal{
		Name: "socket", Scope: auth.Admin, Local: true, SameUser: peerIsUs(u)})
}

// peerIsUs tells whether the other end of a socket is a process of our own user.
func peerIsUs(c *net.UnixConn) bool {
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	same := false
	err = raw.Control(func(fd uintptr) {
		cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
		same = err == nil && int(cred.Uid) == os.Getuid()
	})
	return err == nil && same
}

// Guard finds out who asks and leaves it for the handlers: by what the request shows, or else by its session, if sessions is
// not nil. A wrong token is no error here: public pages are open to everybody, whatever token their browser or Vagrant sends
// along. A token that could not be looked up is one only where a token is needed.
func Guard(tokens Checker, sessions Sessions) gin.HandlerFunc {
	return func(c *gin.Context) {
		shown := takeCredentials(c)
		c.Request = c.Request.WithContext(auth.WithAddress(c.Request.Context(), clientAddress(c.Request)))
		if principal(c).Known() { // by the socket, or by the signature of a URL
			return
		}
		p, err := shown.check(c.Request.Context(), tokens)
		if err != nil {
			_ = c.Error(err) // only a route that needs a token answers with it
		}
		if !p.Known() && sessions != nil {
			p = sessions.Principal(c.Request)
		}
		c.Request = c.Request.WithContext(auth.WithPrincipal(c.Request.Context(), p))
	}
}

// credentials are what a request shows: a token, or the name and password of a user.
type credentials struct{ token, user, password string }

func (s credentials) check(ctx context.Context, tokens Checker) (auth.Principal, error) {
	switch {
	case s.token != "":
		return tokens.Check(ctx, s.token)
	case s.user != "":
		return tokens.CheckPassword(ctx, s.user, s.password)
	}
	return auth.Principal{}, nil
}

const (
	// headerAtlas is where Vagrant's older clients put their token.
	headerAtlas = "X-Atlas-Token"
	// queryToken is where Vagrant puts it when it downloads a box.
	queryToken = "access_token"
)

// takeCredentials reads them from where clients put them; headers count before the address. A token in the address is taken
// out of it, so that it comes into no log, page or link.
func takeCredentials(c *gin.Context) credentials {
	inAddress := takeQueryToken(c)
	scheme, token, _ := strings.Cut(c.GetHeader("Authorization"), " ")
	if strings.EqualFold(scheme, "Bearer") { // RFC 9110: a scheme has no case
		return credentials{token: strings.TrimSpace(token)}
	}
	if user, password, ok := c.Request.BasicAuth(); ok {
		if strings.HasPrefix(password, auth.Prefix) {
			return credentials{token: password}
		}
		return credentials{user: user, password: password}
	}
	return credentials{token: cmp.Or(c.GetHeader(headerAtlas), inAddress)}
}

func takeQueryToken(c *gin.Context) string {
	if !strings.Contains(c.Request.URL.RawQuery, queryToken) {
		return ""
	}
	r := c.Request.Clone(c.Request.Context())
	query := r.URL.Query()
	token := query.Get(queryToken)
	query.Del(queryToken)
	r.URL.RawQuery = query.Encode()
	r.RequestURI = r.URL.RequestURI()
	c.Request = r
	return token
}

func principal(c *gin.Context) auth.Principal {
	return auth.PrincipalFrom(c.Request.Context())
}

// need refuses requests of anybody whose scope does not permit the given one everywhere.
func need(scope auth.Scope) gin.HandlerFunc {
	return func(c *gin.Context) {
		if !principal(c).Scope.Permits(scope) {
			deny(c, scope)
		}
	}
}

// needIn refuses whoever has not that scope in the organisation of the path.
func needIn(scope auth.Scope) gin.HandlerFunc {
	return func(c *gin.Context) {
		if p := principal(c); !p.PermitsIn(c.Param("org"), scope) {
			refuse(c, p, scope, "in the organisation "+strconv.Quote(c.Param("org")))
		}
	}
}

// needSomewhere refuses whoever has that scope in no organisation; what it covers is for the handler to look at.
func needSomewhere(scope auth.Scope) gin.HandlerFunc {
	return func(c *gin.Context) {
		p := principal(c)
		permitted := p.Scope.Permits(scope)
		for _, have := range p.Orgs {
			permitted = permitted || have.Permits(scope)
		}
		if !permitted {
			refuse(c, p, scope, "in some organisation")
		}
	}
}

func refuse(c *gin.Context, p auth.Principal, scope auth.Scope, where string) {
	if p.Known() {
		c.AbortWithStatusJSON(http.StatusForbidden, wire.ErrorReply{Error: wire.Errorf(wire.CodeForbidden,
			"the token %q does not have the scope %s %s", p.Name, scope, where)})
		return
	}
	need(scope)(c) // says why there is nobody
}

// deny tells why who asks may not do what needs a scope.
func deny(c *gin.Context, scope auth.Scope) {
	const remedy = "make one on the daemon's host with `boxkiln token create --scope %s NAME` and set BOXKILN_TOKEN or --token-file"
	p, last := principal(c), c.Errors.Last()
	var e *wire.Error
	switch {
	case p.Scope != "":
		e = wire.Errorf(wire.CodeForbidden, "the token %q has scope %s, and this needs %s", p.Name, p.Scope, scope)
	case p.Known():
		e = wire.Errorf(wire.CodeForbidden, "the token %q is for single organisations, and this needs the scope %s beyond them", p.Name, scope)
	case last == nil:
		e = wire.Errorf(wire.CodeUnauthorized, "this needs a token: "+remedy, scope)
	case errors.Is(last.Err, auth.ErrRefused):
		e = wire.Errorf(wire.CodeUnauthorized, "%w: "+remedy, last.Err, scope)
	default:
		e = coded(last.Err)
	}
	if e.Code == wire.CodeUnauthorized {
		c.Writer.Header()["Www-Authenticate"] = []string{`Bearer realm="boxkiln"`, `Basic realm="boxkiln", charset="UTF-8"`}
	}
	c.AbortWithStatusJSON(wire.Status[e.Code], wire.ErrorReply{Error: e})
}
