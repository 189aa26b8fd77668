package auth

import (
	"context"
	"strings"
)

// Principal is who made a request. The zero value is anybody.
type Principal struct {
	Name string // of the token, for logs and pages
	User string // whose token it is; empty for a token of nobody in particular
	// Token is the number of the token; 0 for requests that came without one.
	Token int64
	// Scope is what is permitted everywhere; empty when only Orgs permit something.
	Scope Scope
	// Orgs are the scopes in single organisations, by their names in lower case.
	Orgs map[string]Scope
	// Local is set for requests through the daemon's socket: file permission is their authority.
	Local bool
	// SameUser is set for local requests of the user that the daemon runs as.
	SameUser bool
}

// Known tells whether anybody in particular asks.
func (p Principal) Known() bool { return p.Scope != "" || len(p.Orgs) > 0 }

// PermitsIn tells whether p may do in an organisation what need asks for.
func (p Principal) PermitsIn(org string, need Scope) bool {
	return p.Scope.Permits(need) || p.Orgs[strings.ToLower(org)].Permits(need)
}

type principalKey struct{}

// WithPrincipal returns a context that says who asks.
func WithPrincipal(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// PrincipalFrom is who asks, as far as WithPrincipal said; otherwise the zero value, anybody.
func PrincipalFrom(ctx context.Context) Principal {
	p, _ := ctx.Value(principalKey{}).(Principal)
	return p
}
