package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/boxkiln/boxkiln/boxregistry"
)

// Declare makes the place of a file in a draft that is there, without bytes: as Vagrant Cloud's clients do before they upload.
// With a URL in f the file is complete, and somebody else keeps it. Errors: ErrNotFound, ErrExists, ErrImmutable,
// ErrArchitectureMix, *InvalidNameError.
func (r *Registry) Declare(ctx context.Context, name boxregistry.Name, v boxregistry.Version, f boxregistry.File) error {
	f.Digest, f.Size = "", 0
	p := boxregistry.Publication{Box: name, Version: v, File: f}
	if err := validate(p); err != nil {
		return err
	}
	return r.change(ctx, "declare a file of", name, v, func(t transaction, row versionRow) error {
		if err := draftOnly(row); err != nil {
			return err
		}
		s, err := t.slot(ctx, p)
		if err == nil && f.Complete() {
			err = t.architectures(ctx, s.box, 0, f)
		}
		if err != nil {
			return err
		}
		if s.file != 0 {
			return fmt.Errorf("%w: %s/%s", boxregistry.ErrExists, f.Provider, f.Architecture)
		}
		return t.putFile(ctx, s, f)
	})
}

func draftOnly(row versionRow) error {
	switch row.state {
	case boxregistry.Draft:
		return nil
	case boxregistry.Released:
		return fmt.Errorf("%w: it is released; publish under another number", boxregistry.ErrImmutable)
	}
	return fmt.Errorf("%w: it was revoked; publish under another number", boxregistry.ErrImmutable)
}

// EditFile changes what a maker says of a file of a draft as edit leaves it: URL, Declared, Default, and its provider and
// architecture. Bytes that are stored stay, unless the file goes elsewhere by a URL or edit takes its digest away. Errors: ErrNotFound, ErrExists,
// ErrImmutable, ErrArchitectureMix, ErrChecksum when the bytes are here and have another sha256, what edit returns.
func (r *Registry) EditFile(ctx context.Context, name boxregistry.Name, v boxregistry.Version, p boxregistry.Provider,
	a boxregistry.Architecture, edit func(*boxregistry.File) error) error {
	return r.change(ctx, "change a file of", name, v, func(t transaction, row versionRow) error {
		if err := draftOnly(row); err != nil {
			return err
		}
		id, was, err := t.file(ctx, row.id, p, a)
		f := was
		if err == nil {
			err = edit(&f)
		}
		if err != nil {
			return err
		}
		if f.URL != "" {
			f.Digest, f.Size = "", 0
		}
		if err := t.checkEdit(ctx, boxregistry.Publication{Box: name, Version: v, File: f}, row, id, was); err != nil {
			return err
		}
		return errors.Join(t.putFile(ctx, slot{box: row.box, version: row.id, file: id}, f), t.stay(ctx, row.id, was, f),
			t.giveDefault(ctx, row.id, string(p)))
	})
}

// checkEdit says whether a file may become another one.
func (t transaction) checkEdit(ctx context.Context, p boxregistry.Publication, row versionRow, id int64, was boxregistry.File) error {
	if err := validate(p); err != nil {
		return err
	}
	f := p.File
	if f.Digest != "" && f.Declared.Type == "sha256" && f.Declared.Hex != string(f.Digest) {
		return fmt.Errorf("%w: sha256 %s is declared and the file that is here has %s; upload the other one first",
			boxregistry.ErrChecksum, f.Declared.Hex, f.Digest)
	}
	if f.Provider != was.Provider || f.Architecture != was.Architecture {
		return t.freeSlot(ctx, row, id, f)
	}
	if f.Complete() && !was.Complete() {
		return t.architectures(ctx, row.box, id, f)
	}
	return nil
}

// stay keeps what is known of a file whose bytes are still the same.
func (t transaction) stay(ctx context.Context, version int64, was, f boxregistry.File) error {
	if f.Digest != was.Digest || f.URL != was.URL || was.Published.IsZero() {
		return nil
	}
	_, err := t.ExecContext(ctx, `UPDATE box_files SET published_at = ? WHERE version_id = ? AND provider = ? AND architecture = ?`,
		micros(was.Published), version, string(f.Provider), string(f.Architecture))
	if err != nil || !was.Smoke.Tried() {
		return err
	}
	return t.smoke(ctx, version, f.Provider, f.Architecture, was.Smoke)
}

func (t transaction) freeSlot(ctx context.Context, row versionRow, moved int64, f boxregistry.File) error {
	if _, _, err := t.file(ctx, row.id, f.Provider, f.Architecture); err == nil {
		return fmt.Errorf("%w: %s/%s", boxregistry.ErrExists, f.Provider, f.Architecture)
	} else if !errors.Is(err, boxregistry.ErrNotFound) {
		return err
	}
	if !f.Complete() {
		return nil
	}
	return t.architectures(ctx, row.box, moved, f)
}

// file reads one file of a version.
func (t transaction) file(ctx context.Context, version int64, p boxregistry.Provider, a boxregistry.Architecture) (id int64, f boxregistry.File, err error) {
	rows, err := t.QueryContext(ctx, `SELECT f.id, `+fileColumns+` FROM box_files f WHERE version_id = ? AND provider = ? AND architecture = ?`,
		version, string(p), string(a))
	found := false
	err = each(rows, err, func() (err error) {
		found = true
		f, err = scanFile(rows, &id)
		return err
	})
	if err == nil && !found {
		err = fmt.Errorf("%w: it has no file for %s/%s", boxregistry.ErrNotFound, p, a)
	}
	return id, f, err
}

// DeleteFile takes a file out of a draft; its bytes are collected later. The default goes to the first architecture that is
// left. Errors: ErrNotFound, ErrImmutable.
func (r *Registry) DeleteFile(ctx context.Context, name boxregistry.Name, v boxregistry.Version, p boxregistry.Provider, a boxregistry.Architecture) error {
	return r.change(ctx, "delete a file of", name, v, func(t transaction, row versionRow) error {
		if err := draftOnly(row); err != nil {
			return err
		}
		id, _, err := t.file(ctx, row.id, p, a)
		if err != nil {
			return err
		}
		_, err = t.ExecContext(ctx, `DELETE FROM box_files WHERE id = ?`, id)
		return errors.Join(err, t.giveDefault(ctx, row.id, string(p)))
	})
}

// giveDefault makes the first architecture of a provider its default where it has none.
func (t transaction) giveDefault(ctx context.Context, version int64, provider string) error {
	_, err := t.ExecContext(ctx, `UPDATE box_files SET is_default = 1
		WHERE id = (SELECT id FROM box_files WHERE version_id = ?1 AND provider = ?2 ORDER BY architecture LIMIT 1)
		AND NOT EXISTS (SELECT 1 FROM box_files WHERE version_id = ?1 AND provider = ?2 AND is_default)`, version, provider)
	return err
}

// dropUndelivered takes files out of a draft that were declared and never came: what is released is whole.
func (t transaction) dropUndelivered(ctx context.Context, version int64) error {
	rows, err := t.QueryContext(ctx, `DELETE FROM box_files WHERE version_id = ? AND digest = '' AND url = '' RETURNING provider`, version)
	var providers []string
	err = each(rows, err, func() error {
		var provider string
		err := rows.Scan(&provider)
		providers = append(providers, provider)
		return err
	})
	for _, provider := range providers {
		if err != nil {
			return err
		}
		err = t.giveDefault(ctx, version, provider)
	}
	return err
}
