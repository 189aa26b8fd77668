package auth

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// TokenSpec says what a token is for.
type TokenSpec struct {
	Name string // who will use it
	User string // whose it is; empty for nobody in particular
	// Scope is what it permits everywhere; a token of a user without Scope and Orgs permits all that the user may do.
	Scope Scope
	// Orgs are what it permits in single organisations.
	Orgs    map[string]Scope
	Expires time.Time // zero for never
}

func (s TokenSpec) check() error {
	if strings.TrimSpace(s.Name) == "" {
		return invalid("a token needs a name that says who will use it")
	}
	if s.User == "" && s.Scope == "" && len(s.Orgs) == 0 {
		return invalid("a token without a user needs a scope: read, write or admin")
	}
	if s.Scope != "" {
		if _, err := ParseScope(string(s.Scope)); err != nil {
			return err
		}
	}
	for org, scope := range s.Orgs {
		if _, err := ParseScope(string(scope)); err != nil {
			return fmt.Errorf("organisation %q: %w", org, err)
		}
	}
	return nil
}

// Create makes a token of nobody in particular that permits scope everywhere. See Issue.
func (t *Tokens) Create(ctx context.Context, name string, scope Scope, expires time.Time) (string, error) {
	return t.Issue(ctx, TokenSpec{Name: name, Scope: scope, Expires: expires})
}

// Issue makes a token and returns it; it cannot be had again. It returns ErrNoUser and ErrNoOrg for names that are not known.
func (t *Tokens) Issue(ctx context.Context, s TokenSpec) (string, error) {
	if err := s.check(); err != nil {
		return "", err
	}
	token := random()
	return token, t.change(ctx, "token.create", s.Name, s.detail(), func(tx *sql.Tx) error {
		_, err := t.insertToken(ctx, tx, s, token)
		return err
	})
}

// random is a token that nobody can guess.
func random() string {
	var raw [32]byte
	rand.Read(raw[:]) // never fails: crypto/rand
	return Prefix + base64.RawURLEncoding.EncodeToString(raw[:])
}

// detail says for the record what a token permits.
func (s TokenSpec) detail() string {
	var parts []string
	if s.User != "" {
		parts = append(parts, "of "+s.User)
	}
	if s.Scope != "" {
		parts = append(parts, string(s.Scope))
	}
	for _, org := range slices.Sorted(maps.Keys(s.Orgs)) {
		parts = append(parts, string(s.Orgs[org])+" in "+org)
	}
	return strings.Join(parts, ", ")
}

func (t *Tokens) insertToken(ctx context.Context, tx *sql.Tx, s TokenSpec, token string) (id int64, err error) {
	var user sql.NullInt64
	if s.User != "" {
		u, err := userByName(ctx, tx, s.User)
		if err != nil {
			return 0, err
		}
		user = sql.NullInt64{Int64: u.id, Valid: true}
	}
	res, err := tx.ExecContext(ctx, `INSERT INTO tokens (name, hash, scope, created, expires, user_id) VALUES (?, ?, ?, ?, ?, ?)`,
		s.Name, hash(token), s.Scope, stamp(t.now()), stamp(s.Expires), user)
	if err != nil {
		return 0, err
	}
	if id, err = res.LastInsertId(); err != nil {
		return 0, err
	}
	for org, scope := range s.Orgs {
		if err := needOrg(ctx, tx, org); err != nil {
			return 0, err
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO token_orgs (token_id, org, scope) VALUES (?, ?, ?)`, id, strings.ToLower(org), scope); err != nil {
			return 0, err
		}
	}
	return id, nil
}

// First makes the token of the first administrator, if there was never any token, and returns "" otherwise.
func (t *Tokens) First(ctx context.Context) (token string, err error) {
	s := TokenSpec{Name: "first administrator", Scope: Admin}
	err = t.db.Tx(ctx, func(tx *sql.Tx) error {
		var any bool
		if err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM tokens) OR EXISTS (SELECT 1 FROM users)`).Scan(&any); err != nil || any {
			return err
		}
		token = random()
		if _, err := t.insertToken(ctx, tx, s, token); err != nil || t.recorder == nil {
			return err
		}
		return t.recorder.Record(ctx, tx, "token.create", s.Name, s.detail())
	})
	return token, err
}

// List returns all tokens, newest first.
func (t *Tokens) List(ctx context.Context) ([]Token, error) {
	rows, err := t.db.R.QueryContext(ctx, `SELECT t.id, t.name, coalesce(u.name, ''), t.scope, t.created, t.expires, t.last_used, t.revoked,
		coalesce((SELECT group_concat(org || ' ' || scope) FROM token_orgs WHERE token_id = t.id), '')
		FROM tokens t LEFT JOIN users u ON u.id = t.user_id ORDER BY t.id DESC`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []Token
	for rows.Next() {
		var k Token
		var created, expires, used, revoked, orgs string
		if err := rows.Scan(&k.ID, &k.Name, &k.User, &k.Scope, &created, &expires, &used, &revoked, &orgs); err != nil {
			return nil, err
		}
		k.Created, k.Expires, k.LastUsed, k.Revoked, k.Orgs = parse(created), parse(expires), parse(used), parse(revoked), grants(orgs)
		all = append(all, k)
	}
	return all, rows.Err()
}

// grants reads "ops write,lab read", as SQL puts it together.
func grants(list string) map[string]Scope {
	if list == "" {
		return nil
	}
	out := map[string]Scope{}
	for part := range strings.SplitSeq(list, ",") {
		org, scope, _ := strings.Cut(part, " ")
		out[strings.ToLower(org)] = Scope(scope)
	}
	return out
}

// Revoke ends all tokens of a name, or the one with that id. It is an error if there is none left to revoke.
func (t *Tokens) Revoke(ctx context.Context, nameOrID string) error {
	return t.revoke(ctx, nameOrID, `(name = ?2 OR CAST(id AS TEXT) = ?2)`, nameOrID)
}

// Logout revokes the token of a number. One that is revoked already is no error.
func (t *Tokens) Logout(ctx context.Context, token int64) error {
	err := t.revoke(ctx, fmt.Sprint(token), `id = ?2`, token)
	if errors.Is(err, ErrNoToken) {
		return nil
	}
	return err
}

// ErrNoToken says that no token that is valid has that name or number.
var ErrNoToken = errors.New("no valid token is called that")

func (t *Tokens) revoke(ctx context.Context, subject, which string, arg any) error {
	return t.change(ctx, "token.revoke", subject, "", func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `UPDATE tokens SET revoked = ?1 WHERE revoked = '' AND `+which, stamp(t.now()), arg)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n > 0 {
			return err
		}
		return fmt.Errorf("%w: %q; `boxkiln token ls` shows them", ErrNoToken, subject)
	})
}
