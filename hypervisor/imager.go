package hypervisor

import (
	"context"
	"time"
)

// Imager is the ability of a Driver whose machines become images in a cloud (Spec.Remote). The caller writes down before an Export
// that there may be images, and forgets that when they are the user's.
type Imager interface {
	// RemoveImages removes whatever images Export made, or began to make, of the machine of a handle, in all regions, with all
	// that they stand on. It returns nil if there are none, or never were any. The machine need not exist any more.
	RemoveImages(ctx context.Context, h Handle) error
	// Patience is how long it may take until everything of a machine is gone.
	Patience() time.Duration
}
