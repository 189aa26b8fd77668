package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/boxkiln/boxkiln/daemon/wire"
	"github.com/boxkiln/boxkiln/internal/audit"
	"github.com/boxkiln/boxkiln/internal/auth"
)

// Tokens manages tokens.
type Tokens interface {
	Issue(ctx context.Context, s auth.TokenSpec) (string, error)
	List(ctx context.Context) ([]auth.Token, error)
	// Revoke ends, for the principal in ctx, those that he may manage.
	Revoke(ctx context.Context, nameOrID string) error
}

// Users manages users.
type Users interface {
	Users(ctx context.Context) ([]auth.User, error)
	CreateUser(ctx context.Context, name, password string, scope auth.Scope) error
	SetPassword(ctx context.Context, name, password string) error
	RemoveUser(ctx context.Context, name string) error
}

// Orgs manages organisations and who may do what in them.
type Orgs interface {
	Orgs(ctx context.Context) ([]auth.Org, error)
	CreateOrg(ctx context.Context, name string) error
	RemoveOrg(ctx context.Context, name string) error
	Members(ctx context.Context, org string) ([]auth.Member, error)
	SetMember(ctx context.Context, org, user string, scope auth.Scope) error
	RemoveMember(ctx context.Context, org, user string) error
}

// Access manages who may do what; *auth.Tokens does.
type Access interface {
	Tokens
	Users
	Orgs
}

// Audit is the record of who changed what.
type Audit interface {
	List(ctx context.Context, q audit.Query) ([]audit.Entry, error)
	Verify(ctx context.Context) (n int64, head string, err error)
}

func (s *Server) mountAccess(v1 *gin.RouterGroup) {
	some := v1.Group("", needSomewhere(auth.Admin)) // the handlers look at where
	some.POST("/tokens", s.createToken)
	some.GET("/tokens", s.listTokens)
	some.DELETE("/tokens/:name", s.change(func(c *gin.Context) error { return s.Tokens.Revoke(c.Request.Context(), c.Param("name")) }))
	some.GET("/orgs", s.listOrgs)

	in := v1.Group("/orgs/:org/members", needIn(auth.Admin))
	in.GET("", s.listMembers)
	in.PUT("/:user", s.setMember)
	in.DELETE("/:user", s.change(func(c *gin.Context) error {
		return s.Tokens.RemoveMember(c.Request.Context(), c.Param("org"), c.Param("user"))
	}))

	admin := v1.Group("", need(auth.Admin))
	admin.POST("/users", s.createUser)
	admin.GET("/users", s.listUsers)
	admin.PUT("/users/:name/password", s.setPassword)
	admin.DELETE("/users/:name", s.change(func(c *gin.Context) error { return s.Tokens.RemoveUser(c.Request.Context(), c.Param("name")) }))
	admin.POST("/orgs", s.createOrg)
	admin.DELETE("/orgs/:org", s.change(func(c *gin.Context) error { return s.Tokens.RemoveOrg(c.Request.Context(), c.Param("org")) }))
	admin.GET("/audit", s.listAudit)
	admin.GET("/audit/verify", s.verifyAudit)
}

// change is a handler of what has no answer but that it is done.
func (s *Server) change(do func(c *gin.Context) error) gin.HandlerFunc {
	return func(c *gin.Context) {
		if err := do(c); err != nil {
			s.fail(c, err)
			return
		}
		c.Status(http.StatusNoContent)
	}
}

func (s *Server) createToken(c *gin.Context) {
	var req wire.TokenRequest
	if !s.body(c, &req) {
		return
	}
	spec := auth.TokenSpec{Name: req.Name, User: req.User, Scope: req.Scope, Orgs: req.Orgs}
	if req.Seconds > 0 {
		spec.Expires = s.Now().Add(time.Duration(req.Seconds) * time.Second)
	}
	if who := principal(c); !who.MayIssue(spec) {
		s.fail(c, wire.Errorf(wire.CodeForbidden, "the token %q may make tokens for the organisations alone that it administers: name them, and no scope beyond them and no other user", who.Name))
		return
	}
	token, err := s.Tokens.Issue(c.Request.Context(), spec)
	if err != nil {
		s.fail(c, err)
		return
	}
	c.JSON(http.StatusCreated, wire.TokenReply{Token: token})
}

func (s *Server) listTokens(c *gin.Context) {
	tokens, err := s.Tokens.List(c.Request.Context())
	if err != nil {
		s.fail(c, err)
		return
	}
	tokens = slices.DeleteFunc(tokens, func(k auth.Token) bool { return !principal(c).MayManage(k) })
	c.JSON(http.StatusOK, wire.TokenList{Tokens: tokens})
}

func (s *Server) createUser(c *gin.Context) {
	var req wire.UserRequest
	if !s.body(c, &req) {
		return
	}
	if err := s.Tokens.CreateUser(c.Request.Context(), req.Name, req.Password, req.Scope); err != nil {
		s.fail(c, err)
		return
	}
	c.Status(http.StatusCreated)
}

func (s *Server) listUsers(c *gin.Context) {
	users, err := s.Tokens.Users(c.Request.Context())
	if err != nil {
		s.fail(c, err)
		return
	}
	c.JSON(http.StatusOK, wire.UserList{Users: users})
}

func (s *Server) setPassword(c *gin.Context) {
	var req wire.PasswordRequest
	if !s.body(c, &req) {
		return
	}
	s.change(func(c *gin.Context) error {
		return s.Tokens.SetPassword(c.Request.Context(), c.Param("name"), req.Password)
	})(c)
}

func (s *Server) createOrg(c *gin.Context) {
	var req wire.OrgRequest
	if !s.body(c, &req) {
		return
	}
	if err := s.Tokens.CreateOrg(c.Request.Context(), req.Name); err != nil {
		s.fail(c, err)
		return
	}
	c.Status(http.StatusCreated)
}

func (s *Server) listOrgs(c *gin.Context) {
	orgs, err := s.Tokens.Orgs(c.Request.Context())
	if err != nil {
		s.fail(c, err)
		return
	}
	orgs = slices.DeleteFunc(orgs, func(o auth.Org) bool { return !principal(c).PermitsIn(o.Name, auth.Admin) })
	c.JSON(http.StatusOK, wire.OrgList{Orgs: orgs})
}

func (s *Server) listMembers(c *gin.Context) {
	members, err := s.Tokens.Members(c.Request.Context(), c.Param("org"))
	if err != nil {
		s.fail(c, err)
		return
	}
	c.JSON(http.StatusOK, wire.MemberList{Members: members})
}

func (s *Server) setMember(c *gin.Context) {
	var req wire.MemberRequest
	if !s.body(c, &req) {
		return
	}
	s.change(func(c *gin.Context) error {
		return s.Tokens.SetMember(c.Request.Context(), c.Param("org"), c.Param("user"), req.Scope)
	})(c)
}

func (s *Server) listAudit(c *gin.Context) {
	q, err := auditQuery(c)
	if err != nil {
		s.fail(c, err)
		return
	}
	entries, err := s.Audit.List(c.Request.Context(), q)
	if err != nil {
		s.fail(c, err)
		return
	}
	c.JSON(http.StatusOK, wire.AuditList{Entries: entries})
}

func auditQuery(c *gin.Context) (audit.Query, error) {
	q := audit.Query{Subject: c.Query("subject")}
	text := c.DefaultQuery("before", "0")
	before, err := strconv.ParseInt(text, 10, 64)
	if err != nil || before < 0 {
		return q, wire.Errorf(wire.CodeBadRequest, "before %q is not the number of an entry", text)
	}
	q.Before = before
	q.Limit, err = limit(c)
	return q, err
}

func (s *Server) verifyAudit(c *gin.Context) {
	n, head, err := s.Audit.Verify(c.Request.Context())
	reply := wire.AuditReply{Entries: n, Head: head}
	var broken *audit.BrokenError
	if errors.As(err, &broken) {
		reply.Broken = broken.ID
	} else if err != nil {
		s.fail(c, err)
		return
	}
	c.JSON(http.StatusOK, reply)
}
