package host

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Fault is something that goes wrong on real hosts and that a test can ask for.
type Fault string

// The faults that BOXKILN_SIM_FAULTS may name, separated by commas. Those that are about a running machine count if
// they are there when it is started.
const (
	StaleLock      Fault = "stale-lock"      // locks stay when the machine has ended, though nobody holds them
	LockHeld       Fault = "lock-held"       // =SECONDS (20): they go that late
	VNCNotServed   Fault = "vnc-not-served"  // the machine starts and nobody listens on the port of the VMX
	VNCTaken       Fault = "vnc-foreign"     // somebody else listens there, with another name and password
	LeaseMissing   Fault = "lease-missing"   // the DHCP server has heard nothing of the machine
	LeaseDuplicate Fault = "lease-duplicate" // and here it has several leases, of which only the last unexpired one is right
	ToolsDown      Fault = "tools-down"      // tools are installed, says the guest, and do not run
	AddressUnknown Fault = "address-unknown" // getGuestIPAddress says unknown
	AddressGateway Fault = "address-gateway" // or the address of the host
	DiskFull       Fault = "disk-full"       // whatever writes a disk has no room
	Canceled       Fault = "canceled"        // start fails with the message that tells nothing
	UnknownError   Fault = "unknown-error"   // or with the other one
	DiskNoise      Fault = "vdisk-noise"     // vmware-vdiskmanager complains on stderr and goes on
	Vanish         Fault = "vanish"          // =SECONDS (1): the machine dies like a killed process that long after its start
	SlowStop       Fault = "slow-stop"       // =SECONDS (3): power-off takes that long
)

var known = []Fault{
	StaleLock, LockHeld, VNCNotServed, VNCTaken, LeaseMissing, LeaseDuplicate, ToolsDown, AddressUnknown, AddressGateway,
	DiskFull, Canceled, UnknownError, DiskNoise, Vanish, SlowStop,
}

// Faults are those that were asked for, each with its seconds if it was given any.
type Faults map[Fault]string

// ReadFaults reads them from the environment. An unknown name is an error: a test that asks for nothing tests nothing.
func ReadFaults() (Faults, error) {
	faults := Faults{}
	for name := range strings.SplitSeq(os.Getenv(EnvFaults), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(name), "=")
		if name == "" {
			continue
		}
		if !slices.Contains(known, Fault(name)) {
			return nil, fmt.Errorf("%s: there is no fault %q; there are %v", EnvFaults, name, known)
		}
		if _, err := strconv.ParseFloat(value, 64); err != nil && value != "" {
			return nil, fmt.Errorf("%s: %s takes a number of seconds, not %q", EnvFaults, name, value)
		}
		faults[Fault(name)] = value
	}
	return faults, nil
}

// Has tells whether a fault was asked for.
func (f Faults) Has(fault Fault) bool {
	_, ok := f[fault]
	return ok
}

// Delay is how long a fault lasts: zero if it was not asked for, fallback if no time was given.
func (f Faults) Delay(fault Fault, fallback time.Duration) time.Duration {
	value, ok := f[fault]
	if !ok {
		return 0
	}
	seconds, err := strconv.ParseFloat(value, 64)
	if err != nil {
		return fallback
	}
	return time.Duration(seconds * float64(time.Second))
}
