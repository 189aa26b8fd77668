package main

import (
	"context"
	"errors"
	"log/slog"
	"slices"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/aws"
	"github.com/boxkiln/boxkiln/hypervisor/libvirt"
	"github.com/boxkiln/boxkiln/hypervisor/virtualbox"
	"github.com/boxkiln/boxkiln/hypervisor/vmware"
	"github.com/boxkiln/boxkiln/internal/schema"
	"github.com/boxkiln/boxkiln/iso"
	"github.com/boxkiln/boxkiln/iso/seedhttp"
	"github.com/boxkiln/boxkiln/provisioners"
	"github.com/boxkiln/boxkiln/provisioners/file"
	"github.com/boxkiln/boxkiln/provisioners/shell"
	"github.com/boxkiln/boxkiln/provisioners/sshguest"
)

// newDrivers makes the drivers of a daemon. A new hypervisor is a line here and one in sources.
func newDrivers(log *slog.Logger) func(install string) map[string]hypervisor.Driver {
	return func(install string) map[string]hypervisor.Driver {
		return map[string]hypervisor.Driver{
			libvirt.Name: libvirt.New(libvirt.Options{Install: install, Log: log}),
		}
	}
}

// newParts is the table of everything that a template can name.
func newParts() build.Parts {
	return build.Parts{
		Sources:        sources(),
		Provisioners:   provisionerKinds(),
		PostProcessors: postProcessorKinds(),
		Communicator:   ssh(),
	}
}

// guestGroups are the arguments of every source that is reached over the network.
func guestGroups() []any {
	return []any{provisioners.CommunicatorArgs{}, provisioners.SSHArgs{}, provisioners.TemporaryKeyArgs{},
		provisioners.BastionArgs{}, provisioners.WinRMArgs{}}
}

// consoleGroups are the arguments of every source that installs at a console.
func consoleGroups() []any {
	return append(guestGroups(), iso.MediaArgs{}, iso.CDArgs{}, iso.FloppyArgs{}, seedhttp.Args{},
		hypervisor.BootArgs{}, hypervisor.ShutdownArgs{}, build.PublishArgs{})
}

func sources() map[string]build.SourceKind {
	kinds := map[string]build.SourceKind{
		"qemu": {
			Schema: schema.New("qemu", "Install or customise a machine under QEMU, run by libvirt.", append(consoleGroups(), libvirt.QemuGroups()...)...),
			Driver: libvirt.Name, Planner: libvirt.Planner{},
		},
		"libvirt": {
			Schema: schema.New("libvirt", "The same as qemu, with libvirt's own arguments.", append(consoleGroups(), libvirt.LibvirtGroups()...)...),
			Driver: libvirt.Name, Planner: libvirt.Planner{},
		},
	}
	const later = "Boxkiln has no driver for it yet; the other sources of the template are built"
	unbuilt := func(types []string, groups func(string) []any, shared func() []any) {
		for _, typ := range types {
			kinds[typ] = build.SourceKind{Schema: schema.Unbuilt(typ, "", later, append(shared(), groups(typ)...)...)}
		}
	}
	unbuilt(virtualbox.Types(), virtualbox.Groups, consoleGroups)
	unbuilt(vmware.Types(), vmware.Groups, consoleGroups)
	unbuilt(aws.Types(), aws.Groups, guestGroups)
	return kinds
}

func provisionerKinds() map[string]build.ProvisionerKind {
	kinds := map[string]build.ProvisionerKind{
		"shell": {Schema: schema.New("shell", "Run scripts in the guest.", shell.Args{}), New: shell.New, Check: shell.Check, Inputs: shell.Inputs},
		"file":  {Schema: schema.New("file", "Copy files into the guest or out of it.", file.Args{}), New: file.New, Check: file.Check, Inputs: file.Inputs},
	}
	return kinds
}

func postProcessorKinds() map[string]build.PostKind {
	kinds := map[string]build.PostKind{}
	return kinds
}

// ssh is the communicator.
func ssh() build.CommunicatorKind {
	return build.CommunicatorKind{
		Check:  func(c build.Communicator) error { return sshguest.Check(c.SSH, c.Bastion) },
		Inputs: func(c build.Communicator) []string { return sshguest.Inputs(c.SSH, c.Bastion) },
		Connect: func(ctx context.Context, r build.ConnectRequest) (provisioners.Guest, error) {
			guest, err := sshguest.Connect(ctx, sshguest.Config{
				SSH: r.Args.SSH, Bastion: r.Args.Bastion, PauseBeforeConnecting: r.Args.PauseBeforeConnecting.Or(0),
				PrivateKey: r.PrivateKey, Files: r.Files, AgentSocket: r.Args.AgentSocket,
			}, r.Find, func(o sshguest.Observation) { r.Report(o.String()) })
			if err != nil {
				return nil, err
			}
			return guest, nil
		},
		NewKey: func(typ string, bits int) (private, authorized string, err error) {
			key, err := sshguest.GenerateKey(typ, bits)
			return string(key.PrivatePEM), key.AuthorizedKey, err
		},
	}
}

var errDoctor = errors.New("something does not work here")

// driverNames lists the drivers in a stable order.
func driverNames(drivers map[string]hypervisor.Driver) []string {
	names := make([]string, 0, len(drivers))
	for name := range drivers {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
