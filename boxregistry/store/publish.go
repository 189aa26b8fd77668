package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/blob"
)

// Publish puts a stored blob into a draft as the file of its provider and architecture. Box and version are made
// where they are missing. It is all or nothing, and idempotent while the version is a draft: the same digest again is
// no error.
//
// Errors: ErrImmutable when the version is released or revoked; ErrExists when the draft already has another file
// there (unless p.Replace), when an equal version is written differently, or when the box is written in another case;
// ErrArchitectureMix; blob.ErrNotFound when the bytes are not stored; *InvalidNameError.
func (r *Registry) Publish(ctx context.Context, p boxregistry.Publication) error {
	if err := errors.Join(validate(p), validateContent(p.File)); err != nil {
		return err
	}
	err := r.db.Tx(ctx, func(tx *sql.Tx) error {
		t := transaction{tx, micros(r.now())}
		s, err := t.slot(ctx, p)
		if err != nil {
			return err
		}
		if s.digest == p.File.Digest {
			return nil
		}
		if err := r.stored(ctx, p.File); err != nil {
			return err
		}
		return t.fill(ctx, s, p)
	})
	if err != nil {
		return fmt.Errorf("publish %s %s for %s/%s: %w", p.Box, p.Version, p.File.Provider, p.File.Architecture, err)
	}
	return nil
}

// Check says what Publish would say of p, whose digest and size need not be known yet, and changes nothing. Call it
// before the long work that makes the file; another publisher may still come first.
func (r *Registry) Check(ctx context.Context, p boxregistry.Publication) error {
	if err := validate(p); err != nil {
		return err
	}
	err := readTx(ctx, r.db.R, func(tx *sql.Tx) error {
		_, err := transaction{tx, micros(r.now())}.slot(ctx, p)
		return err
	})
	if err != nil {
		return fmt.Errorf("cannot publish %s %s for %s/%s: %w", p.Box, p.Version, p.File.Provider, p.File.Architecture, err)
	}
	return nil
}

// validate finds everything that is wrong with the names at once.
func validate(p boxregistry.Publication) error {
	_, nameErr := boxregistry.ParseName(p.Box.String())
	_, versionErr := boxregistry.ParseVersion(p.Version.String())
	_, providerErr := boxregistry.ParseProvider(string(p.File.Provider))
	arch, archErr := boxregistry.ParseArchitecture(string(p.File.Architecture))
	if archErr == nil && arch != p.File.Architecture {
		archErr = &boxregistry.InvalidNameError{Kind: "architecture", Value: string(p.File.Architecture),
			Want: fmt.Sprintf("Vagrant calls it %q", arch)}
	}
	return errors.Join(nameErr, versionErr, providerErr, archErr)
}

func validateContent(f boxregistry.File) error {
	var errs []error
	if d, err := blob.ParseDigest(string(f.Digest)); err != nil || d != f.Digest {
		errs = append(errs, fmt.Errorf("digest %q: want 64 lower-case hexadecimal digits", f.Digest))
	}
	if f.Size <= 0 {
		errs = append(errs, fmt.Errorf("size %d: want the number of bytes of the box", f.Size))
	}
	if len(f.Provenance) > 0 && !json.Valid(f.Provenance) {
		errs = append(errs, errors.New("provenance: want a JSON value"))
	}
	return errors.Join(errs...)
}

// stored makes sure that the bytes are there before a row names them.
func (r *Registry) stored(ctx context.Context, f boxregistry.File) error {
	info, err := r.blobs.Stat(ctx, f.Digest)
	if err == nil && info.Size != f.Size {
		err = fmt.Errorf("size %d: the stored blob %s has %d bytes", f.Size, f.Digest, info.Size)
	}
	return err
}

// transaction is one look at the tables, at one time, with the write lock held when it changes them.
type transaction struct {
	*sql.Tx
	now int64
}

// slot is the place that a publication goes to; an id of zero means that the row does not exist yet.
type slot struct {
	box, version, file int64
	digest             blob.Digest // of the file that is there now
}

// slot finds the place of p and refuses it where p must not go.
func (t transaction) slot(ctx context.Context, p boxregistry.Publication) (slot, error) {
	var s slot
	var written boxNames
	row := t.QueryRowContext(ctx, `SELECT id, org, name FROM boxes WHERE org = ? COLLATE NOCASE AND name = ? COLLATE NOCASE`,
		p.Box.Org(), p.Box.Box())
	switch err := row.Scan(&s.box, &written.org, &written.name); {
	case errors.Is(err, sql.ErrNoRows):
		return s, nil
	case err != nil:
		return s, err
	case written != boxNames{p.Box.Org(), p.Box.Box()}:
		return s, fmt.Errorf("%w: the box is written %s/%s; publish under that name", boxregistry.ErrExists, written.org, written.name)
	}
	if err := t.architectures(ctx, s.box, p.File); err != nil {
		return s, err
	}
	return s, t.versionSlot(ctx, p, &s)
}

type boxNames struct{ org, name string }

// versionSlot completes s with the version and the file that are there already.
func (t transaction) versionSlot(ctx context.Context, p boxregistry.Publication, s *slot) error {
	var number string
	var state boxregistry.State
	row := t.QueryRowContext(ctx, `SELECT id, number, state FROM box_versions WHERE box_id = ? AND sort_key = ?`,
		s.box, p.Version.SortKey())
	switch err := row.Scan(&s.version, &number, &state); {
	case errors.Is(err, sql.ErrNoRows):
		return nil
	case err != nil:
		return err
	case state != boxregistry.Draft:
		return t.immutable(ctx, s.box, number, state)
	case number != p.Version.String():
		return fmt.Errorf("%w: to Vagrant, version %s is the same as the draft %s; publish as %s or choose another number",
			boxregistry.ErrExists, p.Version, number, number)
	}
	row = t.QueryRowContext(ctx, `SELECT id, digest FROM box_files WHERE version_id = ? AND provider = ? AND architecture = ?`,
		s.version, string(p.File.Provider), string(p.File.Architecture))
	switch err := row.Scan(&s.file, &s.digest); {
	case errors.Is(err, sql.ErrNoRows):
		return nil
	case err != nil:
		return err
	case s.digest != p.File.Digest && !p.Replace:
		return fmt.Errorf("%w: the draft %s has a %s/%s file (sha256 %s); replace it on purpose or choose another version",
			boxregistry.ErrExists, number, p.File.Provider, p.File.Architecture, s.digest.Short())
	}
	return nil
}

// immutable explains that a version is taken, and which number is the next that is not.
func (t transaction) immutable(ctx context.Context, box int64, number string, state boxregistry.State) error {
	var highest string
	row := t.QueryRowContext(ctx, `SELECT number FROM box_versions WHERE box_id = ? ORDER BY sort_key DESC LIMIT 1`, box)
	if err := row.Scan(&highest); err != nil {
		return err
	}
	return fmt.Errorf("%w: version %s is %s; publish under a number above %s", boxregistry.ErrImmutable, number, state, highest)
}

// architectures refuses the mixture that makes Vagrant 2.4.0 choose an old version (hashicorp/vagrant#13274).
func (t transaction) architectures(ctx context.Context, box int64, f boxregistry.File) error {
	var other string
	row := t.QueryRowContext(ctx, `SELECT f.architecture FROM box_files f JOIN box_versions v ON v.id = f.version_id
		WHERE v.box_id = ?1 AND f.provider = ?2 AND v.state <> 'revoked' AND (f.architecture = 'unknown') <> (?3 = 'unknown') LIMIT 1`,
		box, string(f.Provider), string(f.Architecture))
	switch err := row.Scan(&other); {
	case errors.Is(err, sql.ErrNoRows):
		return nil
	case err != nil:
		return err
	}
	return fmt.Errorf("%w: the box has %s files for %q; publish for that kind of architecture, or under another box name",
		boxregistry.ErrArchitectureMix, f.Provider, other)
}

// fill writes the rows that are missing and the file.
func (t transaction) fill(ctx context.Context, s slot, p boxregistry.Publication) error {
	var err error
	if s.box == 0 {
		s.box, err = t.insert(ctx, `INSERT INTO boxes (org, name, description, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?4)`,
			p.Box.Org(), p.Box.Box(), p.BoxDescription, t.now)
		if err != nil {
			return err
		}
	}
	if s.version == 0 {
		s.version, err = t.insert(ctx, `INSERT INTO box_versions (box_id, number, sort_key, description, created_at) VALUES (?, ?, ?, ?, ?)`,
			s.box, p.Version.String(), p.Version.SortKey(), p.VersionDescription, t.now)
		if err != nil {
			return err
		}
	}
	if err := t.putFile(ctx, s, p.File); err != nil {
		return err
	}
	return t.touch(ctx, s.box)
}

// putFile replaces the file of the slot. The first architecture of a provider becomes its default, as on Vagrant
// Cloud; one that asks for it takes the mark over; a replaced file keeps it.
func (t transaction) putFile(ctx context.Context, s slot, f boxregistry.File) error {
	var wasDefault, other bool
	row := t.QueryRowContext(ctx, `SELECT coalesce(max(id = ?1 AND is_default), 0), coalesce(max(id <> ?1 AND is_default), 0)
		FROM box_files WHERE version_id = ?2 AND provider = ?3`, s.file, s.version, string(f.Provider))
	if err := row.Scan(&wasDefault, &other); err != nil {
		return err
	}
	isDefault := f.Default || wasDefault || !other
	if isDefault && other {
		if _, err := t.ExecContext(ctx, `UPDATE box_files SET is_default = 0 WHERE version_id = ? AND provider = ?`,
			s.version, string(f.Provider)); err != nil {
			return err
		}
	}
	if _, err := t.ExecContext(ctx, `DELETE FROM box_files WHERE id = ?`, s.file); err != nil {
		return err
	}
	_, err := t.insert(ctx, `INSERT INTO box_files (version_id, provider, architecture, is_default, digest, size, unpacked_size,
		virtual_size, firmware, provenance, published_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		s.version, string(f.Provider), string(f.Architecture), isDefault, string(f.Digest), f.Size, f.UnpackedSize,
		f.VirtualSize, f.Firmware, cmp.Or(string(f.Provenance), "null"), t.now)
	return err
}

func (t transaction) insert(ctx context.Context, query string, args ...any) (int64, error) {
	res, err := t.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return res.LastInsertId()
}

// touch records that the box changed.
func (t transaction) touch(ctx context.Context, box int64) error {
	_, err := t.ExecContext(ctx, `UPDATE boxes SET updated_at = ? WHERE id = ?`, t.now, box)
	return err
}

// readTx runs do on one snapshot.
func readTx(ctx context.Context, pool *sql.DB, do func(*sql.Tx) error) error {
	tx, err := pool.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // nothing was written
	return do(tx)
}
