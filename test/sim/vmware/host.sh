#!/usr/bin/env bash
# Runs a command where VMware Workstation seems to be installed.
#
#   test/sim/vmware/host.sh COMMAND...
#
# Packer looks for VMware's files in fixed places. In a mount name space of its
# own the command finds the simulator's there: etc-vmware of the folder that
# BOXKILN_SIM_VMWARE names as /etc/vmware, and vmware-vmx in /usr/lib/vmware/bin.
# Nothing of that stays on the host; what is in /mnt is hidden. Needs root; the
# programs of the simulator are those that PATH finds first (make simulators
# puts them into bin/sim).
set -euo pipefail

die() {
	echo "host.sh: $*" >&2
	exit 1
}

[ $# -gt 0 ] || die "name a command"
[ "$(id -u)" -eq 0 ] || die "a mount name space needs root"
[ -n "${BOXKILN_SIM_VMWARE:-}" ] || die "BOXKILN_SIM_VMWARE names no folder"
program=$(command -v vmware-vmx) || die "vmware-vmx is not in PATH: make simulators"
vmrun list >/dev/null || die "the simulator does not work: vmrun list" # makes the folder, too
export VMWARE_SIM_PROGRAM=$program

# Over /etc and /usr/lib lie folders that can be written to, in memory.
exec unshare -m --propagation private bash -c '
	set -e
	mount -t tmpfs vmware-sim /mnt
	for over in etc usr/lib; do
		upper=/mnt/${over//\//-}
		mkdir "$upper" "$upper.work"
		mount -t overlay overlay -o "lowerdir=/$over,upperdir=$upper,workdir=$upper.work" "/$over"
	done
	mkdir -p /etc/vmware /usr/lib/vmware/bin
	mount --bind "$BOXKILN_SIM_VMWARE/etc-vmware" /etc/vmware
	cp "$VMWARE_SIM_PROGRAM" /usr/lib/vmware/bin/vmware-vmx
	unset VMWARE_SIM_PROGRAM
	exec "$@"
' host.sh "$@"
