package vmrun

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/boxkiln/boxkiln/test/sim/qemu"
	"github.com/boxkiln/boxkiln/test/sim/vmware/host"
	"github.com/boxkiln/boxkiln/test/sim/vmware/power"
)

// list prints the machines that run. One whose files are still held after its end is none of them.
func list(_ context.Context, c *call) error {
	records, err := c.home.All()
	if err != nil {
		return err
	}
	var running []string
	for _, r := range records {
		if power.Running(c.home, r.VMX) {
			running = append(running, r.VMX)
		}
	}
	fmt.Fprintf(c.out, "Total running VMs: %d\n", len(running))
	for _, vmx := range running {
		fmt.Fprintln(c.out, vmx)
	}
	return nil
}

func start(ctx context.Context, c *call) error {
	switch c.arg(0) {
	case "", "gui", "nogui": // there is no window either way
		return power.Start(ctx, c.home, c.faults, c.vmx)
	}
	return Error("Unrecognized parameter: " + c.arg(0)) // wording unverified
}

// patience is how long a guest may take to shut down, pollEvery how often those who wait for a file look again.
const (
	patience  = 5 * time.Minute
	pollEvery = 20 * time.Millisecond
)

func stop(ctx context.Context, c *call) error {
	g, err := c.guest(ctx)
	if err != nil {
		return err
	}
	defer g.Close()
	if err := sleep(ctx, c.faults.Delay(host.SlowStop, 3*time.Second)); err != nil {
		return err
	}
	if c.arg(0) == "hard" {
		return g.Quit(ctx)
	}
	if c.tools() != toolsRunning {
		return fmt.Errorf("%w %s", power.ErrToolsDown, c.vmx)
	}
	if err := errors.Join(g.PowerButton(ctx), g.Close()); err != nil { // others may have to stop it meanwhile
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return qemu.WaitEnd(ctx, c.home.Machine(c.vmx))
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// guest connects to the machine, which must run.
func (c *call) guest(ctx context.Context) (*qemu.Guest, error) {
	if _, err := power.Open(c.vmx); err != nil {
		return nil, err
	}
	return power.Guest(ctx, c.home, c.vmx)
}

// withGuest does something to the machine, which must run.
func withGuest(ctx context.Context, c *call, do func(*qemu.Guest) error) error {
	g, err := c.guest(ctx)
	if err != nil {
		return err
	}
	defer g.Close()
	return do(g)
}

func reset(ctx context.Context, c *call) error {
	return withGuest(ctx, c, func(g *qemu.Guest) error {
		if c.arg(0) != "hard" && c.tools() != toolsRunning {
			return fmt.Errorf("%w %s", power.ErrToolsDown, c.vmx)
		}
		return g.Reset(ctx)
	})
}

func pause(ctx context.Context, c *call) error {
	return withGuest(ctx, c, func(g *qemu.Guest) error { return g.Pause(ctx) })
}

func unpause(ctx context.Context, c *call) error {
	return withGuest(ctx, c, func(g *qemu.Guest) error { return g.Resume(ctx) })
}

// suspend is what the simulator cannot do: QEMU saves no machine whose disks are VMDK files.
func suspend(ctx context.Context, c *call) error {
	return withGuest(ctx, c, func(*qemu.Guest) error { return errNotSupported })
}
