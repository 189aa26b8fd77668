package auth

import (
	"context"
	"database/sql"
	"errors"
	"strings"
)

// Check returns whose token it is, or ErrRefused.
func (t *Tokens) Check(ctx context.Context, token string) (Principal, error) {
	return t.find(ctx, `t.hash = ?`, hash(token))
}

// Principal is who the token of a number stands for, or ErrRefused: it was revoked, has expired or never was.
func (t *Tokens) Principal(ctx context.Context, token int64) (Principal, error) {
	return t.find(ctx, `t.id = ?`, token)
}

func (t *Tokens) find(ctx context.Context, which string, arg any) (Principal, error) {
	var p Principal
	var user sql.NullInt64
	var expires, revoked, used, userScope, granted string
	err := t.db.R.QueryRowContext(ctx, `SELECT t.id, t.name, t.scope, t.expires, t.revoked, t.last_used, u.id, coalesce(u.name, ''), coalesce(u.scope, ''),
		coalesce((SELECT group_concat(org || ' ' || scope) FROM token_orgs WHERE token_id = t.id), '')
		FROM tokens t LEFT JOIN users u ON u.id = t.user_id WHERE `+which, arg).
		Scan(&p.Token, &p.Name, &p.Scope, &expires, &revoked, &used, &user, &p.User, &userScope, &granted)
	if errors.Is(err, sql.ErrNoRows) {
		return Principal{}, ErrRefused
	}
	if err != nil {
		return Principal{}, err
	}
	now := stamp(t.now())
	if revoked != "" || (expires != "" && expires <= now) {
		return Principal{}, ErrRefused
	}
	p.Orgs = grants(granted)
	if user.Valid {
		if err := t.bound(ctx, &p, user.Int64, Scope(userScope)); err != nil {
			return Principal{}, err
		}
	}
	return p, t.touch(ctx, p.Token, used, now)
}

// bound leaves of what a token permits no more than its user may do.
func (t *Tokens) bound(ctx context.Context, p *Principal, user int64, everywhere Scope) error {
	most, err := t.memberships(ctx, user)
	if err != nil {
		return err
	}
	most[strings.ToLower(p.User)] = Admin
	whole := p.Scope == "" && len(p.Orgs) == 0
	orgs := map[string]Scope{}
	for org, scope := range most {
		token := stronger(p.Scope, p.Orgs[org])
		if whole {
			token = Admin
		}
		if s := weaker(scope, token); s != "" {
			orgs[org] = s
		}
	}
	if whole {
		p.Scope = everywhere
	} else {
		p.Scope = weaker(p.Scope, everywhere)
	}
	p.Orgs = orgs
	return nil
}

// memberships is what a user may do in organisations, by their names in lower case.
func (t *Tokens) memberships(ctx context.Context, user int64) (map[string]Scope, error) {
	rows, err := t.db.R.QueryContext(ctx, `SELECT lower(org), scope FROM members WHERE user_id = ?`, user)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := map[string]Scope{}
	for rows.Next() {
		var org string
		var scope Scope
		if err := rows.Scan(&org, &scope); err != nil {
			return nil, err
		}
		out[org] = scope
	}
	return out, rows.Err()
}

func weaker(a, b Scope) Scope {
	if a.Permits(b) {
		return b
	}
	return a
}

func stronger(a, b Scope) Scope {
	if a.Permits(b) {
		return a
	}
	return b
}
