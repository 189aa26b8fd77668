package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/post"
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
	"github.com/boxkiln/boxkiln/provisioners/pause"
	"github.com/boxkiln/boxkiln/provisioners/shell"
	"github.com/boxkiln/boxkiln/provisioners/shelllocal"
	"github.com/boxkiln/boxkiln/provisioners/sshguest"
	"github.com/boxkiln/boxkiln/provisioners/unbuilt"
)

// newDrivers makes the drivers of a daemon. A new hypervisor is a line here and one in sources.
func newDrivers(log *slog.Logger) func(install string) map[string]hypervisor.Driver {
	return func(install string) map[string]hypervisor.Driver {
		return map[string]hypervisor.Driver{
			libvirt.Name:    libvirt.New(libvirt.Options{Install: install, Log: log}),
			virtualbox.Name: virtualbox.New(virtualbox.Options{Install: install, Log: log}),
			vmware.Name:     vmware.New(vmware.Options{Install: install, Log: log}),
			aws.Name:        aws.New(aws.Options{Install: install, Log: log}),
		}
	}
}

// newParts is the table of everything that a template can name.
func newParts() build.Parts {
	return build.Parts{
		Sources:        sources(),
		Provisioners:   provisionerKinds(),
		PostProcessors: postProcessorKinds(),
		DataSources:    map[string]*schema.Block{},
		Imports:        map[hypervisor.Package]build.ImportKind{hypervisor.PackageAMI: amazonImport("package_ami")},
		Communicator:   ssh(),
	}
}

// notRun is what is missing of provisioners and post-processors that only validate.
const notRun = "Boxkiln checks its arguments, but cannot run it yet"

// guestGroups are the arguments of every source that is reached over the network.
func guestGroups() []any {
	return []any{provisioners.CommunicatorArgs{}, provisioners.SSHArgs{}, provisioners.TemporaryKeyArgs{},
		provisioners.BastionArgs{}, provisioners.WinRMArgs{}, build.CacheArgs{}}
}

// consoleGroups are the arguments of every source that installs at a console.
func consoleGroups() []any {
	return append(guestGroups(), iso.MediaArgs{}, iso.CDArgs{}, iso.FloppyArgs{}, seedhttp.Args{},
		hypervisor.BootArgs{}, hypervisor.ShutdownArgs{}, hypervisor.PackageArgs{}, aws.PackageArgs{}, build.PublishArgs{})
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
	const noDriver = "Boxkiln has no driver for it yet; the other sources of the template are built"
	for _, typ := range aws.Types() {
		kinds[typ] = build.SourceKind{Schema: schema.Unbuilt(typ, "", noDriver, append(guestGroups(), aws.Groups(typ)...)...)}
	}
	for _, typ := range virtualbox.Types() {
		kinds[typ] = build.SourceKind{
			Schema: schema.New(typ, virtualbox.Doc(typ), append(consoleGroups(), virtualbox.Groups(typ)...)...),
			Driver: virtualbox.Name, Planner: virtualbox.Planner{Type: typ}, SourceFiles: virtualbox.SourceFiles,
			NoMedium: typ == virtualbox.TypeOVF || typ == virtualbox.TypeVM,
		}
	}
	for _, typ := range vmware.Types() {
		vmx := typ == vmware.TypeVMX
		kinds[typ] = build.SourceKind{
			Schema: schema.New(typ, vmware.Doc(typ), append(consoleGroups(), vmware.Groups(typ)...)...),
			Driver: vmware.Name, Planner: vmware.Planner{VMX: vmx}, SourceFiles: vmware.SourceFiles, NoMedium: vmx,
		}
	}
	kinds[aws.TypeEBS] = build.SourceKind{
		Schema: schema.New(aws.TypeEBS, "Start an instance of an image in Amazon EC2, and make an image of it.", append(append(guestGroups(), build.PublishArgs{}), aws.Groups(aws.TypeEBS)...)...),
		Driver: aws.Name, Planner: aws.Planner{}, NoMedium: true,
	}
	return kinds
}

func provisionerKinds() map[string]build.ProvisionerKind {
	kinds := map[string]build.ProvisionerKind{
		"shell": {Schema: schema.New("shell", "Run scripts in the guest.", shell.Args{}),
			New: shell.New, Check: shell.Check, Inputs: shell.Inputs, IgnoresModes: true},
		"file": {Schema: schema.New("file", "Copy files into the guest or out of it.", file.Args{}),
			New: file.New, Check: file.Check, Inputs: file.Inputs, Uncached: file.Uncached},
		"shell-local": {Schema: schema.New("shell-local", "Run scripts on the daemon's host.", shelllocal.Args{}),
			New: shelllocal.New, Check: shelllocal.Check, Inputs: shelllocal.Inputs, Uncached: shelllocal.Uncached},
		"sleep": {Schema: schema.New("sleep", "Wait.", pause.SleepArgs{}), New: pause.NewSleep, Check: pause.CheckSleep},
		"breakpoint": {Schema: schema.New("breakpoint", "Wait for the user.", pause.BreakpointArgs{}),
			New: pause.NewBreakpoint, Check: pause.CheckBreakpoint, Uncached: pause.UncachedBreakpoint},
	}
	for typ, groups := range unbuilt.Blocks() {
		kinds[typ] = build.ProvisionerKind{Schema: schema.Unbuilt(typ, "", notRun, groups...)}
	}
	return kinds
}

func postProcessorKinds() map[string]build.PostKind {
	kinds := post.Kinds()
	kinds["shell-local"] = build.PostKind{Schema: schema.New("shell-local", "Run scripts on the daemon's host.", shelllocal.Args{}),
		New: post.NewShellLocal(shelllocal.New), Check: shelllocal.Check, Inputs: shelllocal.Inputs}
	ami := amazonImport("")
	kinds["amazon-import"] = build.PostKind{Schema: aws.ImportSchema(), New: post.NewImport("amazon-import", aws.Name, aws.ImportFormat), Check: ami.Check, Import: &ami}
	for typ, groups := range post.Unbuilt() {
		kinds[typ] = build.PostKind{Schema: schema.Unbuilt(typ, "", notRun, groups...)}
	}
	return kinds
}

// amazonImport is how AMIs are made of disks that were built elsewhere.
func amazonImport(argument string) build.ImportKind {
	return build.ImportKind{Driver: aws.Name, Argument: argument, TouchesHost: aws.ImportTouchesHost,
		Check: func(args json.RawMessage) error { _, err := aws.ParseImport(args); return err }}
}

// ssh is the communicator.
func ssh() build.CommunicatorKind {
	return build.CommunicatorKind{
		Check:  func(c build.Communicator) error { return sshguest.Check(c.SSH, c.Bastion) },
		Inputs: func(c build.Communicator) []string { return sshguest.Inputs(c.SSH, c.Bastion) },
		Connect: func(ctx context.Context, r build.ConnectRequest) (provisioners.Guest, error) {
			guest, err := sshguest.Connect(ctx, sshguest.Config{
				SSH: r.Args.SSH, Bastion: r.Args.Bastion, PauseBeforeConnecting: r.Args.PauseBeforeConnecting.Or(0),
				PrivateKey: r.PrivateKey, Files: r.Files, AgentSocket: r.Args.AgentSocket, HostKey: r.HostKey,
			}, r.Find, observed(r))
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
