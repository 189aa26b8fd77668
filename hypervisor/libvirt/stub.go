//go:build nolibvirt

package libvirt

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/disk"
)

// Options configure a Driver; this build ignores them.
type Options struct {
	Install string
	URI     string
	Log     *slog.Logger
	Disks   disk.Tool
}

// Driver stands for the driver in a build without libvirt's C library.
type Driver struct{}

var _ hypervisor.Driver = (*Driver)(nil)

// New returns a driver that can only say that it was left out.
func New(Options) *Driver { return &Driver{} }

const leftOutRemedy = "build boxkiln without -tags nolibvirt, with cgo and libvirt's headers (Debian: apt-get install libvirt-dev)"

var errLeftOut = fmt.Errorf("this boxkiln was built without libvirt: %s: %w", leftOutRemedy, hypervisor.ErrUnsupported)

// Close does nothing.
func (*Driver) Close() error { return nil }

// Name returns "libvirt".
func (*Driver) Name() string { return Name }

// Probe says that the driver was left out.
func (*Driver) Probe(context.Context) (hypervisor.Capabilities, error) {
	return hypervisor.Capabilities{Problems: []hypervisor.Problem{{
		What: "this boxkiln was built without libvirt", Remedy: leftOutRemedy,
	}}}, nil
}

// Create fails.
func (*Driver) Create(context.Context, hypervisor.Spec) (hypervisor.Machine, error) {
	return nil, errLeftOut
}

// Open finds nothing.
func (*Driver) Open(_ context.Context, h hypervisor.Handle) (hypervisor.Machine, error) {
	return nil, fmt.Errorf("open %q: %w", h.Name, errLeftOut)
}

// List finds nothing.
func (*Driver) List(context.Context) ([]hypervisor.Handle, error) { return nil, errLeftOut }
