package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/boxkiln/boxkiln/daemon/wire"
	"github.com/boxkiln/boxkiln/internal/audit"
	"github.com/boxkiln/boxkiln/internal/auth"
)

// Access manages tokens, users and organisations.
type Access interface {
	Issue(ctx context.Context, s auth.TokenSpec) (string, error)
	List(ctx context.Context) ([]auth.Token, error)
	Revoke(ctx context.Context, nameOrID string) error
	Users(ctx context.Context) ([]auth.User, error)
	CreateUser(ctx context.Context, name, password string, scope auth.Scope) error
	SetPassword(ctx context.Context, name, password string) error
	RemoveUser(ctx context.Context, name string) error
	Orgs(ctx context.Context) ([]auth.Org, error)
	CreateOrg(ctx context.Context, name string) error
	RemoveOrg(ctx context.Context, name string) error
	SetMember(ctx context.Context, org, user string, scope auth.Scope) error
	RemoveMember(ctx context.Context, org, user string) error
}

// Audit is the record of who changed what.
type Audit interface {
	List(ctx context.Context, q audit.Query) ([]audit.Entry, error)
	Verify(ctx context.Context) (n int64, head string, err error)
}

func (s *Server) mountAccess(v1 *gin.RouterGroup) {
	admin := v1.Group("", need(auth.Admin))
	admin.POST("/tokens", s.createToken)
	admin.GET("/tokens", s.listTokens)
	admin.DELETE("/tokens/:name", s.change(func(c *gin.Context) error { return s.Tokens.Revoke(c.Request.Context(), c.Param("name")) }))
	admin.POST("/users", s.createUser)
	admin.GET("/users", s.listUsers)
	admin.PUT("/users/:name/password", s.setPassword)
	admin.DELETE("/users/:name", s.change(func(c *gin.Context) error { return s.Tokens.RemoveUser(c.Request.Context(), c.Param("name")) }))
	admin.POST("/orgs", s.createOrg)
	admin.GET("/orgs", s.listOrgs)
	admin.DELETE("/orgs/:org", s.change(func(c *gin.Context) error { return s.Tokens.RemoveOrg(c.Request.Context(), c.Param("org")) }))
	admin.GET("/audit", s.listAudit)
	admin.GET("/audit/verify", s.verifyAudit)
	v1.PUT("/orgs/:org/members/:user", needIn(auth.Admin), s.setMember)
	v1.DELETE("/orgs/:org/members/:user", needIn(auth.Admin), s.change(func(c *gin.Context) error {
		return s.Tokens.RemoveMember(c.Request.Context(), c.Param("org"), c.Param("user"))
	}))
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
	c.JSON(http.StatusOK, wire.OrgList{Orgs: orgs})
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
