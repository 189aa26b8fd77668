package vmware

import (
	"context"
	"errors"
	"fmt"

	"github.com/boxkiln/boxkiln/hypervisor"
)

// Probe looks for VMware's programs and at its networks.
func (d *Driver) Probe(ctx context.Context) (hypervisor.Capabilities, error) {
	var caps hypervisor.Capabilities
	t := d.tools
	if _, err := t.find(vmrun); err != nil {
		caps.Absent = true
		caps.Problems = []hypervisor.Problem{{What: "VMware is not installed: there is no vmrun",
			Remedy: "install Workstation Pro or Fusion, which are free, and see that vmrun is in PATH"}}
		return caps, nil
	}
	caps.Available = true
	version, err := t.version(ctx)
	if ctx.Err() != nil {
		return caps, context.Cause(ctx)
	}
	if err != nil {
		version = "VMware, of a version that it does not tell"
	}
	caps.Version = version
	caps.Notes = append(caps.Notes, fmt.Sprintf("vmrun is told that it runs %q", t.product()))
	if _, err := t.vmrun(ctx, "list"); err != nil {
		if ctx.Err() != nil {
			return caps, context.Cause(ctx)
		}
		caps.Available = false
		caps.Problems = append(caps.Problems, hypervisor.Problem{What: fmt.Sprintf("VMware does not tell what runs: %v", err),
			Remedy: "see that `vmrun list` works for the user that runs Boxkiln"})
	}
	caps.Problems = append(caps.Problems, d.toolProblems(t)...)
	caps.Problems = append(caps.Problems, d.networkProblems()...)
	if _, err := t.find(ovfTool); err != nil {
		caps.Notes = append(caps.Notes, "ovftool is not installed: Boxkiln writes ovf and ova itself")
	}
	return caps, nil
}

func (d *Driver) toolProblems(t tools) []hypervisor.Problem {
	if _, err := t.find(diskManager); errors.Is(err, ErrNotInstalled) {
		return []hypervisor.Problem{{What: "vmware-vdiskmanager is missing: no disk can be made",
			Remedy: "install Workstation Pro or Fusion; Player comes without it"}}
	}
	return nil
}

// networkProblems looks at the network that templates get unless they say otherwise.
func (d *Driver) networkProblems() []hypervisor.Problem {
	device, err := d.net.device(networkNAT)
	if err != nil {
		return []hypervisor.Problem{{What: err.Error(), Remedy: "see that VMware's configuration can be read"}}
	}
	address, err := d.net.hostAddress(device)
	if err != nil {
		return []hypervisor.Problem{{What: err.Error(), Remedy: "set up VMware's NAT network, or use network = \"bridged\""}}
	}
	if ours, err := isOurs(address); err == nil && !ours {
		return []hypervisor.Problem{{
			What:   fmt.Sprintf("no interface of this host has the address %s that VMware gives it on %s: guests may not reach what Boxkiln serves", address, device),
			Remedy: "connect the host to that network in the Virtual Network Editor, and start VMware's network services (vmware-networks --start)",
		}}
	}
	return nil
}
