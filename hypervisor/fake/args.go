package fake

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/internal/schema"
)

// Args are the driver's own template arguments.
type Args struct {
	CPUs          int             `json:"cpus" doc:"Number of processors that the machine claims to have. Default 1." guest:"yes"`
	Memory        int             `json:"memory" doc:"Memory in MiB that it claims to have. Default 512." guest:"yes"`
	DiskSize      int64           `json:"disk_size" doc:"Size of its empty disk in MiB. Default 1." guest:"yes"`
	BootDelay     schema.Duration `json:"fake_boot_delay" doc:"How long the guest takes to boot." guest:"no"`
	InstallTime   schema.Duration `json:"fake_install_time" doc:"How long the installer takes after it has fetched its seed." guest:"no"`
	InstallerSSH  bool            `json:"fake_installer_ssh" doc:"Serve SSH with another host key while the installer runs." guest:"no"`
	NoSSH         bool            `json:"fake_no_ssh" doc:"Never serve SSH." guest:"no"`
	PowerOffAfter schema.Duration `json:"fake_power_off_after" doc:"Power off that long after the system is up." guest:"no"`
	CrashAt       string          `json:"fake_crash_at" doc:"Crash at boot, fetched or ready." guest:"no"`
	IgnoreACPI    bool            `json:"fake_ignore_acpi" doc:"Leave the power button without effect." guest:"no"`
	NoMemory      string          `json:"fake_no_memory" doc:"What keeps the memory of the machine from being frozen." guest:"no"`
	FreezeTime    schema.Duration `json:"fake_freeze_time" doc:"How long it takes to freeze the machine." guest:"no"`
	ThawTime      schema.Duration `json:"fake_thaw_time" doc:"How long it takes to thaw the machine." guest:"no"`
	Regions       []string        `json:"fake_regions" doc:"Regions of a cloud in which the machine becomes images, instead of files." guest:"artifact"`
}

// Groups returns the driver's groups of arguments.
func Groups() []any { return []any{Args{}} }

// Planner turns template arguments into a Spec. A template whose boot command holds a URL gets a guest that installs.
type Planner struct{}

var _ hypervisor.Planner = Planner{}

// defaultMemory is as small as that of Packer's qemu builder, in MiB.
const defaultMemory = 512

// Plan implements hypervisor.Planner.
func (Planner) Plan(args json.RawMessage) (hypervisor.Spec, error) {
	var a struct {
		Args
		hypervisor.BootArgs
	}
	if err := json.Unmarshal(args, &a); err != nil {
		return hypervisor.Spec{}, fmt.Errorf("the arguments of the machine cannot be read: %w", err)
	}
	if err := a.Args.check(); err != nil {
		return hypervisor.Spec{}, err
	}
	options, err := json.Marshal(a.Args.script(wantsSeed(a.BootArgs)))
	if err != nil {
		return hypervisor.Spec{}, err
	}
	const forward = 22
	return hypervisor.Spec{
		Arch: "amd64", CPUs: max(a.CPUs, 1), MemoryMiB: orDefault(a.Memory, defaultMemory),
		Disks:   []hypervisor.Disk{{Size: orDefault(a.DiskSize, 1) << 20, Format: "qcow2", Interface: "virtio"}},
		Network: hypervisor.Network{Model: "virtio", Forward: []int{forward}, HostAddress: "10.0.2.2"},
		Remote:  len(a.Regions) > 0, Options: options,
	}, nil
}

var _ hypervisor.Reacher = Planner{}

// Reaching implements hypervisor.Reacher. How long a guest takes for its part and where it fails is not what it is, as the
// arguments say; where it becomes an image is what the artifact is.
func (Planner) Reaching(options json.RawMessage, r schema.Reach) ([]schema.Value, string, error) {
	var s Script
	if err := json.Unmarshal(options, &s); err != nil {
		return nil, "", err
	}
	values, err := schema.Reaching(Args{Regions: s.Regions}, r)
	return values, "", err
}

func (a Args) check() error {
	var errs []error
	if a.CPUs < 0 || a.Memory < 0 || a.DiskSize < 0 {
		errs = append(errs, fmt.Errorf("cpus = %d, memory = %d, disk_size = %d: none of them can be negative", a.CPUs, a.Memory, a.DiskSize))
	}
	phases := []Phase{"", PhaseBoot, PhaseFetched, PhaseReady}
	if !slices.Contains(phases, Phase(a.CrashAt)) {
		errs = append(errs, fmt.Errorf("fake_crash_at = %q: use one of boot, fetched, ready", a.CrashAt))
	}
	return errors.Join(errs...)
}

func (a Args) script(install bool) Script {
	return Script{
		BootDelay: time.Duration(a.BootDelay), Install: install, InstallTime: time.Duration(a.InstallTime),
		InstallerSSH: a.InstallerSSH, SSH: !a.NoSSH, PowerOffAfter: time.Duration(a.PowerOffAfter),
		CrashAt: Phase(a.CrashAt), IgnoreACPI: a.IgnoreACPI,
		NoMemory: a.NoMemory, FreezeTime: time.Duration(a.FreezeTime), ThawTime: time.Duration(a.ThawTime), Regions: a.Regions,
	}
}

// wantsSeed tells whether a boot command makes an installer fetch something.
func wantsSeed(b hypervisor.BootArgs) bool {
	text := strings.Join(b.BootCommand, "")
	for _, step := range b.BootSteps {
		text += strings.Join(step, "")
	}
	return strings.Contains(text, "http://") || strings.Contains(text, "https://")
}

func orDefault[T int | int64](v, fallback T) T {
	if v == 0 {
		return fallback
	}
	return v
}
