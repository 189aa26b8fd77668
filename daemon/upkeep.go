package daemon

import (
	"cmp"
	"context"
	"time"

	"github.com/boxkiln/boxkiln/boxregistry"
)

const (
	// upkeepEvery is how often the daemon tidies its data directory.
	upkeepEvery = time.Hour
	// blobGrace is how long bytes that no version names are kept: longer than any publication takes between storing
	// them and naming them.
	blobGrace = 24 * time.Hour
	// partGrace is how long the beginning of a download is kept for whoever may resume it.
	partGrace = 7 * 24 * time.Hour
)

// DefaultPurgeAfter is how long a deleted box or version can be restored, unless somebody says otherwise.
const DefaultPurgeAfter = 7 * 24 * time.Hour

// downloadsKept is how long it is known who fetched what: three times as long as it keeps a version in use.
const downloadsKept = 3 * boxregistry.InUse

// chore is a part of the upkeep.
type chore struct {
	failed string // what to say when it fails; the next round tries again
	do     func(ctx context.Context) error
}

// chores are in their order: what retention deletes is purged later, and what is purged is collected.
func (d *Daemon) chores() []chore {
	return []chore{
		{"retention could not be applied", d.expire},
		{"deleted boxes could not be purged", d.purge},
		{"old downloads could not be forgotten", func(ctx context.Context) error {
			return d.registry.ForgetDownloads(ctx, d.cfg.Now().Add(-downloadsKept))
		}},
		{"abandoned uploads could not be removed", d.uploads.Sweep},
		{"unused blobs could not be removed", d.collect},
		{"abandoned downloads could not be removed", func(context.Context) error {
			return d.media.Sweep(d.cfg.Now().Add(-partGrace))
		}},
	}
}

// upkeep does the chores at once and then every hour, until ctx ends.
func (d *Daemon) upkeep(ctx context.Context) error {
	tick := time.NewTicker(upkeepEvery)
	defer tick.Stop()
	for {
		for _, c := range d.chores() {
			if err := c.do(ctx); err != nil && ctx.Err() == nil {
				d.cfg.Log.Error(c.failed, "err", err)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (d *Daemon) expire(ctx context.Context) error {
	gone, err := d.registry.Expire(ctx)
	for name, versions := range gone {
		d.cfg.Log.Info("retention deleted versions", "box", name, "versions", len(versions))
	}
	return err
}

func (d *Daemon) purge(ctx context.Context) error {
	n, err := d.registry.Purge(ctx, cmp.Or(d.cfg.PurgeAfter, DefaultPurgeAfter))
	if n > 0 {
		d.cfg.Log.Info("deleted versions purged", "versions", n)
	}
	return err
}

func (d *Daemon) collect(ctx context.Context) error {
	freed, err := d.registry.Collect(ctx, blobGrace)
	if freed > 0 {
		d.cfg.Log.Info("unused blobs removed", "bytes", freed)
	}
	return err
}
