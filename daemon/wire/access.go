package wire

import (
	"github.com/boxkiln/boxkiln/internal/audit"
	"github.com/boxkiln/boxkiln/internal/auth"
)

// TokenRequest asks for a token. One of a user without Scope and Orgs permits all that the user may do.
type TokenRequest struct {
	Name    string                `json:"name"`
	User    string                `json:"user,omitempty"`
	Scope   auth.Scope            `json:"scope,omitempty"`   // everywhere
	Orgs    map[string]auth.Scope `json:"orgs,omitempty"`    // in single organisations
	Seconds int64                 `json:"seconds,omitempty"` // until it expires; 0 for never
}

// TokenList lists tokens without revealing them.
type TokenList struct {
	Tokens []auth.Token `json:"tokens"`
}

// TokenReply carries a new token, the only time that it is shown.
type TokenReply struct {
	Token string `json:"token"`
}

// UserRequest makes a user.
type UserRequest struct {
	Name     string     `json:"name"`
	Password string     `json:"password,omitempty"` // empty for a user who has tokens only
	Scope    auth.Scope `json:"scope,omitempty"`    // everywhere; empty for nothing beyond his organisations
}

// PasswordRequest gives a user another password; an empty one takes it away.
type PasswordRequest struct {
	Password string `json:"password"`
}

// UserList lists users by their names.
type UserList struct {
	Users []auth.User `json:"users"`
}

// OrgRequest makes an organisation.
type OrgRequest struct {
	Name string `json:"name"`
}

// OrgList lists organisations by their names.
type OrgList struct {
	Orgs []auth.Org `json:"orgs"`
}

// MemberRequest says what a user may do in an organisation.
type MemberRequest struct {
	Scope auth.Scope `json:"scope"`
}

// AuditList is a page of the record of changes, newest first.
type AuditList struct {
	Entries []audit.Entry `json:"entries"`
}

// AuditReply tells whether the record is as it was written.
type AuditReply struct {
	Entries int64  `json:"entries"`          // how many hold, from the first on
	Head    string `json:"head"`             // the hash of the last of them
	Broken  int64  `json:"broken,omitempty"` // the first that does not hold; 0 for none
}
