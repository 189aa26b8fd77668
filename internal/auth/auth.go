// Package auth keeps the tokens with which requests over TCP prove who they are.
//
// A token is 256 random bits, shown once when [Tokens.Create] makes it; the database holds its SHA-256. [Tokens.Check]
// turns a token into a [Principal]; unknown, expired and revoked tokens are refused alike, by the same code. A revoked
// token is refused from the next request on.
package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"embed"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/boxkiln/boxkiln/internal/sqlitedb"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Prefix starts every token, so that scanners for leaked secrets can tell one.
const Prefix = "bxk_"

// ErrRefused is returned for a token that is unknown, expired or revoked.
var ErrRefused = errors.New("the token is unknown, expired or revoked")

// Scope is what a token permits. Each scope permits what the ones before it do.
type Scope string

// The scopes, weakest first.
const (
	Read  Scope = "read"
	Write Scope = "write"
	Admin Scope = "admin"
)

var scopes = []Scope{Read, Write, Admin}

// ParseScope reads a scope.
func ParseScope(s string) (Scope, error) {
	if !slices.Contains(scopes, Scope(s)) {
		return "", fmt.Errorf("%q is not a scope: use read, write or admin", s)
	}
	return Scope(s), nil
}

// Permits tells whether s permits what need asks for.
func (s Scope) Permits(need Scope) bool {
	return s != "" && slices.Index(scopes, s) >= slices.Index(scopes, need)
}

// Token describes a token without revealing it.
type Token struct {
	ID       int64     `json:"id"`
	Name     string    `json:"name"`
	Scope    Scope     `json:"scope"`
	Created  time.Time `json:"created"`
	Expires  time.Time `json:"expires,omitzero"`
	LastUsed time.Time `json:"last_used,omitzero"`
	Revoked  time.Time `json:"revoked,omitzero"`
}

// Tokens is the store of tokens.
type Tokens struct {
	db  *sqlitedb.DB
	now func() time.Time
}

// Open brings the table of tokens up to date.
func Open(ctx context.Context, db *sqlitedb.DB, now func() time.Time) (*Tokens, error) {
	if err := sqlitedb.Migrate(ctx, db, migrations, "auth_version"); err != nil {
		return nil, err
	}
	return &Tokens{db: db, now: now}, nil
}

// Create makes a token and returns it; it cannot be had again. A zero expiry means that it does not expire.
func (t *Tokens) Create(ctx context.Context, name string, scope Scope, expires time.Time) (string, error) {
	if strings.TrimSpace(name) == "" {
		return "", errors.New("a token needs a name that says who will use it")
	}
	var raw [32]byte
	rand.Read(raw[:]) // never fails: crypto/rand
	token := Prefix + base64.RawURLEncoding.EncodeToString(raw[:])
	err := t.db.Tx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO tokens (name, hash, scope, created, expires) VALUES (?, ?, ?, ?, ?)`,
			name, hash(token), scope, stamp(t.now()), stamp(expires))
		return err
	})
	return token, err
}

// Check returns whose token it is, or ErrRefused.
func (t *Tokens) Check(ctx context.Context, token string) (Principal, error) {
	var p Principal
	var expires, revoked, used string
	err := t.db.R.QueryRowContext(ctx, `SELECT id, name, scope, expires, revoked, last_used FROM tokens WHERE hash = ?`, hash(token)).
		Scan(&p.Token, &p.Name, &p.Scope, &expires, &revoked, &used)
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
	return p, t.touch(ctx, p.Token, used, now)
}

// touchEvery keeps reads from becoming a write each: last_used is exact to a minute.
const touchEvery = time.Minute

func (t *Tokens) touch(ctx context.Context, id int64, used, now string) error {
	if used != "" && parse(now).Sub(parse(used)) < touchEvery {
		return nil
	}
	return t.db.Tx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE tokens SET last_used = ? WHERE id = ?`, now, id)
		return err
	})
}

// List returns all tokens, newest first.
func (t *Tokens) List(ctx context.Context) ([]Token, error) {
	rows, err := t.db.R.QueryContext(ctx, `SELECT id, name, scope, created, expires, last_used, revoked FROM tokens ORDER BY id DESC`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []Token
	for rows.Next() {
		var k Token
		var created, expires, used, revoked string
		if err := rows.Scan(&k.ID, &k.Name, &k.Scope, &created, &expires, &used, &revoked); err != nil {
			return nil, err
		}
		k.Created, k.Expires, k.LastUsed, k.Revoked = parse(created), parse(expires), parse(used), parse(revoked)
		all = append(all, k)
	}
	return all, rows.Err()
}

// Revoke ends all tokens of a name, or the one with that id. It is an error if there is none left to revoke.
func (t *Tokens) Revoke(ctx context.Context, nameOrID string) error {
	return t.db.Tx(ctx, func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `UPDATE tokens SET revoked = ? WHERE (name = ? OR CAST(id AS TEXT) = ?) AND revoked = ''`,
			stamp(t.now()), nameOrID, nameOrID)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n > 0 {
			return err
		}
		return fmt.Errorf("no valid token is called %q; `boxkiln token ls` shows them", nameOrID)
	})
}

func hash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

const format = "2006-01-02T15:04:05Z"

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(format)
}

// parse reads what stamp wrote; an empty text is the zero time.
func parse(s string) time.Time {
	t, _ := time.Parse(format, s)
	return t
}
