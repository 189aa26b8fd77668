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
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/blob"
	"github.com/boxkiln/boxkiln/internal/faultpoint"
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
	digests  blob.Locks               // of blobs that begin to be named, or may be deleted because nothing names them
	checking sync.Mutex               // held by Fsck
	fault    func(point string) error // faultpoint.Hit
}

// Auditor keeps the record of who changed what. Record writes into the transaction of the change, so that there is no
// change without a record and no record without its change; who did it is in ctx.
type Auditor interface {
	Record(ctx context.Context, tx *sql.Tx, action, subject, detail string) error
}

// Orgs knows the organisations that own boxes.
type Orgs interface {
	// EnsureOrg is asked inside the transaction that makes a box or moves it to another organisation: it makes the organisation
	// where the one who asks, in ctx, may do that, and returns auth.ErrNoOrg otherwise.
	EnsureOrg(ctx context.Context, tx *sql.Tx, name string) error
	// CheckOrg says what EnsureOrg would say, and makes nothing.
	CheckOrg(ctx context.Context, tx *sql.Tx, name string) error
}

// AskOrgs has new boxes belong to organisations that o knows. Call it before anything else.
func (r *Registry) AskOrgs(o Orgs) { r.orgs = o }

// Owners are the organisations that have boxes, deleted ones too.
func (r *Registry) Owners(ctx context.Context) ([]string, error) {
	rows, err := r.db.R.QueryContext(ctx, `SELECT min(org) FROM boxes GROUP BY org COLLATE NOCASE`)
	if err != nil {
		return nil, err
	}
	return sqlitedb.Collect(rows, func(rows *sql.Rows) (org string, err error) {
		err = rows.Scan(&org)
		return org, err
	})
}

// New brings the registry's tables up to date and returns the registry. The caller keeps db and blobs and closes them.
// With a nil auditor nothing is recorded.
func New(ctx context.Context, db *sqlitedb.DB, blobs blob.Store, auditor Auditor) (*Registry, error) {
	if err := sqlitedb.Migrate(ctx, db, migrations, "boxregistry_schema"); err != nil {
		return nil, err
	}
	return &Registry{db: db, blobs: blobs, now: time.Now, auditor: auditor, fault: faultpoint.Hit}, nil
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

// LinkBlob returns a URL from which a client can fetch a box file's bytes itself, or errors.ErrUnsupported when the store
// of the bytes has none, or blob.ErrNotFound.
func (r *Registry) LinkBlob(ctx context.Context, d blob.Digest, o blob.LinkOptions) (string, error) {
	links, ok := r.blobs.(blob.Linker)
	if !ok {
		return "", errors.ErrUnsupported
	}
	if _, err := r.blobs.Stat(ctx, d); err != nil {
		return "", err
	}
	return links.Link(ctx, d, o)
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

func micros(t time.Time) int64 { return t.UnixMicro() }

// fromMicros gives the zero time for NULL.
func fromMicros(v sql.NullInt64) time.Time {
	if !v.Valid {
		return time.Time{}
	}
	return time.UnixMicro(v.Int64).UTC()
}
