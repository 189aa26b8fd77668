package auth

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Org is an organisation that owns boxes.
type Org struct {
	Name    string    `json:"name"`
	Created time.Time `json:"created"`
	Members []Member  `json:"members,omitempty"`
}

// Member is what a user may do in an organisation.
type Member struct {
	User  string `json:"user"`
	Scope Scope  `json:"scope"`
}

// CreateOrg makes an organisation. It returns ErrTaken, or what is wrong with the name.
func (t *Tokens) CreateOrg(ctx context.Context, name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	return t.change(ctx, "org.create", name, "", func(tx *sql.Tx) error {
		if err := t.free(ctx, tx, name); err != nil {
			return err
		}
		return t.insertOrg(ctx, tx, name)
	})
}

func (t *Tokens) insertOrg(ctx context.Context, tx *sql.Tx, name string) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO orgs (name, created) VALUES (?, ?)`, name, stamp(t.now()))
	return err
}

// RemoveOrg removes an organisation and its members; its boxes stay, and are open to those who may do what they want everywhere.
// It returns ErrNoOrg.
func (t *Tokens) RemoveOrg(ctx context.Context, name string) error {
	return t.change(ctx, "org.remove", name, "", func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `DELETE FROM orgs WHERE name = ?`, name)
		return one(res, err, fmt.Errorf("%q: %w", name, ErrNoOrg))
	})
}

// one makes sure that a statement changed a row.
func one(res sql.Result, err, none error) error {
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n > 0 {
		return err
	}
	return none
}

// needOrg makes sure that there is an organisation, or a user of that name. It returns ErrNoOrg.
func needOrg(ctx context.Context, q querier, name string) error {
	var known bool
	err := q.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM users WHERE name = ?1 COLLATE NOCASE) OR EXISTS (SELECT 1 FROM orgs WHERE name = ?1)`, name).Scan(&known)
	if err == nil && !known {
		err = fmt.Errorf("%q: %w", name, ErrNoOrg)
	}
	return err
}

// EnsureOrg is called by who is about to make the first box of an organisation, inside the same transaction. The first
// publication of an administrator makes the organisation, that of the daemon itself too; others get ErrNoOrg.
func (t *Tokens) EnsureOrg(ctx context.Context, tx *sql.Tx, name string) error {
	err := needOrg(ctx, tx, name)
	who := PrincipalFrom(ctx)
	if !errors.Is(err, ErrNoOrg) || who.Known() && !who.Scope.Permits(Admin) {
		return err
	}
	if err := t.insertOrg(ctx, tx, name); err != nil || t.recorder == nil {
		return err
	}
	return t.recorder.Record(ctx, tx, "org.create", name, "by its first box")
}

// SetMember says what a user may do in an organisation. It returns ErrNoOrg and ErrNoUser.
func (t *Tokens) SetMember(ctx context.Context, org, user string, scope Scope) error {
	if _, err := ParseScope(string(scope)); err != nil {
		return err
	}
	return t.change(ctx, "org.member", org, user+" "+string(scope), func(tx *sql.Tx) error {
		u, err := userByName(ctx, tx, user)
		if err != nil {
			return err
		}
		res, err := tx.ExecContext(ctx, `INSERT INTO members (org, user_id, scope) SELECT name, ?, ? FROM orgs WHERE name = ?
			ON CONFLICT DO UPDATE SET scope = excluded.scope`, u.id, scope, org)
		return one(res, err, fmt.Errorf("%q: %w", org, ErrNoOrg))
	})
}

// RemoveMember ends a membership. It returns ErrNoUser when there is no such user or he is no member.
func (t *Tokens) RemoveMember(ctx context.Context, org, user string) error {
	return t.change(ctx, "org.member", org, user+" removed", func(tx *sql.Tx) error {
		u, err := userByName(ctx, tx, user)
		if err != nil {
			return err
		}
		res, err := tx.ExecContext(ctx, `DELETE FROM members WHERE org = ? AND user_id = ?`, org, u.id)
		return one(res, err, fmt.Errorf("%q is no member of %q: %w", user, org, ErrNoUser))
	})
}

// Orgs lists the organisations by their names, with their members.
func (t *Tokens) Orgs(ctx context.Context) ([]Org, error) {
	rows, err := t.db.R.QueryContext(ctx, `SELECT o.name, o.created, coalesce(u.name, ''), coalesce(m.scope, '') FROM orgs o
		LEFT JOIN members m ON m.org = o.name LEFT JOIN users u ON u.id = m.user_id ORDER BY o.name, u.name COLLATE NOCASE`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []Org
	for rows.Next() {
		var name, created string
		var m Member
		if err := rows.Scan(&name, &created, &m.User, &m.Scope); err != nil {
			return nil, err
		}
		if len(all) == 0 || all[len(all)-1].Name != name {
			all = append(all, Org{Name: name, Created: parse(created)})
		}
		if m.User != "" {
			last := &all[len(all)-1]
			last.Members = append(last.Members, m)
		}
	}
	return all, rows.Err()
}
