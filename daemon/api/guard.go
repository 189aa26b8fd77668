package api

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"strings"

	"github.com/gin-gonic/gin"
	"golang.org/x/sys/unix"

	"github.com/boxkiln/boxkiln/daemon/wire"
	"github.com/boxkiln/boxkiln/internal/auth"
)

// Checker turns a token into who it belongs to, or auth.ErrRefused.
type Checker interface {
	Check(ctx context.Context, token string) (auth.Principal, error)
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

// Guard finds out who asks and leaves it for the handlers. A wrong token is no error here: public pages are open to
// everybody, whatever token their browser or Vagrant sends along. A token that could not be looked up is one only where a
// token is needed.
func Guard(tokens Checker) gin.HandlerFunc {
	return func(c *gin.Context) {
		ctx := auth.WithAddress(c.Request.Context(), clientAddress(c.Request))
		c.Request = c.Request.WithContext(ctx)
		if auth.PrincipalFrom(ctx).Known() { // by the socket, or by the signature of a URL
			return
		}
		token, ok := strings.CutPrefix(c.GetHeader("Authorization"), "Bearer ")
		if !ok {
			return
		}
		p, err := tokens.Check(ctx, token)
		if err != nil {
			_ = c.Error(err) // only a route that needs a token answers with it
			return
		}
		c.Request = c.Request.WithContext(auth.WithPrincipal(ctx, p))
	}
}

func principal(c *gin.Context) auth.Principal {
	return auth.PrincipalFrom(c.Request.Context())
}

// need refuses requests of anybody whose scope does not permit the given one.
func need(scope auth.Scope) gin.HandlerFunc {
	return func(c *gin.Context) {
		p := principal(c)
		const remedy = "make one on the daemon's host with `boxkiln token create --scope %s NAME` and set BOXKILN_TOKEN or --token-file"
		last := c.Errors.Last()
		switch {
		case p.Scope == "" && last != nil && errors.Is(last.Err, auth.ErrRefused):
			unauthorized(c, wire.Errorf(wire.CodeUnauthorized, "%w: "+remedy, last.Err, scope))
		case p.Scope == "" && last != nil:
			e := coded(last.Err)
			c.AbortWithStatusJSON(wire.Status[e.Code], wire.ErrorReply{Error: e})
		case p.Scope == "":
			unauthorized(c, wire.Errorf(wire.CodeUnauthorized, "this needs a token: "+remedy, scope))
		case !p.Scope.Permits(scope):
			c.AbortWithStatusJSON(http.StatusForbidden, wire.ErrorReply{Error: wire.Errorf(wire.CodeForbidden,
				"the token %q has scope %s, and this needs %s", p.Name, p.Scope, scope)})
		}
	}
}

func unauthorized(c *gin.Context, e *wire.Error) {
	c.Header("WWW-Authenticate", `Bearer realm="boxkiln"`)
	c.AbortWithStatusJSON(http.StatusUnauthorized, wire.ErrorReply{Error: e})
}
