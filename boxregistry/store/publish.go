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
// ErrDeleted when the box was deleted and can still be restored; ErrChecksum when the maker declared other bytes;
// ErrArchitectureMix; blob.ErrNotFound when the bytes are not stored; *InvalidNameError.
func (r *Registry) Publish(ctx context.Context, p boxregistry.Publication) error {
	if err := errors.Join(validate(p), validateContent(p.File)); err != nil {
		return err
	}
	err := r.publish(ctx, p)
	if err != nil {
		return fmt.Errorf("publish %s %s for %s/%s: %w", p.Box, p.Version, p.File.Provider, p.File.Architecture, err)
	}
	return nil
}

// publish holds the digest from the look at the bytes to the row that names them, so that Collect cannot come between.
// The look is taken before the transaction: a store elsewhere may be slow, and all writers would wait.
func (r *Registry) publish(ctx context.Context, p boxregistry.Publication) error {
	unlock, err := r.digests.Lock(ctx, p.File.Digest)
	if err != nil {
		return err
	}
	defer unlock()
	missing := r.stored(ctx, p.File)
	return r.write(ctx, func(t transaction) error {
		s, err := t.place(ctx, p)
		if err != nil {
			return err
		}
		if s.digest == p.File.Digest && s.digest != "" {
			return errUnchanged
		}
		if missing != nil {
			return missing
		}
		return t.fill(ctx, s, p)
	})
}

// Check says what Publish would say of p, whose digest and size need not be known yet, and changes nothing. Call it
// before the long work that makes the file; another publisher may still come first.
func (r *Registry) Check(ctx context.Context, p boxregistry.Publication) error {
	if err := validate(p); err != nil {
		return err
	}
	err := readTx(ctx, r.db.R, func(tx *sql.Tx) error {
		t := transaction{Tx: tx, now: micros(r.now()), orgs: r.orgs}
		s, err := t.place(ctx, p)
		if err == nil && s.box == 0 {
			err = t.checkOrg(ctx, p.Box.Org())
		}
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
	if f.URL != "" {
		return nil // the bytes are not ours to judge
	}
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
	if f.URL != "" {
		return nil
	}
	info, err := r.blobs.Stat(ctx, f.Digest)
	if err == nil && info.Size != f.Size {
		err = fmt.Errorf("size %d: the stored blob %s has %d bytes", f.Size, f.Digest, info.Size)
	}
	return err
}

// slot is the place that a publication goes to; an id of zero means that the row does not exist yet.
type slot struct {
	box, version, file int64
	digest             blob.Digest // of the file that is there now; empty for one that is only declared
	declared           boxregistry.Checksum
	trash              int64 // a deleted draft of that number, which makes room
	revive             bool  // the box was deleted and purged, and comes back
}

// place is the slot of a file that has bytes, or will have.
func (t transaction) place(ctx context.Context, p boxregistry.Publication) (slot, error) {
	s, err := t.slot(ctx, p)
	if err == nil && s.box != 0 {
		err = t.architectures(ctx, s.box, 0, p.File)
	}
	return s, err
}

// slot finds the place of p and refuses it where p must not go.
func (t transaction) slot(ctx context.Context, p boxregistry.Publication) (slot, error) {
	var s slot
	row, err := t.findBox(ctx, p.Box)
	if err != nil || row.id == 0 {
		return s, err
	}
	s.box, s.revive = row.id, row.deleted
	return s, t.versionSlot(ctx, p, &s)
}

// versionSlot completes s with the version and the file that are there already.
func (t transaction) versionSlot(ctx context.Context, p boxregistry.Publication, s *slot) error {
	draft, err := t.freeVersion(ctx, s.box, p.Version)
	s.version, s.trash = draft.id, draft.trash
	if err != nil || s.version == 0 {
		return err
	}
	row := t.QueryRowContext(ctx, `SELECT id, digest, declared_type, declared_hex FROM box_files WHERE version_id = ?1 AND provider = ?2
		AND (architecture = ?3 OR architecture = ?4 AND digest = '') ORDER BY architecture = ?3 DESC LIMIT 1`,
		s.version, string(p.File.Provider), string(p.File.Architecture), string(p.DeclaredAs))
	switch err := row.Scan(&s.file, &s.digest, &s.declared.Type, &s.declared.Hex); {
	case errors.Is(err, sql.ErrNoRows):
		return nil
	case err != nil:
		return err
	case s.digest != "" && s.digest != p.File.Digest && (!p.Replace || p.Over != "" && p.Over != s.digest):
		return fmt.Errorf("%w: the draft %s has a %s/%s file (sha256 %s); replace it on purpose or choose another version",
			boxregistry.ErrExists, p.Version, p.File.Provider, p.File.Architecture, s.digest.Short())
	case s.declared.Type == "sha256" && p.File.Digest != "" && s.declared.Hex != string(p.File.Digest):
		return fmt.Errorf("%w: sha256 %s was declared and the file has %s; declare the right one, or publish that file",
			boxregistry.ErrChecksum, s.declared.Hex, p.File.Digest)
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

// architectures refuses the mixture that makes Vagrant 2.4.0 choose an old version (hashicorp/vagrant#13274). Files that are
// only declared do not count: a client that knows no architectures declares each as unknown, and its bytes tell. Nor do
// drafts in the trash, which make room. The file of the id moved is about to leave its place, and does not count either.
func (t transaction) architectures(ctx context.Context, box, moved int64, f boxregistry.File) error {
	var other string
	row := t.QueryRowContext(ctx, `SELECT f.architecture FROM box_files f JOIN box_versions v ON v.id = f.version_id
		WHERE v.box_id = ?1 AND f.provider = ?2 AND v.state <> 'revoked' AND (f.architecture = 'unknown') <> (?3 = 'unknown')
		AND (f.digest <> '' OR f.url <> '') AND NOT (v.state = 'draft' AND v.deleted_at IS NOT NULL) AND f.id <> ?4 LIMIT 1`,
		box, string(f.Provider), string(f.Architecture), moved)
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
		s.box, err = t.insertBox(ctx, boxregistry.Box{Name: p.Box, Description: p.BoxDescription, Private: p.Private})
	} else if s.revive {
		err = t.revive(ctx, s.box)
	}
	if err != nil {
		return err
	}
	if s.version == 0 {
		if s.version, err = t.insertVersion(ctx, s.box, s.trash, p.Version, p.VersionDescription); err != nil {
			return err
		}
	}
	if err := t.putFile(ctx, s, p.File); err != nil {
		return err
	}
	return errors.Join(t.touchVersion(ctx, s.version), t.touch(ctx, s.box),
		t.note(ctx, "file.publish", subject(p.Box, p.Version, p.File), string(p.File.Digest)))
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
	created := t.now
	row = t.QueryRowContext(ctx, `DELETE FROM box_files WHERE id = ? RETURNING created_at`, s.file)
	if err := row.Scan(&created); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	declared := f.Declared
	if declared == (boxregistry.Checksum{}) {
		declared = s.declared
	}
	_, err := t.insert(ctx, `INSERT INTO box_files (version_id, provider, architecture, is_default, digest, url, declared_type,
		declared_hex, size, unpacked_size, virtual_size, firmware, provenance, created_at, published_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		s.version, string(f.Provider), string(f.Architecture), isDefault, string(f.Digest), f.URL, declared.Type, declared.Hex,
		f.Size, f.UnpackedSize, f.VirtualSize, f.Firmware, cmp.Or(string(f.Provenance), "null"), created,
		sql.NullInt64{Int64: t.now, Valid: f.Complete()})
	return err
}
