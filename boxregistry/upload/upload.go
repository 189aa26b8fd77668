// Package upload receives box files.
//
// There are two ways in. [Receiver.Begin] opens a door for a file that was declared in a draft and returns a secret, and
// [Receiver.Put] takes the whole file in one request to whoever knows that secret: this is how the clients of Vagrant
// Cloud upload. [Receiver.Open] begins an upload that can be resumed: [Receiver.Append] takes its chunks, in as many
// requests and over as many days and restarts of the daemon as it needs, and [Receiver.Finish] ends it.
//
// Either way the bytes are hashed and inspected while they come, and published only when they have the announced
// checksum, are a good box, and are for the provider and the architecture of their place. Until then nobody can see
// anything of them. What fails leaves nothing behind, except that an upload which can be resumed keeps what has come; it
// goes a day after its last chunk. A place takes one upload at a time. The same bytes again are never an error.
package upload

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/blob"
	"github.com/boxkiln/boxkiln/boxregistry/boxfile"
	"github.com/boxkiln/boxkiln/internal/faultpoint"
)

// ErrUnknown says that no upload has that secret or id, or no longer. It wraps boxregistry.ErrNotFound.
var ErrUnknown = fmt.Errorf("%w: there is no such upload, or it has expired; begin it again", boxregistry.ErrNotFound)

// OffsetError says that a chunk does not begin where the upload is, or that an upload is not complete.
type OffsetError struct {
	Have int64 // bytes that have come: where the next chunk begins
	Size int64 // of the whole
}

// Error names the offset to go on from.
func (e *OffsetError) Error() string {
	return fmt.Sprintf("%d of %d bytes have come: go on from there", e.Have, e.Size)
}

// Life is how long an upload is waited for: after Begin, and after the last chunk of one that can be resumed.
const Life = 24 * time.Hour

// Registry is what the receiver needs to know of boxes.
type Registry interface {
	Box(ctx context.Context, name boxregistry.Name) (boxregistry.Box, error)
	Check(ctx context.Context, p boxregistry.Publication) error
	Publish(ctx context.Context, p boxregistry.Publication) error
	SetContents(ctx context.Context, d blob.Digest, s boxfile.Summary) error
}

// Rows remember the uploads that are open. A row that is not there is boxregistry.ErrNotFound.
type Rows interface {
	AddUpload(ctx context.Context, u boxregistry.Upload) error
	SaveUpload(ctx context.Context, u boxregistry.Upload) error
	DropUpload(ctx context.Context, key string) error
	Upload(ctx context.Context, key string) (boxregistry.Upload, error)
	Uploads(ctx context.Context) ([]boxregistry.Upload, error)
}

// Limits say what is taken.
type Limits struct {
	Size int64          // bytes of a box file at most; 0 for any
	Box  boxfile.Limits // what inspection lets pass
}

// Config is what a receiver is made of. Registry, Rows, Blobs and Dir are required.
type Config struct {
	Registry Registry
	Rows     Rows
	Blobs    blob.Store
	// Dir holds the uploads that can be resumed. It should be on the file system of the blobs, which then take the files over.
	Dir    string
	Limits Limits
	// Free is how many bytes there is room for; nil when nobody can tell.
	Free func() (int64, error)
	Now  func() time.Time // nil for time.Now
	Log  *slog.Logger     // nil for slog.Default
}

// Receiver receives box files. Its methods may be called from several goroutines. Make it with New and Close it.
type Receiver struct {
	Config
	fault   func(point string) error // faultpoint.Hit
	life    context.Context          // of the inspections that outlive a request
	end     context.CancelFunc
	running sync.WaitGroup

	mu       sync.Mutex
	issued   map[string]issued   // by place
	claims   map[string]*claim   // by place
	sessions map[string]*session // by id
	promised map[*promise]struct{}
}

// New makes a receiver and its directory.
func New(c Config) (*Receiver, error) {
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("uploads: %w", err)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	c.Log = cmp.Or(c.Log, slog.Default())
	r := &Receiver{Config: c, fault: faultpoint.Hit, issued: map[string]issued{}, claims: map[string]*claim{},
		sessions: map[string]*session{}, promised: map[*promise]struct{}{}}
	r.life, r.end = context.WithCancel(context.Background())
	return r, nil
}

// Close lets go of the uploads that can be resumed; the next receiver goes on with them. No other method may be running.
func (r *Receiver) Close() error {
	r.end()
	r.running.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	var all error
	for id, s := range r.sessions {
		all = errors.Join(all, s.unload())
		delete(r.sessions, id)
	}
	return all
}

// door finds the upload that a client knows the key of.
func (r *Receiver) door(ctx context.Context, key string, resumable bool) (boxregistry.Upload, error) {
	u, err := r.Rows.Upload(ctx, key)
	switch {
	case errors.Is(err, boxregistry.ErrNotFound):
		return u, ErrUnknown
	case err != nil:
		return u, err
	case u.Resumable != resumable || !r.Now().Before(u.Expires):
		return u, ErrUnknown
	}
	return u, nil
}

// place is what is in the registry where an upload goes.
type place struct {
	state boxregistry.State // of the version; empty when there is none
	file  boxregistry.File  // zero when there is none
}

// look finds the place of p.
func (r *Receiver) look(ctx context.Context, p boxregistry.Publication) (place, error) {
	box, err := r.Registry.Box(ctx, p.Box)
	if err != nil {
		return place{}, err
	}
	rel, ok := box.Release(p.Version)
	if !ok || !rel.Deleted.IsZero() {
		return place{}, nil
	}
	found := place{state: rel.State}
	for _, f := range rel.Files {
		if f.Provider != p.File.Provider {
			continue
		}
		if f.Architecture == p.File.Architecture {
			found.file = f
			break
		}
		if f.Digest != "" && p.File.Architecture == boxregistry.UnknownArchitecture {
			found.file = f // where an earlier Put moved it
		}
	}
	return found, nil
}

// slot names the place of p: two uploads with the same name are into the same place.
func slot(p boxregistry.Publication) string {
	return fmt.Sprintf("%s\x00%s\x00%s\x00%s", p.Box, p.Version.SortKey(), p.File.Provider, p.File.Architecture)
}
