package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/internal/auth"
)

// CreateBox makes an empty box with the descriptions and the visibility of b. Errors: ErrExists, ErrDeleted,
// *InvalidNameError.
func (r *Registry) CreateBox(ctx context.Context, b boxregistry.Box) error {
	if _, err := boxregistry.ParseName(b.Name.String()); err != nil {
		return err
	}
	return named("create box", b.Name, r.write(ctx, func(t transaction) error {
		found, err := t.findBox(ctx, b.Name)
		switch {
		case err != nil:
			return err
		case found.id != 0 && !found.deleted:
			return boxregistry.ErrExists
		case found.deleted:
			err = errors.Join(t.revive(ctx, found.id), t.describe(ctx, found.id, b))
		default:
			_, err = t.insertBox(ctx, b)
		}
		return errors.Join(err, t.note(ctx, "box.create", b.Name.String(), ""))
	}))
}

func named(verb string, name boxregistry.Name, err error) error {
	if err != nil {
		return fmt.Errorf("%s %q: %w", verb, name, err)
	}
	return nil
}

func (t transaction) insertBox(ctx context.Context, b boxregistry.Box) (int64, error) {
	if err := t.ensureOrg(ctx, b.Name.Org()); err != nil {
		return 0, err
	}
	return t.insert(ctx, `INSERT INTO boxes (org, name, short_description, description, private, created_at, updated_at)
		VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)`, b.Name.Org(), b.Name.Box(), b.ShortDescription, b.Description, b.Private, t.now)
}

// ensureOrg makes sure that there is an organisation to own a box. It returns ErrNotFound.
func (t transaction) ensureOrg(ctx context.Context, org string) error {
	if t.orgs == nil {
		return nil
	}
	return noOrg(t.orgs.EnsureOrg(ctx, t.Tx, org))
}

// checkOrg says what ensureOrg would say of an organisation.
func (t transaction) checkOrg(ctx context.Context, org string) error {
	if t.orgs == nil {
		return nil
	}
	return noOrg(t.orgs.CheckOrg(ctx, t.Tx, org))
}

func noOrg(err error) error {
	if errors.Is(err, auth.ErrNoOrg) {
		return fmt.Errorf("%w: %w", boxregistry.ErrNotFound, err)
	}
	return err
}

// revive takes a box back into use that was deleted and purged; the numbers of its versions stay used.
func (t transaction) revive(ctx context.Context, id int64) error {
	_, err := t.ExecContext(ctx, `UPDATE boxes SET deleted_at = NULL, created_at = ?1, updated_at = ?1 WHERE id = ?2`, t.now, id)
	return err
}

func (t transaction) describe(ctx context.Context, id int64, b boxregistry.Box) error {
	_, err := t.ExecContext(ctx, `UPDATE boxes SET short_description = ?, description = ?, private = ?, updated_at = ? WHERE id = ?`,
		b.ShortDescription, b.Description, b.Private, t.now, id)
	return err
}

// EditBox changes the descriptions, the visibility, the retention and the name of a box as edit leaves them; it changes nothing
// else. Errors: ErrNotFound, ErrExists when the new name is taken, what edit returns.
func (r *Registry) EditBox(ctx context.Context, name boxregistry.Name, edit func(*boxregistry.Box) error) error {
	return named("change box", name, r.write(ctx, func(t transaction) error {
		id, err := t.liveBox(ctx, name)
		if err != nil {
			return err
		}
		_, b, err := scanBox(ctx, t.Tx, name)
		if err == nil {
			err = edit(&b)
		}
		if err != nil {
			return err
		}
		if err := t.rename(ctx, id, name, b.Name); err != nil {
			return err
		}
		_, err = t.ExecContext(ctx, `UPDATE boxes SET keep_last = ?, keep_newer = ? WHERE id = ?`,
			b.Retention.KeepLast, b.Retention.KeepNewer.Microseconds(), id)
		return errors.Join(err, t.describe(ctx, id, b), t.note(ctx, "box.change", name.String(), changed(name, b)))
	}))
}

func (t transaction) rename(ctx context.Context, id int64, from, to boxregistry.Name) error {
	if from == to {
		return nil
	}
	if _, err := boxregistry.ParseName(to.String()); err != nil {
		return err
	}
	found, err := t.findBox(ctx, to)
	switch {
	case err != nil && !errors.Is(err, boxregistry.ErrExists) || found.id != id && err != nil:
		return err
	case found.id != 0 && found.id != id:
		return fmt.Errorf("%w: there is a box %q", boxregistry.ErrExists, to)
	}
	if err := t.ensureOrg(ctx, to.Org()); err != nil {
		return err
	}
	_, err = t.ExecContext(ctx, `UPDATE boxes SET org = ?, name = ? WHERE id = ?`, to.Org(), to.Box(), id)
	return err
}

// changed says for the audit log what others must know of a change.
func changed(name boxregistry.Name, b boxregistry.Box) string {
	text := "public"
	if b.Private {
		text = "private"
	}
	if b.Retention.Set() {
		text += fmt.Sprintf("; keeps the last %d and what is newer than %s", b.Retention.KeepLast, b.Retention.KeepNewer)
	}
	if b.Name != name {
		text += "; renamed to " + b.Name.String()
	}
	return text
}
