package daemon

import (
	"context"
	"time"
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

// upkeep removes what nothing refers to any more, at once and then every hour, until ctx ends.
func (d *Daemon) upkeep(ctx context.Context) error {
	tick := time.NewTicker(upkeepEvery)
	defer tick.Stop()
	for {
		if freed, err := d.registry.Collect(ctx, blobGrace); err != nil && ctx.Err() == nil {
			d.cfg.Log.Error("unused blobs could not be removed", "err", err)
		} else if freed > 0 {
			d.cfg.Log.Info("unused blobs removed", "bytes", freed)
		}
		if err := d.media.Sweep(d.cfg.Now().Add(-partGrace)); err != nil {
			d.cfg.Log.Error("abandoned downloads could not be removed", "err", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}
