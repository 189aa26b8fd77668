// Package auth knows who may do what: users, organisations and the tokens with which requests over TCP prove who they are.
//
// A token is 256 random bits, shown once when [Tokens.Issue] makes it; the database holds its SHA-256. [Tokens.Check] turns
// a token into a [Principal]; unknown, expired and revoked tokens are refused alike, by the same code. A revoked token is
// refused from the next request on.
//
// A token of nobody in particular may do what it was made for, everywhere or in some organisations. A token of a user never
// permits more than the user: what he may do everywhere, in the organisations that he is a member of, and in the one of his
// own name. [Tokens.Login] gives a token for a password, as Vagrant's "cloud auth login" wants it.
package auth

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/boxkiln/boxkiln/internal/sqlitedb"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Prefix starts every token, so that scanners for leaked secrets can tell one.
const Prefix = "bxk_"

// ErrRefused is returned for a token that is unknown, expired or revoked.
var ErrRefused = errors.New("the token is unknown, expired or revoked")

// InvalidError says what is wrong with what somebody asked for, and what would be right.
type InvalidError struct{ Text string }

func (e *InvalidError) Error() string { return e.Text }

func invalid(format string, args ...any) error { return &InvalidError{fmt.Sprintf(format, args...)} }

// Scope is what a token permits. Each scope permits what the ones before it do.
type Scope string

// The scopes, weakest first.
const (
	Read  Scope = "read"
	Write Scope = "write"
	Admin Scope = "admin"
)

var scopes = []Scope{Read, Write, Admin}

// ParseScope reads a scope. It returns an *InvalidError.
func ParseScope(s string) (Scope, error) {
	if !slices.Contains(scopes, Scope(s)) {
		return "", invalid("%q is not a scope: use read, write or admin", s)
	}
	return Scope(s), nil
}

// Permits tells whether s permits what need asks for.
func (s Scope) Permits(need Scope) bool {
	return s != "" && slices.Index(scopes, s) >= slices.Index(scopes, need)
}

// Token describes a token without revealing it.
type Token struct {
	ID       int64            `json:"id"`
	Name     string           `json:"name"`
	User     string           `json:"user,omitempty"`
	Scope    Scope            `json:"scope"` // everywhere; empty when only Orgs permit something
	Orgs     map[string]Scope `json:"orgs,omitempty"`
	Created  time.Time        `json:"created"`
	Expires  time.Time        `json:"expires,omitzero"`
	LastUsed time.Time        `json:"last_used,omitzero"`
	Revoked  time.Time        `json:"revoked,omitzero"`
}

// Tokens is the store of tokens, users and organisations.
type Tokens struct {
	db       *sqlitedb.DB
	now      func() time.Time
	recorder Recorder
	failures Failures // of passwords
	hashing  chan struct{}
	cost     int // of a hash: each one more doubles the time
}

// Option changes how passwords are kept.
type Option func(*Tokens)

// PasswordCost sets bcrypt's cost, from bcrypt.MinCost to bcrypt.MaxCost, of the passwords that are set from now on. Without
// it that is bcrypt.DefaultCost, a twentieth of a second.
func PasswordCost(cost int) Option { return func(t *Tokens) { t.cost = cost } }

// Recorder keeps the record of who changed what; see internal/audit.
type Recorder interface {
	Record(ctx context.Context, tx *sql.Tx, action, subject, detail string) error
}

// Open brings the tables up to date. With a nil recorder nothing is recorded.
func Open(ctx context.Context, db *sqlitedb.DB, now func() time.Time, recorder Recorder, options ...Option) (*Tokens, error) {
	if err := sqlitedb.Migrate(ctx, db, migrations, "auth_version"); err != nil {
		return nil, err
	}
	t := &Tokens{db: db, now: now, recorder: recorder, hashing: make(chan struct{}, hashers()), cost: bcrypt.DefaultCost}
	for _, set := range options {
		set(t)
	}
	return t, nil
}

// change changes rows in one transaction, with a record of it.
func (t *Tokens) change(ctx context.Context, action, subject, detail string, do func(*sql.Tx) error) error {
	return t.db.Tx(ctx, func(tx *sql.Tx) error {
		if err := do(tx); err != nil {
			return err
		}
		return t.record(ctx, tx, action, subject, detail)
	})
}

func (t *Tokens) record(ctx context.Context, tx *sql.Tx, action, subject, detail string) error {
	if t.recorder == nil {
		return nil
	}
	return t.recorder.Record(ctx, tx, action, subject, detail)
}

// touchEvery keeps reads from becoming a write each: last_used is exact to a minute.
const touchEvery = time.Minute

func (t *Tokens) touch(ctx context.Context, id int64, used, now string) error {
	if used != "" && parse(now).Sub(parse(used)) < touchEvery {
		return nil
	}
	err := t.db.Tx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE tokens SET last_used = ? WHERE id = ?`, now, id)
		return err
	})
	if errors.Is(err, sqlitedb.ErrDiskFull) { // whoever comes to make room must not be kept out by it
		return nil
	}
	return err
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
