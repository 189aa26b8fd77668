package auth

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/boxkiln/boxkiln/internal/orgname"
)

var (
	// ErrNoUser says that there is no user of that name.
	ErrNoUser = errors.New("no such user; `boxkiln user ls` shows them")
	// ErrNoOrg says that there is no organisation of that name.
	ErrNoOrg = errors.New("no such organisation: an administrator makes it with `boxkiln org create`, or by publishing into it")
	// ErrTaken says that a user or an organisation has that name, whatever its case.
	ErrTaken = errors.New("the name is taken by a user or an organisation")
)

// User is somebody who has tokens, a password, and an organisation of his name.
type User struct {
	Name     string           `json:"name"`
	Scope    Scope            `json:"scope"` // everywhere; empty for nothing
	Password bool             `json:"password"`
	Orgs     map[string]Scope `json:"orgs,omitempty"` // that he is a member of
	Created  time.Time        `json:"created"`
}

func checkName(name string) error {
	if err := orgname.Check(name); err != nil {
		return invalid("%v", err)
	}
	return nil
}

// CreateUser makes a user; an empty password gives him none, and an empty scope nothing beyond his organisations. Errors:
// ErrTaken, and an *InvalidError for the name, the password or the scope.
func (t *Tokens) CreateUser(ctx context.Context, name, password string, scope Scope) error {
	if err := checkName(name); err != nil {
		return err
	}
	if scope != "" {
		if _, err := ParseScope(string(scope)); err != nil {
			return err
		}
	}
	hashed, err := t.hash(password)
	if err != nil {
		return err
	}
	return t.change(ctx, "user.create", name, string(scope), func(tx *sql.Tx) error {
		if err := t.free(ctx, tx, name); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO users (name, password, scope, created) VALUES (?, ?, ?, ?)`, name, hashed, scope, stamp(t.now()))
		return err
	})
}

// free makes sure that neither a user nor an organisation has a name.
func (t *Tokens) free(ctx context.Context, tx *sql.Tx, name string) error {
	var taken bool
	err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM users WHERE name = ?1 COLLATE NOCASE) OR EXISTS (SELECT 1 FROM orgs WHERE name = ?1)`, name).Scan(&taken)
	if err == nil && taken {
		err = fmt.Errorf("%q: %w", name, ErrTaken)
	}
	return err
}

// SetPassword gives a user another password, or with an empty one takes it away. Tokens that were had for the old one end. It
// returns ErrNoUser.
func (t *Tokens) SetPassword(ctx context.Context, name, password string) error {
	hashed, err := t.hash(password)
	if err != nil {
		return err
	}
	return t.change(ctx, "user.password", name, "", func(tx *sql.Tx) error {
		u, err := userByName(ctx, tx, name)
		if err != nil {
			return err
		}
		_, tokensErr := tx.ExecContext(ctx, `UPDATE tokens SET revoked = ? WHERE user_id = ? AND revoked = '' AND name = ?`, stamp(t.now()), u.id, passwordToken)
		_, err = tx.ExecContext(ctx, `UPDATE users SET password = ? WHERE id = ?`, hashed, u.id)
		return errors.Join(tokensErr, err)
	})
}

// ChangePassword is SetPassword for the user himself, who shows the present password. He cannot take it away. It returns
// ErrRefused when it is another one.
func (t *Tokens) ChangePassword(ctx context.Context, login, present, password string) error {
	if password == "" {
		return invalid("a password has %d to %d bytes, not 0", shortestPassword, longestPassword)
	}
	u, err := t.verify(ctx, login, present)
	if err != nil {
		return err
	}
	return t.SetPassword(ctx, u.name, password)
}

// RemoveUser removes a user and revokes his tokens; his boxes stay. It returns ErrNoUser.
func (t *Tokens) RemoveUser(ctx context.Context, name string) error {
	return t.change(ctx, "user.remove", name, "", func(tx *sql.Tx) error {
		u, err := userByName(ctx, tx, name)
		if err != nil {
			return err
		}
		_, tokensErr := tx.ExecContext(ctx, `UPDATE tokens SET revoked = ? WHERE user_id = ? AND revoked = ''`, stamp(t.now()), u.id)
		_, err = tx.ExecContext(ctx, `DELETE FROM users WHERE id = ?`, u.id)
		return errors.Join(tokensErr, err, t.dropGrants(ctx, tx, u.name))
	})
}

// Users lists the users by their names.
func (t *Tokens) Users(ctx context.Context) ([]User, error) {
	rows, err := t.db.R.QueryContext(ctx, `SELECT name, scope, password <> '', created,
		coalesce((SELECT group_concat(org || ' ' || scope) FROM members WHERE user_id = u.id), '') FROM users u ORDER BY name COLLATE NOCASE`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []User
	for rows.Next() {
		var u User
		var created, orgs string
		if err := rows.Scan(&u.Name, &u.Scope, &u.Password, &created, &orgs); err != nil {
			return nil, err
		}
		u.Created, u.Orgs = parse(created), grants(orgs)
		all = append(all, u)
	}
	return all, rows.Err()
}

// userRow is what logging in must know of a user.
type userRow struct {
	id             int64
	name, password string
}

// querier is what a transaction and a pool of connections have in common.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func userByName(ctx context.Context, q querier, name string) (userRow, error) {
	var u userRow
	err := q.QueryRowContext(ctx, `SELECT id, name, password FROM users WHERE name = ? COLLATE NOCASE`, name).Scan(&u.id, &u.name, &u.password)
	if errors.Is(err, sql.ErrNoRows) {
		err = fmt.Errorf("%q: %w", name, ErrNoUser)
	}
	return u, err
}

// How many bytes a password has. bcrypt looks at the first 72 only.
const (
	shortestPassword = 8
	longestPassword  = 72
)

// hash is what the database keeps of a password, or nothing of none.
func (t *Tokens) hash(password string) (string, error) {
	if password == "" {
		return "", nil
	}
	if n := len(password); n < shortestPassword || n > longestPassword {
		return "", invalid("a password has %d to %d bytes, not %d", shortestPassword, longestPassword, n)
	}
	sum, err := bcrypt.GenerateFromPassword([]byte(password), t.cost)
	return string(sum), err
}

// ClientLife is how long the token of a program lasts that was had for a password: Vagrant keeps it in a file of its user and
// asks for no other until that one is refused.
const ClientLife = 365 * 24 * time.Hour

// passwordToken is the name of the token that stands for the password itself where a request shows that.
const passwordToken = "password"

// Login makes a token for a user, which permits all that he may do for as long as life, or returns ErrRefused when there is no
// such user with that password. description says who will use it.
func (t *Tokens) Login(ctx context.Context, login, password, description string, life time.Duration) (string, error) {
	u, err := t.verify(ctx, login, password)
	if err != nil {
		return "", err
	}
	if strings.TrimSpace(description) == "" {
		description = "login of " + u.name
	}
	return t.Issue(ctx, TokenSpec{Name: description, User: u.name, Expires: t.now().Add(life)})
}

// CheckPassword is Check for a request that shows a user's name and password, as URLs with both do. The principal has the
// number of a token that nobody holds, so that what is signed for him ends with it.
func (t *Tokens) CheckPassword(ctx context.Context, login, password string) (Principal, error) {
	u, err := t.verify(ctx, login, password)
	if err != nil {
		return Principal{}, err
	}
	const which = `t.user_id = ? AND t.name = '` + passwordToken + `' AND t.revoked = ''`
	p, err := t.find(ctx, which, u.id)
	if !errors.Is(err, ErrRefused) {
		return p, err
	}
	if _, err := t.Issue(ctx, TokenSpec{Name: passwordToken, User: u.name}); err != nil {
		return Principal{}, err
	}
	return t.find(ctx, which, u.id)
}
