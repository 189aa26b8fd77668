package ovf

import (
	"fmt"

	"github.com/boxkiln/boxkiln/hypervisor/hardware"
)

// Losses tells in sentences what of m a descriptor of this flavour does not hold. A machine without losses is read back as it was
// written, up to what is a name only or made new at every import: names of controllers (VMware has none, VirtualBox gives one where there
// is none) and their spare ports, relatives of the guest system, lengths of files (VirtualBox), the UUIDs of machine and disks
// and the version of the virtual hardware (each of one product).
func Losses(m hardware.Machine, f Flavour) []string {
	if f == VirtualBox {
		return lossesVirtualBox(m)
	}
	return lossesVMware(m)
}

func lossesVirtualBox(m hardware.Machine) []string {
	var lost losses
	lost.when(m.NVRAM != "", "VirtualBox takes no UEFI variables from an OVF: the guest must start from \\EFI\\BOOT")
	lost.when(m.SecureBoot, "secure boot: VirtualBox keeps it in its UEFI variables, which an OVF does not carry")
	lost.when(m.CoresPerSocket != 0, "cores per socket: VirtualBox makes one socket")
	eachDrive(m, hardware.FloppyDrive, func(s slot, _ hardware.Bus, d hardware.Drive) {
		lost.when(d.File != "", "the medium %q in floppy drive %d", d.File, s.port)
	})
	for i, n := range m.NICs {
		lost.when(n.Network != "" && (n.Connection == hardware.NAT || n.Connection == hardware.Detached), "the network %q of card %d", n.Network, i)
	}
	return lost
}

func lossesVMware(m hardware.Machine) []string {
	var lost losses
	lost.when(m.Chipset != hardware.PIIX3, "the chipset %s: VMware has one of its own", m.Chipset)
	lost.when(len(m.Boot) > 0, "the boot order %v: VMware starts from the first disk that can", m.Boot)
	lost.when(m.RTCUTC, "the clock in UTC: the product that imports it decides")
	lost.when(len(m.Serial) > 0, "the serial ports: where they go is the host's matter")
	for i, n := range m.NICs {
		lost.when(n.Connection == hardware.Internal, "the internal network of card %d, which becomes host-only", i)
		lost.when(n.Connection == hardware.Detached, "card %d is connected to nothing, and becomes one with its cable out", i)
		lost.when(n.Network != "" && n.Connection != hardware.Named, "the network %q of card %d", n.Network, i)
	}
	for i, c := range m.Controllers {
		lost.when(c.Bus == hardware.Floppy && len(c.Drives) == 0, "controller %d, which has no floppy drive", i)
	}
	return lost
}

type losses []string

func (l *losses) when(lost bool, format string, args ...any) {
	if lost {
		*l = append(*l, fmt.Sprintf(format, args...))
	}
}
