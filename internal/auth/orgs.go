package auth

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
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

// RemoveOrg removes an organisation, its members, and what tokens permit in it; its boxes stay, and are open to those who may do
// what they want everywhere. It returns ErrNoOrg.
func (t *Tokens) RemoveOrg(ctx context.Context, name string) error {
	return t.change(ctx, "org.remove", name, "", func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `DELETE FROM orgs WHERE name = ?`, name)
		if err := one(res, err, fmt.Errorf("%q: %w", name, ErrNoOrg)); err != nil {
			return err
		}
		return t.dropGrants(ctx, tx, name)
	})
}

// dropGrants ends what tokens permit in an organisation that goes, or whoever makes one of that name later would have let them
// in. A token that permits nothing else is revoked: one of a user that names no organisation would permit all that he may do.
func (t *Tokens) dropGrants(ctx context.Context, tx *sql.Tx, org string) error {
	_, err := tx.ExecContext(ctx, `UPDATE tokens SET revoked = ?1 WHERE revoked = '' AND scope = ''
		AND id IN (SELECT token_id FROM token_orgs WHERE org = ?2)
		AND id NOT IN (SELECT token_id FROM token_orgs WHERE org <> ?2)`, stamp(t.now()), org)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `DELETE FROM token_orgs WHERE org = ?`, org)
	return err
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

// CheckOrg says what EnsureOrg would say, and makes nothing.
func (t *Tokens) CheckOrg(ctx context.Context, tx *sql.Tx, name string) error {
	err := needOrg(ctx, tx, name)
	if errors.Is(err, ErrNoOrg) && mayFound(ctx) {
		return nil
	}
	return err
}

// mayFound tells whether the first publication of whoever asks makes its organisation: that of an administrator, and that of
// the daemon itself.
func mayFound(ctx context.Context) bool {
	who := PrincipalFrom(ctx)
	return !who.Known() || who.Scope.Permits(Admin)
}

// EnsureOrg is called by who is about to make the first box of an organisation, inside the same transaction. It makes the
// organisation for those who may do that; others get ErrNoOrg.
func (t *Tokens) EnsureOrg(ctx context.Context, tx *sql.Tx, name string) error {
	err := needOrg(ctx, tx, name)
	if !errors.Is(err, ErrNoOrg) || !mayFound(ctx) {
		return err
	}
	if err := t.insertOrg(ctx, tx, name); err != nil {
		return err
	}
	return t.record(ctx, tx, "org.create", name, "by its first box")
}

// Adopt makes the organisations that own boxes and are not known yet: those of boxes from before there were organisations.
func (t *Tokens) Adopt(ctx context.Context, names []string) error {
	return t.db.Tx(ctx, func(tx *sql.Tx) error {
		for _, name := range names {
			if err := needOrg(ctx, tx, name); !errors.Is(err, ErrNoOrg) {
				if err != nil {
					return err
				}
				continue
			}
			if err := t.insertOrg(ctx, tx, name); err != nil {
				return err
			}
			if err := t.record(ctx, tx, "org.create", name, "for the boxes that it has"); err != nil {
				return err
			}
		}
		return nil
	})
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

// Members lists who may do what in an organisation, by the names of users. It returns ErrNoOrg.
func (t *Tokens) Members(ctx context.Context, org string) ([]Member, error) {
	all, err := t.Orgs(ctx)
	if err != nil {
		return nil, err
	}
	for _, o := range all {
		if strings.EqualFold(o.Name, org) {
			return o.Members, nil
		}
	}
	return nil, fmt.Errorf("%q: %w", org, ErrNoOrg)
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
