package driver

import (
	"cmp"
	"encoding/json"
	"fmt"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/disk"
)

// Args are the driver's own template arguments. The tags are all that there is to say of them: package schema makes the checks of
// templates and the table in docs/template.md out of them. guest says how far a value reaches, for fingerprints.
type Args struct {
	CPUs        int    `json:"cpus" doc:"Number of processors. Default 1." guest:"yes"`
	Memory      int    `json:"memory" doc:"Memory in MiB. Default 512." guest:"yes"`
	DiskSize    string `json:"disk_size" doc:"Size of the disk, such as 10G. Default 40G." guest:"yes"`
	Accelerator string `json:"accelerator" doc:"tcg (default) or kvm." guest:"no"`
}

// Groups returns the driver's groups of arguments.
func Groups() []any { return []any{Args{}, hypervisor.OutputArgs{}} }

const (
	defaultAccelerator = "tcg" // works everywhere
	defaultMemory      = 512   // MiB, as Packer's qemu builder
	defaultDiskSize    = "40G"
)

// Planner turns template arguments into a Spec. It runs in the client, so it looks at nothing but the arguments.
type Planner struct{}

var _ hypervisor.Planner = Planner{}

// options are what only this driver reads of a Spec.
type options struct {
	Accelerator string `json:"accelerator" guest:"no"`
}

// Plan implements hypervisor.Planner. All mistakes are told at once.
func (Planner) Plan(args json.RawMessage) (hypervisor.Spec, error) {
	var a Args
	if err := json.Unmarshal(args, &a); err != nil {
		return hypervisor.Spec{}, fmt.Errorf("the arguments of the machine cannot be read: %w", err)
	}
	var checks hypervisor.Checks
	checks.Positive("cpus", a.CPUs)
	checks.Positive("memory", a.Memory)
	size, err := disk.ParseSize(cmp.Or(a.DiskSize, defaultDiskSize))
	checks.Problem(err)
	port, err := hypervisor.CommunicatorPort(args)
	checks.Problem(err)
	own, err := json.Marshal(options{checks.OneOf("accelerator", a.Accelerator, defaultAccelerator, "tcg", "kvm")})
	checks.Problem(err)
	spec := hypervisor.Spec{
		Arch: "amd64", CPUs: max(a.CPUs, 1), MemoryMiB: cmp.Or(a.Memory, defaultMemory),
		Disks:   []hypervisor.Disk{{Size: size, Format: disk.QCOW2, Interface: "ide"}},
		Network: hypervisor.Network{Model: "e1000"}, Options: own,
	}
	if port != 0 {
		spec.Network.Forward = []int{port}
	}
	return spec, checks.Err()
}
