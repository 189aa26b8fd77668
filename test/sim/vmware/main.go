// The simulator of VMware Workstation: one program that is vmrun, vmware-vdiskmanager, ovftool, vmware or vmware-vmx,
// depending on the name that it is called by. `make simulators` builds it into bin/sim under all five.
//
// VMware cannot be installed where Boxkiln's tests run. Behind the real command lines, messages and exit codes the
// simulator boots real guests under QEMU, from real VMDK files, with a real RFB server for the keyboard: so Boxkiln's
// driver and other people's clients, such as Packer, can be run to the end. What it claims about the product is
// taken from VMware's documents, from the sources of clients, and from transcripts in their issues; where none was
// found, the code says so.
//
// # What it keeps
//
// BOXKILN_SIM_VMWARE names the folder of the installation ($HOME/.boxkiln-sim/vmware unless set): etc-vmware is what
// a real host has in /etc/vmware, running has a folder for each machine with QEMU's files and the process's log.
// Beside a VMX are, as on a real host, vmware.log, .nvram, .vmsd, .vmxf, and folders .lck while it runs.
//
// # Where it is not like the product
//
//   - There is no network vmnet8. A guest's ports 22, 5985 and 5986 (BOXKILN_SIM_VMWARE_PORTS names others) are
//     forwarded from an address 127.8.N.x, which is what the lease says; ports below 1024 need root. The guest itself
//     sees QEMU's network, on which the host is 10.0.2.2, which is what dhcpd.conf says. The host-only network reaches
//     as far as the NAT one; bridged cards get no lease.
//   - The lease is written when the machine starts, not when the guest asks.
//   - Whether a guest has VMware Tools is said by its VMX (guestinfo.boxkiln-sim.tools = installed or running) or by
//     BOXKILN_SIM_VMWARE_TOOLS, not found out; without either, they are unknown. Commands in the guest are refused.
//   - lsilogic and buslogic are an LSI 53C895A for the guest (driver sym53c8xx), lsisas1068 is a 1068 (mptsas). With
//     UEFI all of SCSI is virtio-scsi, as Debian's OVMF boots from no other. e1000 is an 82545EM, a card without a model
//     a PCnet. There is no sound, USB or vmci. Serial ports go to files only.
//   - VNC listens on the loopback interface only, and calls itself QEMU.
//   - A machine whose process (vmware-vmx) is killed runs on, unseen, until it is started again.
//   - suspend is refused, so are snapshots of machines that run: QEMU saves no machine whose disks are VMDK files.
//     Snapshots keep the VMX, not the memory. A machine that was moved counts as copied, without a question.
//   - Compressed disks have no footer. Percentages are made up. The .nvram of a UEFI machine is OVMF's.
//
// # Faults
//
// BOXKILN_SIM_FAULTS is a list of things to go wrong, separated by commas; some take seconds, as in lock-held=5. They
// are the constants of package host: stale-lock, lock-held, vnc-not-served, vnc-foreign, lease-missing, lease-duplicate,
// tools-down, address-unknown, address-gateway, disk-full, canceled, unknown-error, vdisk-noise, vanish, slow-stop.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/boxkiln/boxkiln/test/sim/qemu"
	"github.com/boxkiln/boxkiln/test/sim/vmware/ovftool"
	"github.com/boxkiln/boxkiln/test/sim/vmware/power"
	"github.com/boxkiln/boxkiln/test/sim/vmware/vdiskmanager"
	"github.com/boxkiln/boxkiln/test/sim/vmware/vmrun"
)

// productVersion is what the product says of itself, on standard error.
const productVersion = "VMware Workstation 17.6.2 build-24409262 Release"

func main() {
	qemu.Supervise()
	power.Process()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, filepath.Base(os.Args[0]), os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the program of a name.
func run(ctx context.Context, name string, args []string, stdout, stderr io.Writer) int {
	switch name {
	case "vmrun":
		return vmrun.Main(ctx, args, stdout)
	case "vmware-vdiskmanager":
		return vdiskmanager.Main(ctx, args, stdout, stderr)
	case "ovftool":
		return ovftool.Main(ctx, args, stdout)
	case "vmware", "vmware-vmx":
		if len(args) == 1 && args[0] == "-v" {
			fmt.Fprintln(stderr, productVersion)
			return 0
		}
		fmt.Fprintf(stderr, "%s: the simulator has no window; it knows -v only\n", name)
		return 1
	}
	fmt.Fprintf(stderr, "the simulator of VMware does not know who %q is; it is built as vmrun, vmware-vdiskmanager, ovftool, vmware and vmware-vmx\n", name)
	return 1
}
