package checkpoint

import (
	"cmp"
	"context"
	"database/sql"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/internal/faultpoint"
	"github.com/boxkiln/boxkiln/internal/sqlitedb"
)

//go:embed migrations/*.sql
var migrations embed.FS

// DefaultBudget is how much the checkpoints may take on disk unless somebody says otherwise, in bytes.
const DefaultBudget = 20 << 30

// Options of a store. Zero values choose the defaults.
type Options struct {
	// Budget is how many bytes the checkpoints may take on disk; 0 for DefaultBudget. What is in use is kept beyond it.
	Budget int64
	// MaxAge is how old a checkpoint may become; 0 for any age.
	MaxAge time.Duration
	// Seal and Open protect the temporary SSH key on disk; both are needed.
	Seal func(plain []byte) ([]byte, error)
	Open func(sealed []byte) ([]byte, error)
	Now  func() time.Time // time.Now
	Log  *slog.Logger     // slog.Default
}

// Store keeps checkpoints. Its methods may be called from several goroutines; only one Store may own a directory.
type Store struct {
	db    *sqlitedb.DB
	dir   string
	o     Options
	fault func(point string) error // faultpoint.Hit

	packing  chan struct{} // one memory is compressed at a time, for it takes two cores
	checking chan struct{} // one checkpoint is read in full at a time; others find that it was
	tidying  sync.Mutex
	plains   plains

	mu       sync.Mutex
	drafts   map[ID]*Draft
	verified map[ID]map[string]signature // files whose content was checked in this process
}

// Open brings the tables up to date and returns the store of the checkpoints in dir, which must exist. The database stays
// the caller's to close. Call Recover before anything else if a daemon may have died.
func Open(ctx context.Context, db *sqlitedb.DB, dir string, o Options) (*Store, error) {
	if o.Seal == nil || o.Open == nil {
		return nil, errors.New("a store of checkpoints needs functions to seal and open secrets")
	}
	if err := sqlitedb.Migrate(ctx, db, migrations, "checkpoint_version"); err != nil {
		return nil, err
	}
	o.Budget = cmp.Or(o.Budget, DefaultBudget)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return &Store{
		db: db, dir: dir, o: o, fault: faultpoint.Hit,
		packing: make(chan struct{}, 1), checking: make(chan struct{}, 1),
		drafts: map[ID]*Draft{}, verified: map[ID]map[string]signature{},
	}, nil
}

func (s *Store) path(id ID) string { return filepath.Join(s.dir, string(id)) }

func (s *Store) stamp() build.Stamp { return build.Stamp(s.o.Now()) }

// full makes a full disk below the database look like any other full disk.
func full(err error) error {
	if errors.Is(err, sqlitedb.ErrDiskFull) && !errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("%w: %w", err, syscall.ENOSPC)
	}
	return err
}

const columns = `c.id, c.state, c.meta, c.created, c.used, c.bytes, ` + users

func scanEntry(scan func(...any) error) (e Entry, err error) {
	var st state
	var meta string
	if err := scan(&e.ID, &st, &meta, &e.Created, &e.Used, &e.Bytes, &e.InUse); err != nil {
		return e, err
	}
	e.Layer = st != whole
	if meta == "" { // a draft that failed before anything was known of it
		return e, nil
	}
	return e, json.Unmarshal([]byte(meta), &e.Meta)
}

func entries(ctx context.Context, q querier, where string, args ...any) ([]Entry, error) {
	rows, err := q.QueryContext(ctx, `SELECT `+columns+` FROM checkpoints c WHERE `+where, args...)
	if err != nil {
		return nil, err
	}
	return sqlitedb.Collect(rows, func(r *sql.Rows) (Entry, error) { return scanEntry(r.Scan) })
}

// querier is a database or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// Lookup returns the checkpoints with that fingerprint, newest first. One that a build which has ended is still writing is
// waited for. It takes no lease: what it returns may be gone before Acquire.
func (s *Store) Lookup(ctx context.Context, fingerprint string) ([]Entry, error) {
	if err := s.awaitPromised(ctx, fingerprint); err != nil {
		return nil, err
	}
	return entries(ctx, s.db.R, `c.state = 'whole' AND c.fingerprint = ? ORDER BY c.seq DESC`, fingerprint)
}

// Nearest returns the newest checkpoint of that stage of a template's source, whatever its fingerprint: to tell what has
// changed since. It may be a layer.
func (s *Store) Nearest(ctx context.Context, label, template, stage string) (Entry, bool, error) {
	list, err := entries(ctx, s.db.R, `c.state IN ('whole', 'layer') AND c.meta <> '' AND c.label = ? AND c.template = ? AND c.stage = ?
		ORDER BY c.seq DESC LIMIT 1`, label, template, stage)
	if err != nil || len(list) == 0 {
		return Entry{}, false, err
	}
	return list[0], true, nil
}

// List returns all checkpoints, newest first, layers too.
func (s *Store) List(ctx context.Context) ([]Entry, error) {
	return entries(ctx, s.db.R, `c.state IN ('whole', 'layer', 'bad') ORDER BY c.seq DESC`)
}

// Get returns the checkpoint whose id, or whose id's or fingerprint's beginning, is name. Several with one fingerprint are
// no ambiguity: the newest is meant. The error is ErrNotFound or ErrAmbiguous.
func (s *Store) Get(ctx context.Context, name string) (Entry, error) {
	all, err := s.List(ctx)
	if err != nil {
		return Entry{}, err
	}
	var found []Entry
	for _, e := range all {
		if string(e.ID) == name {
			return e, nil
		}
		if name != "" && (strings.HasPrefix(string(e.ID), name) || strings.HasPrefix(e.Fingerprint, name)) {
			found = append(found, e)
		}
	}
	for _, e := range found {
		if e.Fingerprint != found[0].Fingerprint {
			return Entry{}, fmt.Errorf("%w: %q; among them %s and %s", ErrAmbiguous, name, found[0].ID, e.ID)
		}
	}
	if len(found) == 0 {
		return Entry{}, fmt.Errorf("%w: %q", ErrNotFound, name)
	}
	return found[0], nil
}
