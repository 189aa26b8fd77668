package store

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"golang.org/x/time/rate"

	"github.com/boxkiln/boxkiln/boxregistry/blob"
)

// ErrFsckRuns says that another check of the store has not ended.
var ErrFsckRuns = errors.New("a check of the box store runs already")

// FsckOptions say what a check does besides looking.
type FsckOptions struct {
	Repair bool  // put damaged blobs into quarantine
	Rate   int64 // bytes that are read in a second at most; 0 for no limit
}

// FsckKind is what is wrong with a blob.
type FsckKind string

// What can be wrong.
const (
	// FsckMissing: versions name it and the store does not have it. Uploading the same file again mends it.
	FsckMissing FsckKind = "missing"
	// FsckDamaged: its bytes do not have its sha256. Repairing puts it into quarantine; then it is missing.
	FsckDamaged FsckKind = "damaged"
	// FsckUnreadable: the store could not read it to its end. It stays where it is.
	FsckUnreadable FsckKind = "unreadable"
	// FsckUnreferenced: no version names it. That is no fault; it is collected when its grace is over.
	FsckUnreferenced FsckKind = "unreferenced"
)

// FsckFinding is one blob that is not as it should be.
type FsckFinding struct {
	Kind        FsckKind
	Digest      blob.Digest
	Size        int64    // bytes; as the versions say when it is missing
	Files       []string // of versions that name it: "org/box 1.0 libvirt/amd64"
	Detail      string   // what was found out, for people
	Quarantined bool
}

// FsckStep tells how far a check is, and what it found there.
type FsckStep struct {
	Done, Total int64        // bytes
	Finding     *FsckFinding // or nil
}

// FsckReport sums a check up.
type FsckReport struct {
	Blobs  int
	Bytes  int64            // of these
	Counts map[FsckKind]int // of findings
}

// Fsck reads every blob of the store and compares it with its sha256, and the store with what versions name. It calls tell
// after every piece it has read, and for every finding; an error of tell ends the check. The registry works meanwhile. It
// returns ErrFsckRuns when another check runs.
func (r *Registry) Fsck(ctx context.Context, o FsckOptions, tell func(FsckStep) error) (FsckReport, error) {
	if !r.checking.TryLock() {
		return FsckReport{}, ErrFsckRuns
	}
	defer r.checking.Unlock()
	c := newCheck(r, o, tell)
	err := c.run(ctx)
	return c.report, err
}

// fsckRead is how many bytes are read at once.
const fsckRead = 256 << 10

// check is a run of Fsck.
type check struct {
	*Registry
	options FsckOptions
	tell    func(FsckStep) error
	limit   *rate.Limiter // nil for no limit
	report  FsckReport
	step    FsckStep
	named   map[blob.Digest]FsckFinding // what versions name, not yet seen in the store
	buffer  []byte
}

func newCheck(r *Registry, o FsckOptions, tell func(FsckStep) error) *check {
	c := &check{Registry: r, options: o, tell: tell, report: FsckReport{Counts: map[FsckKind]int{}}, buffer: make([]byte, fsckRead)}
	if o.Rate > 0 {
		c.limit = rate.NewLimiter(rate.Limit(o.Rate), fsckRead)
	}
	return c
}

func (c *check) run(ctx context.Context) error {
	// The names first: whatever was named by then is stored.
	var err error
	if c.named, err = c.names(ctx); err != nil {
		return err
	}
	blobs, err := c.list(ctx)
	if err != nil {
		return err
	}
	for _, info := range blobs {
		f, named := c.named[info.Digest]
		delete(c.named, info.Digest)
		f.Digest, f.Size = info.Digest, info.Size
		if err := c.one(ctx, f, named); err != nil {
			return err
		}
	}
	return c.missing(ctx)
}

// list is all that is stored, and the work that is to be done.
func (c *check) list(ctx context.Context) (list []blob.Info, err error) {
	for info, err := range c.blobs.All(ctx) {
		if err != nil {
			return nil, err
		}
		list = append(list, info)
		c.step.Total += info.Size
	}
	c.report.Blobs, c.report.Bytes = len(list), c.step.Total
	return list, c.tell(c.step)
}

// names is what versions name.
func (c *check) names(ctx context.Context) (map[blob.Digest]FsckFinding, error) {
	named := map[blob.Digest]FsckFinding{}
	rows, err := c.db.R.QueryContext(ctx, `SELECT f.digest, f.size, b.org, b.name, v.number, f.provider, f.architecture
		FROM box_files f JOIN box_versions v ON v.id = f.version_id JOIN boxes b ON b.id = v.box_id WHERE f.digest <> ''
		UNION ALL SELECT digest, size, org, name, version, provider, architecture FROM mirror_files
		ORDER BY 3, 4, 5, 6, 7`)
	err = each(rows, err, func() error {
		var f FsckFinding
		var org, box, number, provider, arch string
		if err := rows.Scan(&f.Digest, &f.Size, &org, &box, &number, &provider, &arch); err != nil {
			return err
		}
		f.Files = append(named[f.Digest].Files, fmt.Sprintf("%s/%s %s %s/%s", org, box, number, provider, arch))
		named[f.Digest] = f
		return nil
	})
	return named, err
}

// one checks one blob.
func (c *check) one(ctx context.Context, f FsckFinding, named bool) error {
	before := c.step.Done
	seen, got, err := c.hash(ctx, f.Digest)
	c.step.Done = before + f.Size // also where it was shorter, or could not be read
	switch {
	case errors.Is(err, blob.ErrNotFound): // deleted since; if versions name it, it is missing
		if named {
			c.named[f.Digest] = f
		}
		return c.tell(c.step)
	case err != nil && ctx.Err() != nil, errors.As(err, new(tellError)):
		return err
	case err != nil:
		f.Kind, f.Detail = FsckUnreadable, err.Error()
		return c.found(f)
	case got != f.Digest:
		return c.damaged(ctx, f, seen, got)
	case !named:
		return c.unreferenced(ctx, f)
	}
	return c.tell(c.step)
}

// tellError is one that the listener wants to end the check with.
type tellError struct{ error }

func (e tellError) Unwrap() error { return e.error }

// hash reads a blob and tells what it saw.
func (c *check) hash(ctx context.Context, d blob.Digest) (seen blob.Info, got blob.Digest, err error) {
	r, seen, err := c.blobs.Open(ctx, d)
	if err != nil {
		return seen, "", err
	}
	defer r.Close()
	sum := sha256.New()
	for {
		n, err := r.Read(c.buffer)
		sum.Write(c.buffer[:n])
		c.step.Done += int64(n)
		if err == io.EOF {
			return seen, blob.Digest(hex.EncodeToString(sum.Sum(nil))), nil
		}
		if err == nil {
			err = c.pace(ctx, n)
		}
		if err != nil {
			return seen, "", err
		}
		if err := c.tell(c.step); err != nil {
			return seen, "", tellError{err}
		}
	}
}

// pace waits until n bytes more may have been read.
func (c *check) pace(ctx context.Context, n int) error {
	if c.limit == nil || n == 0 {
		return context.Cause(ctx)
	}
	return c.limit.WaitN(ctx, n)
}

// damaged reports a blob, and puts aside the bytes that were read, unless better ones were stored since.
func (c *check) damaged(ctx context.Context, f FsckFinding, seen blob.Info, got blob.Digest) error {
	f.Kind, f.Detail = FsckDamaged, fmt.Sprintf("%d bytes with the sha256 %s", seen.Size, got)
	if c.options.Repair {
		done, err := c.blobs.Quarantine(ctx, seen)
		if err != nil {
			return fmt.Errorf("put blob %s into quarantine: %w", f.Digest, err)
		}
		if !done {
			return c.tell(c.step)
		}
		f.Quarantined = true
		if err := c.write(ctx, func(t transaction) error {
			return t.note(ctx, "blob.quarantine", string(f.Digest), f.Detail)
		}); err != nil {
			return err
		}
	}
	return c.found(f)
}

func (c *check) unreferenced(ctx context.Context, f FsckFinding) error {
	used, err := c.referenced(ctx, f.Digest)
	if err != nil {
		return err
	}
	if used { // since the check began
		return c.tell(c.step)
	}
	f.Kind, f.Detail = FsckUnreferenced, "no version names it; it is removed when its grace is over"
	return c.found(f)
}

// missing reports what versions name and was not in the store, if that is still so.
func (c *check) missing(ctx context.Context) error {
	left := slices.SortedFunc(maps.Values(c.named), func(a, b FsckFinding) int { return cmp.Compare(a.Files[0], b.Files[0]) })
	for _, f := range left {
		_, err := c.blobs.Stat(ctx, f.Digest)
		if err == nil {
			continue // stored again
		}
		if !errors.Is(err, blob.ErrNotFound) {
			return err
		}
		if used, err := c.referenced(ctx, f.Digest); err != nil {
			return err
		} else if !used {
			continue // deleted since
		}
		f.Kind, f.Detail = FsckMissing, "upload the same file again"
		if err := c.found(f); err != nil {
			return err
		}
	}
	return nil
}

// found reports one finding.
func (c *check) found(f FsckFinding) error {
	c.report.Counts[f.Kind]++
	step := c.step
	step.Finding = &f
	return c.tell(step)
}
