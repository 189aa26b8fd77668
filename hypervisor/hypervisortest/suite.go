// Package hypervisortest is the conformance suite of the hypervisor port.
//
// A driver's test fills in a [Suite] and calls its Run. The suite knows no driver: it makes machines from the specs that
// it is given, drives them through the port and compares what comes back with the contract in package hypervisor. What a
// driver cannot do (a keyboard, a way to crash a guest, freezing) is left out of the Suite and skipped with a reason.
//
// Whatever is frozen in a test is compared, file by file, when all machines of that test are gone: it must be as it was.
package hypervisortest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/boxkiln/boxkiln/hypervisor"
)

// Suite describes a driver to the tests. New, Foreign, Ending and Lasting are required.
type Suite struct {
	// New returns a driver of installation A. Each call may return the same one or a new one over the same hypervisor,
	// as after a restart of the daemon. The test function closes it if that is needed.
	New func(t *testing.T) hypervisor.Driver
	// Foreign returns a driver of another installation over the same hypervisor.
	Foreign func(t *testing.T) hypervisor.Driver
	// Ending returns a spec, with a fresh Name and Dir and the tag of installation A, whose guest powers itself off
	// soon after it was started.
	Ending func(t *testing.T) hypervisor.Spec
	// Lasting is like Ending, for a guest that runs until it is stopped.
	Lasting func(t *testing.T) hypervisor.Spec
	// ForeignTag makes a spec belong to the installation of Foreign.
	ForeignTag func(spec hypervisor.Spec) hypervisor.Spec
	// Crash ends a running guest of Lasting in an unclean way, without using the port. Nil: skipped.
	Crash func(t *testing.T, m hypervisor.Machine)
	// GuestPort is a port in Lasting's Network.Forward; 0 skips the test of Guest.
	GuestPort int
	// Memory and Disk mark what a running guest of Lasting holds. Nil: the tests that need it are skipped.
	Memory, Disk *Marker
	// FrozenDir returns an empty directory that machines can be frozen into. It must outlive the test's machines. Nil:
	// t.TempDir.
	FrozenDir func(t *testing.T) string
	// Unfreezable is like Lasting, for a machine whose memory cannot be kept. Nil: skipped.
	Unfreezable func(t *testing.T) hypervisor.Spec
	// Format is what Export is asked for, and DiskFormat what the disks are then; both qcow2 if they are empty.
	Format, DiskFormat string
	// Content is a digest of what an exported disk holds, where two files with the same content may differ. Nil: of the file.
	Content func(t *testing.T, f hypervisor.File) string
	// ACPI says that the guest of Lasting powers itself off when it is asked to.
	ACPI bool
	// Timeout bounds each test; 5 min if it is 0.
	Timeout time.Duration
	// Parallel runs the tests at the same time.
	Parallel bool
}

// Marker changes something in a running guest, so that a test can tell it from others and from itself at another time.
type Marker struct {
	// Set waits until the guest holds the mark, which is one lower-case letter, in place of an earlier one.
	Set func(t *testing.T, m hypervisor.Machine, mark string)
	// Get returns the mark that was set last, in this machine or in the one that it was thawed from; empty for none.
	Get func(t *testing.T, m hypervisor.Machine) string
}

// Run runs every test of the suite as a subtest.
func (s Suite) Run(t *testing.T) {
	t.Helper()
	for _, c := range append(basics(), freezing()...) {
		t.Run(c.name, func(t *testing.T) {
			if s.Parallel {
				t.Parallel()
			}
			c.test(t, s.start(t))
		})
	}
}

// testCase is one test of the suite.
type testCase struct {
	name string
	test func(*testing.T, run)
}

// basics are for every driver.
func basics() []testCase {
	return []testCase{
		{"probe", testProbe},
		{"create is idempotent", testCreateTwice},
		{"create refuses a foreign name", testCreateForeign},
		{"open", testOpen},
		{"list", testList},
		{"states", testStates},
		{"start twice", testStartTwice},
		{"wait for power-off", testWaitClean},
		{"wait for a crash", testWaitCrash},
		{"wait for a destroyed machine", testWaitDestroyed},
		{"wait is cancelled", testWaitCancelled},
		{"shutdown", testShutdown},
		{"destroy", testDestroy},
		{"guest", testGuest},
		{"export", testExport},
		{"export of a running machine", testExportRunning},
		{"keyboard", testKeyboard},
		{"screen", testScreen},
		{"serial port", testSerial},
	}
}

// freezing is for drivers that can freeze machines.
func freezing() []testCase {
	return []testCase{
		{"freeze a running machine", testFreezeRunning},
		{"freeze twice", testFreezeTwice},
		{"freeze a machine that is off", testFreezeOff},
		{"freeze a thawed machine", testFreezeThawed},
		{"freeze into nowhere", testFreezeNowhere},
		{"freeze is cancelled", testFreezeCancelled},
		{"freeze what has no memory to keep", testUnfreezable},
		{"export after a freeze", testExportFrozen},
		{"thaw two at once", testThawTwo},
		{"thaw after the frozen machine is gone", testThawOrphan},
		{"thaw keeps memory", testThawMemory},
		{"thaw keeps disks", testThawDisks},
		{"thaw is idempotent", testThawTwice},
		{"thaw refuses a foreign name", testThawForeign},
		{"thaw is cancelled", testThawCancelled},
		{"thaw of damaged files", testThawDamaged},
		{"thaw with a memory of the caller", testThawMemoryPath},
		{"thawed machine is opened and destroyed", testThawOpen},
		{"thawed machine ends", testThawEnds},
		{"fits", testFits},
	}
}

// run is one test of the suite: its context and its driver.
type run struct {
	Suite
	ctx    context.Context
	driver hypervisor.Driver
}

func (s Suite) start(t *testing.T) run {
	timeout := s.Timeout
	if timeout == 0 {
		timeout = 5 * time.Minute
	}
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	t.Cleanup(cancel)
	return run{Suite: s, ctx: ctx, driver: s.New(t)}
}

// create makes a machine that is destroyed when the test ends.
func (r run) create(t *testing.T, spec hypervisor.Spec) hypervisor.Machine {
	t.Helper()
	m, err := r.driver.Create(r.ctx, spec)
	if err != nil {
		t.Fatalf("Create: %v", err)
	}
	r.adopt(t, m)
	return m
}

// adopt lets a machine be destroyed when the test ends.
func (r run) adopt(t *testing.T, m hypervisor.Machine) {
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.ctx), 5*time.Minute)
		defer cancel()
		if err := m.Destroy(ctx); err != nil {
			t.Errorf("Destroy when the test ended: %v", err)
		}
	})
}

// started makes a running machine.
func (r run) started(t *testing.T, spec hypervisor.Spec) hypervisor.Machine {
	t.Helper()
	m := r.create(t, spec)
	if err := m.Start(r.ctx); err != nil {
		t.Fatalf("Start: %v", err)
	}
	return m
}

func (r run) wantState(t *testing.T, m hypervisor.Machine, want hypervisor.State) {
	t.Helper()
	got, err := m.State(r.ctx)
	if err != nil || got != want {
		t.Fatalf("State = %q, %v; want %q", got, err, want)
	}
}

func wantError(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Fatalf("%s: error %v; want one that wraps %q", what, got, want)
	}
}
