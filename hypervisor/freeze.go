package hypervisor

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
)

// Freezer is the ability of a Machine to be kept as it is at this moment, for others to start from.
type Freezer interface {
	// Freezable tells whether the running machine's memory can be kept. The error wraps ErrUnsupported and names what is
	// in the way, such as an NVMe disk. A machine whose memory cannot be kept can still be frozen while it is off.
	Freezable(ctx context.Context) error
	// Freeze keeps the machine in dir, which is absolute, empty, the caller's, and on the file system of the machine's
	// own directory: of a running machine memory, disks and firmware variables, of one that is off all but the memory.
	// From then on the frozen files do not change, and the machine goes on, running or off as before, on overlays of
	// its own: the frozen disks must stay where they are as long as it exists. What it is based on itself (the disks of
	// a checkpoint that it was thawed from) must stay too.
	//
	// After an error the machine goes on as if nothing had been asked and nothing that matters is in dir; if that could
	// not be had, the error wraps ErrCrashed.
	Freeze(ctx context.Context, dir string) (Frozen, error)
}

// Thawer is the ability of a Driver to make machines out of frozen ones.
type Thawer interface {
	// Fits tells whether a frozen machine can be thawed as spec here. The error says why not in words for the user, such
	// as "it was frozen by QEMU 7.1.0, and this host has 7.2.22".
	Fits(ctx context.Context, f Frozen, spec Spec) error
	// Thaw makes a new machine with spec's name, tag and directory out of the frozen one in dir, on fresh overlays; any
	// number may run at once. With memory it runs when Thaw returns; without, it is off and wants Start. It is reaped
	// like a created one: Thaw may be called for a handle that the ledger already knows, and a half-thawed machine is
	// found by Open and removed by Destroy. On failure nothing is left but the caller's. The memory is read from where
	// Frozen.MemoryPath says.
	Thaw(ctx context.Context, f Frozen, dir string, spec Spec) (Machine, error)
}

// Frozen describes a frozen machine. It is plain data; names are of files in the directory it was frozen into.
type Frozen struct {
	Driver string `json:"driver"`
	// Memory is the file with memory and devices; empty for a machine that was off.
	Memory string       `json:"memory,omitempty"`
	Disks  []FrozenDisk `json:"disks"`
	// Vars holds the UEFI variables; empty without.
	Vars string `json:"vars,omitempty"`
	Host Host   `json:"host"`
	// Detail is what else the driver needs; only it decodes it.
	Detail json.RawMessage `json:"detail,omitempty"`
}

// MemoryPath is where a Thaw as spec reads the memory of a machine frozen into dir, once and from its beginning to its end:
// what the caller put at MemoryPipe, because it keeps the frozen one in another form, or else the frozen one.
func (f Frozen) MemoryPath(dir string, spec Spec) string {
	own := f.MemoryPipe(spec)
	if _, err := os.Stat(own); err == nil {
		return own
	}
	return filepath.Join(dir, f.Memory)
}

// MemoryPipe is where the caller of a Thaw may put the memory itself: a file, or a named pipe.
func (f Frozen) MemoryPipe(spec Spec) string { return filepath.Join(spec.Dir, f.Memory) }

// FrozenDisk is one disk of a frozen machine. Its image may be an overlay of a disk frozen earlier.
type FrozenDisk struct {
	Name        string `json:"name"`
	Format      string `json:"format"`
	VirtualSize int64  `json:"virtual_size"` // bytes
}

// Host is what a frozen memory depends on. Two hosts that differ in any of it cannot share one.
type Host struct {
	Hypervisor  string `json:"hypervisor"`  // such as "QEMU 7.2.22, libvirt 9.0.0"
	Machine     string `json:"machine"`     // versioned machine type
	Accelerator string `json:"accelerator"` // kvm, tcg
	CPU         string `json:"cpu"`         // model as the guest sees it; under KVM with the host's
}
