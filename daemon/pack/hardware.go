package pack

import (
	"encoding/json"

	"github.com/boxkiln/boxkiln/hypervisor"
)

// HardwareOf is the hardware of the machine on which a guest was installed, as its box needs to know it.
func HardwareOf(spec hypervisor.Spec) Hardware {
	// What the drivers call their machine type and accelerator; other options of theirs are none of ours.
	var own struct {
		Machine     string `json:"machine"`
		Accelerator string `json:"accelerator"`
	}
	_ = json.Unmarshal(spec.Options, &own) // options of another shape name neither
	h := Hardware{CPUs: spec.CPUs, MemoryMiB: spec.MemoryMiB, Machine: own.Machine, NIC: spec.Network.Model}
	if own.Accelerator == "tcg" || own.Accelerator == "none" {
		h.Driver = "qemu" // as Packer's vagrant post-processor does
	}
	if len(spec.Disks) > 0 {
		h.DiskBus = spec.Disks[0].Interface
	}
	return h
}
