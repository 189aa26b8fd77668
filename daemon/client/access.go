package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/boxkiln/boxkiln/daemon/wire"
	"github.com/boxkiln/boxkiln/internal/audit"
	"github.com/boxkiln/boxkiln/internal/auth"
)

// Access manages the tokens, users and organisations of a daemon, with the methods of auth.Tokens.
type Access struct{ c *Client }

// Access is who may do what at the daemon.
func (c *Client) Access() Access { return Access{c} }

// Issue makes a token.
func (a Access) Issue(ctx context.Context, s auth.TokenSpec) (string, error) {
	req := wire.TokenRequest{Name: s.Name, User: s.User, Scope: s.Scope, Orgs: s.Orgs}
	if !s.Expires.IsZero() {
		req.Seconds = max(1, int64(time.Until(s.Expires).Round(time.Second)/time.Second)) // 0 would be for ever
	}
	var reply wire.TokenReply
	err := a.c.call(ctx, http.MethodPost, "/v1/tokens", req, &reply)
	return reply.Token, err
}

// List lists tokens, newest first.
func (a Access) List(ctx context.Context) ([]auth.Token, error) {
	var reply wire.TokenList
	err := a.c.call(ctx, http.MethodGet, "/v1/tokens", nil, &reply)
	return reply.Tokens, err
}

// Revoke ends the tokens of a name, or the one with an id.
func (a Access) Revoke(ctx context.Context, nameOrID string) error {
	return a.c.call(ctx, http.MethodDelete, "/v1/tokens/"+url.PathEscape(nameOrID), nil, nil)
}

// Users lists users by their names.
func (a Access) Users(ctx context.Context) ([]auth.User, error) {
	var reply wire.UserList
	err := a.c.call(ctx, http.MethodGet, "/v1/users", nil, &reply)
	return reply.Users, err
}

// CreateUser makes a user.
func (a Access) CreateUser(ctx context.Context, name, password string, scope auth.Scope) error {
	return a.c.call(ctx, http.MethodPost, "/v1/users", wire.UserRequest{Name: name, Password: password, Scope: scope}, nil)
}

// SetPassword gives a user another password.
func (a Access) SetPassword(ctx context.Context, name, password string) error {
	return a.c.call(ctx, http.MethodPut, "/v1/users/"+url.PathEscape(name)+"/password", wire.PasswordRequest{Password: password}, nil)
}

// RemoveUser removes a user and revokes his tokens.
func (a Access) RemoveUser(ctx context.Context, name string) error {
	return a.c.call(ctx, http.MethodDelete, "/v1/users/"+url.PathEscape(name), nil, nil)
}

// Orgs lists organisations by their names, with their members.
func (a Access) Orgs(ctx context.Context) ([]auth.Org, error) {
	var reply wire.OrgList
	err := a.c.call(ctx, http.MethodGet, "/v1/orgs", nil, &reply)
	return reply.Orgs, err
}

// CreateOrg makes an organisation.
func (a Access) CreateOrg(ctx context.Context, name string) error {
	return a.c.call(ctx, http.MethodPost, "/v1/orgs", wire.OrgRequest{Name: name}, nil)
}

// RemoveOrg removes an organisation; its boxes stay.
func (a Access) RemoveOrg(ctx context.Context, name string) error {
	return a.c.call(ctx, http.MethodDelete, "/v1/orgs/"+url.PathEscape(name), nil, nil)
}

// SetMember says what a user may do in an organisation.
func (a Access) SetMember(ctx context.Context, org, user string, scope auth.Scope) error {
	return a.c.call(ctx, http.MethodPut, member(org, user), wire.MemberRequest{Scope: scope}, nil)
}

// RemoveMember ends a membership.
func (a Access) RemoveMember(ctx context.Context, org, user string) error {
	return a.c.call(ctx, http.MethodDelete, member(org, user), nil, nil)
}

func member(org, user string) string {
	return "/v1/orgs/" + url.PathEscape(org) + "/members/" + url.PathEscape(user)
}

// Audit is the record of changes of a daemon, with the methods of audit.Log.
type Audit struct{ c *Client }

// Audit is who changed what at the daemon.
func (c *Client) Audit() Audit { return Audit{c} }

// List returns entries, newest first.
func (a Audit) List(ctx context.Context, q audit.Query) ([]audit.Entry, error) {
	values := url.Values{"subject": {q.Subject}}
	if q.Before > 0 {
		values.Set("before", strconv.FormatInt(q.Before, 10))
	}
	if q.Limit > 0 {
		values.Set("limit", strconv.Itoa(q.Limit))
	}
	var reply wire.AuditList
	err := a.c.call(ctx, http.MethodGet, "/v1/audit?"+values.Encode(), nil, &reply)
	return reply.Entries, err
}

// Verify tells how many entries hold and the hash of the last one. It returns an *audit.BrokenError.
func (a Audit) Verify(ctx context.Context) (n int64, head string, err error) {
	var reply wire.AuditReply
	err = a.c.call(ctx, http.MethodGet, "/v1/audit/verify", nil, &reply)
	if err == nil && reply.Broken > 0 {
		err = &audit.BrokenError{ID: reply.Broken}
	}
	return reply.Entries, reply.Head, err
}
