package vmrun

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/boxkiln/boxkiln/test/sim/vmware/host"
	"github.com/boxkiln/boxkiln/test/sim/vmware/power"
	"github.com/boxkiln/boxkiln/test/sim/vmware/vmx"
)

// What vmrun says of the tools in a guest.
const (
	toolsUnknown   = "unknown"
	toolsInstalled = "installed"
	toolsRunning   = "running"
)

// toolsKey is the setting of a VMX by which a test says that its guest has tools: installed or running. Nobody looks into
// the guest. BOXKILN_SIM_VMWARE_TOOLS says it for all machines whose VMX says nothing.
const toolsKey = "guestinfo.boxkiln-sim.tools"

// tools is the state of the tools in the machine's guest.
func (c *call) tools() string {
	state := os.Getenv(host.EnvTools)
	if f, err := power.Config(c.home, c.vmx); err == nil && f.Has(toolsKey) {
		state = f.Get(toolsKey)
	}
	switch {
	case state != toolsInstalled && state != toolsRunning:
		return toolsUnknown
	case !power.Running(c.home, c.vmx) || c.faults.Has(host.ToolsDown):
		return toolsInstalled
	}
	return state
}

func checkTools(_ context.Context, c *call) error {
	if _, err := power.Open(c.vmx); err != nil {
		return err
	}
	state := c.tools()
	if state == toolsUnknown {
		return exit{exitUnknown, state}
	}
	fmt.Fprintln(c.out, state)
	return nil
}

// guestAddress prints what the tools say of the guest's address. With -wait it does not wait: the simulator's tools run
// from the start or never.
func guestAddress(_ context.Context, c *call) error {
	if _, err := power.Open(c.vmx); err != nil {
		return err
	}
	record, ok := c.home.Get(c.vmx)
	switch {
	case !ok || !power.Running(c.home, c.vmx):
		return fmt.Errorf("%w %s", power.ErrNotRunning, c.vmx)
	case c.tools() != toolsRunning:
		return fmt.Errorf("%w %s", power.ErrToolsDown, c.vmx)
	case c.faults.Has(host.AddressUnknown):
		fmt.Fprintln(c.out, "unknown")
	case c.faults.Has(host.AddressGateway):
		fmt.Fprintln(c.out, c.home.Gateway())
	case record.Address == "":
		return errAddress
	default:
		fmt.Fprintln(c.out, record.Address)
	}
	return nil
}

// installTools is refused: there is no image of the tools.
func installTools(_ context.Context, c *call) error {
	if !power.Running(c.home, c.vmx) {
		return fmt.Errorf("%w %s", power.ErrNotRunning, c.vmx)
	}
	return Error("A file was not found")
}

// The kinds of variables.
const (
	runtimeConfig = "runtimeConfig" // a setting of the VMX
	guestVar      = "guestVar"      // one that the guest sees, guestinfo.NAME
	guestEnv      = "guestEnv"      // of the environment in the guest
)

// variable is the setting that a variable of a kind is kept in.
func variable(kind, name string) (string, error) {
	switch kind {
	case runtimeConfig:
		return name, nil
	case guestVar:
		return "guestinfo." + name, nil
	case guestEnv:
		return "", power.ErrToolsDown
	}
	return "", Error("Unrecognized parameter: " + kind) // wording unverified
}

func (c *call) variable() (*vmx.File, string, error) {
	f, err := power.Config(c.home, c.vmx)
	if err != nil {
		return nil, "", err
	}
	if !power.Running(c.home, c.vmx) {
		return nil, "", fmt.Errorf("%w %s", power.ErrNotRunning, c.vmx)
	}
	key, err := variable(c.arg(0), c.arg(1))
	if errors.Is(err, power.ErrToolsDown) {
		err = fmt.Errorf("%w %s", err, c.vmx)
	}
	return f, key, err
}

// readVariable prints a value, which is an empty line for a variable that is not there.
func readVariable(_ context.Context, c *call) error {
	f, key, err := c.variable()
	if err != nil {
		return err
	}
	fmt.Fprintln(c.out, f.Get(key))
	return nil
}

// writeVariable writes what lasts beyond the machine's end. On a real host a variable of the guest does not.
func writeVariable(_ context.Context, c *call) error {
	f, key, err := c.variable()
	if err != nil {
		return err
	}
	f.Set(key, c.arg(2))
	return power.SetConfig(c.home, c.vmx, f)
}
