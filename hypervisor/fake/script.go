package fake

import (
	"errors"
	"fmt"
	"syscall"
	"time"
)

// Script tells what a guest does after power-on. The zero value boots at once and serves no SSH.
type Script struct {
	// BootDelay passes after each power-on before the guest does anything.
	BootDelay time.Duration `json:"boot_delay,omitempty"`
	// Install makes the first boot wait for a boot command with a URL, fetch it and take InstallTime.
	Install     bool          `json:"install,omitempty"`
	InstallTime time.Duration `json:"install_time,omitempty"`
	// InstallerSSH serves SSH with a host key of its own while the installer runs.
	InstallerSSH bool `json:"installer_ssh,omitempty"`
	// SSH serves SSH when the system is up, on every port that the host asks for.
	SSH bool `json:"ssh,omitempty"`
	// PowerOffAfter powers the guest off by itself that long after the system is up; 0 for never, less for at once.
	PowerOffAfter time.Duration `json:"power_off_after,omitempty"`
	// CrashAt ends the guest in an unclean way when it gets there.
	CrashAt Phase `json:"crash_at,omitempty"`
	// IgnoreACPI leaves the power button without effect.
	IgnoreACPI bool `json:"ignore_acpi,omitempty"`
	// NoMemory names what keeps the memory from being frozen, such as "nvme (disk 0)"; empty for nothing.
	NoMemory string `json:"no_memory,omitempty"`
	// FreezeTime passes when half of the files are frozen, and ThawTime when the machine is half-thawed.
	FreezeTime time.Duration `json:"freeze_time,omitempty"`
	ThawTime   time.Duration `json:"thaw_time,omitempty"`
	// Regions make the host a cloud: an export makes an image in each of them, and no file.
	Regions []string `json:"regions,omitempty"`
}

// Phase is how far a guest has come.
type Phase string

// The phases of a guest, in order.
const (
	PhaseBoot    Phase = "boot"    // after BootDelay
	PhaseFetched Phase = "fetched" // the seed is fetched
	PhaseReady   Phase = "ready"   // the system is up
)

// Faults are failures to come, a number of calls for each method that fails.
type Faults struct {
	Create, Start, Type, Export, Freeze, Thaw int
	// ExportDiskFull and FreezeDiskFull let that many exports and freezes end in the middle of a disk with ENOSPC.
	ExportDiskFull, FreezeDiskFull int
	// FreezeAfter is the number of freezes that are spared before the first one fails.
	FreezeAfter int
	// Err is what the failing calls return; nil means [ErrInjected].
	Err error
}

// ErrInjected is the error of a planned failure.
var ErrInjected = errors.New("planned failure")

func (f Faults) plus(g Faults) Faults {
	f.Create += g.Create
	f.Start += g.Start
	f.Type += g.Type
	f.Export += g.Export
	f.Freeze += g.Freeze
	f.Thaw += g.Thaw
	f.ExportDiskFull += g.ExportDiskFull
	f.FreezeDiskFull += g.FreezeDiskFull
	f.FreezeAfter += g.FreezeAfter
	if g.Err != nil {
		f.Err = g.Err
	}
	return f
}

// fault uses up one planned failure of the kind that pick points to.
func (h *Host) fault(what string, pick func(f *Faults) *int) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	left := pick(&h.faults)
	if *left <= 0 {
		return nil
	}
	*left--
	if h.faults.Err != nil {
		return fmt.Errorf("%s: %w", what, h.faults.Err)
	}
	return fmt.Errorf("%s: %w", what, ErrInjected)
}

// diskFull uses up one planned failure for want of space, of the kind that pick points to.
func (h *Host) diskFull(pick func(f *Faults) *int) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	left := pick(&h.faults)
	if *left <= 0 {
		return nil
	}
	*left--
	return syscall.ENOSPC
}

// spared uses up one freeze that does not fail.
func (h *Host) spared() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.faults.FreezeAfter <= 0 {
		return false
	}
	h.faults.FreezeAfter--
	return true
}
