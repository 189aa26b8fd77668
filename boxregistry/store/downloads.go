package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/boxkiln/boxkiln/boxregistry"
)

// Downloaded counts whole files that clients fetched. It does not change the Revision: nothing that is rendered for clients
// shows counts. A version that is gone meanwhile is passed over.
func (r *Registry) Downloaded(ctx context.Context, list []boxregistry.Download) error {
	if len(list) == 0 {
		return nil
	}
	return r.db.Tx(ctx, func(tx *sql.Tx) error {
		t := transaction{Tx: tx, now: micros(r.now())}
		for _, d := range list {
			if err := t.downloaded(ctx, d); err != nil {
				return err
			}
		}
		return nil
	})
}

func (t transaction) downloaded(ctx context.Context, d boxregistry.Download) error {
	row, err := t.liveVersion(ctx, d.Box, d.Version)
	if errors.Is(err, boxregistry.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	at := micros(d.At)
	_, boxErr := t.ExecContext(ctx, `UPDATE boxes SET downloads = downloads + ? WHERE id = ?`, d.Count, row.box)
	_, versionErr := t.ExecContext(ctx, `UPDATE box_versions SET downloads = downloads + ?, last_used = max(coalesce(last_used, 0), ?) WHERE id = ?`,
		d.Count, at, row.id)
	_, err = t.ExecContext(ctx, `INSERT INTO box_downloads (version_id, provider, architecture, client, count, last_at) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET count = count + excluded.count, last_at = max(last_at, excluded.last_at)`,
		row.id, string(d.Provider), string(d.Architecture), d.Client, d.Count, at)
	return errors.Join(boxErr, versionErr, err)
}

// Downloads is who fetched files of a version, last one first. It returns ErrNotFound.
func (r *Registry) Downloads(ctx context.Context, name boxregistry.Name, v boxregistry.Version) (list []boxregistry.Download, err error) {
	err = readTx(ctx, r.db.R, func(tx *sql.Tx) error {
		row, err := transaction{Tx: tx}.liveVersion(ctx, name, v)
		if err != nil {
			return err
		}
		rows, err := tx.QueryContext(ctx, `SELECT provider, architecture, client, count, last_at FROM box_downloads
			WHERE version_id = ? ORDER BY last_at DESC, client`, row.id)
		return each(rows, err, func() error {
			d := boxregistry.Download{Box: name, Version: v}
			var at sql.NullInt64
			err := rows.Scan(&d.Provider, &d.Architecture, &d.Client, &d.Count, &at)
			d.At = fromMicros(at)
			list = append(list, d)
			return err
		})
	})
	return list, versioned("downloads of", name, v, err)
}

// ForgetDownloads removes who fetched what before a time; the counts stay.
func (r *Registry) ForgetDownloads(ctx context.Context, before time.Time) error {
	return r.db.Tx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM box_downloads WHERE last_at < ?`, micros(before))
		return err
	})
}
