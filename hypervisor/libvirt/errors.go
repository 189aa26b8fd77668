package libvirt

import (
	"fmt"

	"github.com/boxkiln/boxkiln/hypervisor"
)

// ConnectError says that a connection to libvirt cannot be had.
type ConnectError struct {
	URI    string
	Remedy string
	Err    error
}

func (e *ConnectError) Error() string {
	return fmt.Sprintf("no connection to libvirt at %s: %v: %s", e.URI, e.Err, e.Remedy)
}

// Unwrap returns hypervisor.ErrUnreachable and libvirt's own error.
func (e *ConnectError) Unwrap() []error { return []error{hypervisor.ErrUnreachable, e.Err} }
