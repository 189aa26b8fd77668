package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/boxkiln/boxkiln/boxregistry"
)

const uploadColumns = `key, resumable, org, name, version, provider, architecture, is_default, private, box_description,
	version_description, replace_digest, size, digest, received, hash, came, by_token, by_user, created_at, expires_at`

// AddUpload keeps an upload under its key. It returns ErrExists when there is one.
func (r *Registry) AddUpload(ctx context.Context, u boxregistry.Upload) error {
	return r.db.Tx(ctx, func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `INSERT INTO box_uploads (`+uploadColumns+`)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
			u.Key, u.Resumable, u.Box.Org(), u.Box.Box(), u.Version.String(), string(u.File.Provider), string(u.File.Architecture),
			u.File.Default, u.Private, u.BoxDescription, u.VersionDescription, string(u.Over), u.File.Size, string(u.File.Digest),
			u.Received, nonNil(u.Hash), string(u.Came), u.By, u.ByUser, micros(u.Created), micros(u.Expires))
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, fmt.Errorf("%w: this upload", boxregistry.ErrExists))
		}
		return nil
	})
}

// nonNil is b, or nothing where the driver would write NULL.
func nonNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// SaveUpload writes down how far an upload has come: Received, Hash, Came and Expires. It returns ErrNotFound.
func (r *Registry) SaveUpload(ctx context.Context, u boxregistry.Upload) error {
	return r.db.Tx(ctx, func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `UPDATE box_uploads SET received = ?, hash = ?, came = ?, expires_at = ? WHERE key = ?`,
			u.Received, nonNil(u.Hash), string(u.Came), micros(u.Expires), u.Key)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, fmt.Errorf("%w: this upload", boxregistry.ErrNotFound))
		}
		return nil
	})
}

// DropUpload forgets an upload. It is idempotent.
func (r *Registry) DropUpload(ctx context.Context, key string) error {
	return r.db.Tx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM box_uploads WHERE key = ?`, key)
		return err
	})
}

// Upload returns the upload with a key, or ErrNotFound. Whether it has expired is for the caller to look at.
func (r *Registry) Upload(ctx context.Context, key string) (boxregistry.Upload, error) {
	list, err := r.uploads(ctx, `WHERE key = ?`, key)
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("%w: this upload", boxregistry.ErrNotFound)
	}
	if err != nil {
		return boxregistry.Upload{}, err
	}
	return list[0], nil
}

// Uploads is every upload that is known, also those that have expired, the newest first.
func (r *Registry) Uploads(ctx context.Context) ([]boxregistry.Upload, error) {
	return r.uploads(ctx, `ORDER BY created_at DESC, key`)
}

func (r *Registry) uploads(ctx context.Context, rest string, args ...any) (list []boxregistry.Upload, err error) {
	rows, err := r.db.R.QueryContext(ctx, `SELECT `+uploadColumns+` FROM box_uploads `+rest, args...)
	err = each(rows, err, func() error {
		u, err := scanUpload(rows)
		list = append(list, u)
		return err
	})
	return list, err
}

func scanUpload(rows *sql.Rows) (boxregistry.Upload, error) {
	var u boxregistry.Upload
	var org, name, number string
	var created, expires sql.NullInt64
	err := rows.Scan(&u.Key, &u.Resumable, &org, &name, &number, &u.File.Provider, &u.File.Architecture, &u.File.Default, &u.Private,
		&u.BoxDescription, &u.VersionDescription, &u.Over, &u.File.Size, &u.File.Digest, &u.Received, &u.Hash, &u.Came, &u.By, &u.ByUser, &created, &expires)
	if err != nil {
		return u, err
	}
	u.Created, u.Expires = fromMicros(created), fromMicros(expires)
	u.Replace = u.Over != ""
	var nameErr, versionErr error
	u.Box, nameErr = boxregistry.ParseName(org + "/" + name)
	u.Version, versionErr = boxregistry.ParseVersion(number)
	return u, errors.Join(nameErr, versionErr)
}
