// Package store keeps the box registry: rows in SQLite, bytes in a blob store.
//
// A packer writes a box straight into [Registry.OpenWriter] and commits it; [Registry.Publish] then gives those bytes
// a place in a version, making box and version where they are missing; [Registry.Release] opens the version to
// clients. The bytes are durable before the row that names them, and every row is looked up and written inside one
// transaction that holds the write lock from its start, so of fifty publishers of one version exactly one wins and the
// others are told so. What is released never changes: Publish refuses, and triggers in the database refuse again.
package store

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/blob"
	"github.com/boxkiln/boxkiln/internal/sqlitedb"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Registry is the registry in one database and one blob store. Its methods may be called from several goroutines.
type Registry struct {
	db       *sqlitedb.DB
	blobs    blob.Store
	now      func() time.Time
	auditor  Auditor
	orgs     Orgs // nil: any organisation will do
	revision atomic.Uint64
}

// Auditor keeps the record of who changed what. Record writes into the transaction of the change, so that there is no
// change without a record and no record without its change; who did it is in ctx.
type Auditor interface {
	Record(ctx context.Context, tx *sql.Tx, action, subject, detail string) error
}

// Orgs knows the organisations that own boxes.
type Orgs interface {
	// EnsureOrg is asked inside the transaction that makes a box: it makes the organisation where the one who asks, in ctx, may do
	// that, and refuses the box otherwise.
	EnsureOrg(ctx context.Context, tx *sql.Tx, name string) error
}

// AskOrgs has new boxes belong to organisations that o knows. Call it before anything else.
func (r *Registry) AskOrgs(o Orgs) { r.orgs = o }

// New brings the registry's tables up to date and returns the registry. The caller keeps db and blobs and closes them.
// With a nil auditor nothing is recorded.
func New(ctx context.Context, db *sqlitedb.DB, blobs blob.Store, auditor Auditor) (*Registry, error) {
	if err := sqlitedb.Migrate(ctx, db, migrations, "boxregistry_schema"); err != nil {
		return nil, err
	}
	return &Registry{db: db, blobs: blobs, now: time.Now, auditor: auditor}, nil
}

// Revision changes with every change of the registry's rows, downloads excepted, so that what was rendered from them can
// be kept until then. Read it before the rows.
func (r *Registry) Revision() uint64 { return r.revision.Load() }

// OpenWriter begins a new box file: write it, Commit it, put the digest and size that Commit returns into a
// Publication. The caller must Close the writer.
func (r *Registry) OpenWriter(ctx context.Context) (blob.Writer, error) { return r.blobs.Create(ctx) }

// OpenBlob reads a box file's bytes; see blob.Store.
func (r *Registry) OpenBlob(ctx context.Context, d blob.Digest) (io.ReadSeekCloser, blob.Info, error) {
	return r.blobs.Open(ctx, d)
}

// Add stores what src holds and publishes it. A digest in p must be that of src; size and an empty digest are filled
// in. What cannot be published is refused before a byte is read.
func (r *Registry) Add(ctx context.Context, p boxregistry.Publication, src io.Reader) (boxregistry.File, error) {
	if err := r.Check(ctx, p); err != nil {
		return boxregistry.File{}, err
	}
	info, err := blob.Copy(ctx, r.blobs, src, p.File.Digest)
	if err != nil {
		return boxregistry.File{}, fmt.Errorf("%s %s: %w", p.Box, p.Version, err)
	}
	p.File.Digest, p.File.Size = info.Digest, info.Size
	return p.File, r.Publish(ctx, p)
}

// Collect deletes the blobs that no version names and that have been stored for at least grace, which covers those
// between Commit and Publish. It returns how many bytes it freed.
func (r *Registry) Collect(ctx context.Context, grace time.Duration) (freed int64, err error) {
	for info, err := range r.blobs.All(ctx) {
		if err != nil {
			return freed, err
		}
		if r.now().Sub(info.Stored) < grace {
			continue
		}
		n, err := r.collectOne(ctx, info)
		if err != nil {
			return freed, err
		}
		freed += n
	}
	return freed, nil
}

// collectOne deletes under the write lock, so that no Publish can begin to name the blob meanwhile.
func (r *Registry) collectOne(ctx context.Context, info blob.Info) (freed int64, err error) {
	err = r.db.Tx(ctx, func(tx *sql.Tx) error {
		var used bool
		row := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM box_files WHERE digest = ?)`, string(info.Digest))
		if err := row.Scan(&used); err != nil || used {
			return err
		}
		freed = info.Size
		return r.blobs.Delete(ctx, info.Digest)
	})
	return freed, err
}

func micros(t time.Time) int64 { return t.UnixMicro() }

// fromMicros gives the zero time for NULL.
func fromMicros(v sql.NullInt64) time.Time {
	if !v.Valid {
		return time.Time{}
	}
	return time.UnixMicro(v.Int64).UTC()
}
