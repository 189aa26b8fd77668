#!/usr/bin/env bash
# Makes qemu:///system answer, starting what it needs when it does not run.
#
# Works with systemd and without, and does nothing when all is well. Needs root
# (or sudo) only if something has to be started.
set -euo pipefail

say() { echo "libvirt: $*" >&2; }
die() {
	say "$*"
	exit 1
}
as_root() {
	if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -- "$@"; fi
}

# Where /dev/kvm can be opened but does not work, libvirtd doubts its knowledge
# of QEMU at every look-up and probes again: 30 to 85 s for a domain start that
# takes 0.3 s otherwise. On x86, KVM needs vmx or svm.
kvm_trap() {
	[ -e /dev/kvm ] && [ "$(uname -m)" = x86_64 ] && ! grep -qwE 'vmx|svm' /proc/cpuinfo
}

# The remedy is a device that libvirtd cannot open, put over /dev/kvm in
# libvirtd's own mount name space; systemd's InaccessiblePaths= does the same.
# /dev/null is no good: whatever opens counts as a KVM that may work.
hide_kvm='
	set -e
	mkdir -p /run/libvirt
	[ -e /run/libvirt/no-kvm ] || mknod -m 000 /run/libvirt/no-kvm c 0 0
	umount /dev/kvm 2>/dev/null || true
	mount --bind /run/libvirt/no-kvm /dev/kvm
'

have_systemd() { [ -d /run/systemd/system ]; }

daemon_pid() { pgrep -o -x "$1" || true; }

answers() { timeout 20 virsh -q -c qemu:///system version >/dev/null 2>&1; }

# kvm_hidden PID: whether that libvirtd cannot open the device.
kvm_hidden() { [ "$(as_root stat -Lc %a "/proc/$1/root/dev/kvm")" = 0 ]; }

own_name_space() { [ "$(as_root readlink "/proc/$1/ns/mnt")" != "$(readlink /proc/self/ns/mnt)" ]; }

# Where process 1 is no init that collects dead processes at once, libvirtd waits
# seconds for each QEMU that has ended. tini collects them in its place.
under_tini='exec setsid tini -s -- libvirtd </dev/null >/dev/null 2>&1'

start_without_systemd() {
	[ -n "$(daemon_pid virtlogd)" ] || as_root virtlogd -d
	if kvm_trap; then
		as_root unshare -m --propagation private sh -c "$hide_kvm $under_tini" &
	else
		as_root sh -c "$under_tini" &
	fi
}

start_with_systemd() {
	if kvm_trap; then
		as_root mkdir -p /etc/systemd/system/libvirtd.service.d
		printf '[Service]\nInaccessiblePaths=/dev/kvm\n' |
			as_root tee /etc/systemd/system/libvirtd.service.d/hide-kvm.conf >/dev/null
		as_root systemctl daemon-reload
		as_root systemctl restart libvirtd.service
	fi
	as_root systemctl start virtlogd.socket libvirtd.socket
}

# A libvirtd that runs already and sees the device. Running guests do not mind
# its restart.
mend_running() { # PID
	say "libvirtd (process $1) sees a /dev/kvm that this CPU cannot use: hiding it"
	if have_systemd; then
		start_with_systemd
	elif own_name_space "$1"; then
		as_root nsenter -t "$1" -m sh -c "$hide_kvm"
	else
		as_root kill "$1"
		while [ -e "/proc/$1" ]; do sleep 0.2; done
		start
	fi
}

start() {
	if have_systemd; then start_with_systemd; else start_without_systemd; fi
	for _ in $(seq 60); do
		answers && return
		sleep 0.5
	done
	die "qemu:///system does not answer; see: virsh -c qemu:///system version"
}

# vagrant-libvirt keeps boxes in the pool "default" and asks for its network.
ensure_pool() {
	local pool=/var/lib/libvirt/images
	virsh_ok pool-info default || {
		as_root mkdir -p "$pool"
		virsh_run pool-define-as default dir --target "$pool"
		virsh_run pool-autostart default
	}
	[ "$(virsh -c qemu:///system pool-info default | awk '/^State/ { print $2 }')" = running ] ||
		virsh_run pool-start default
}

# Only guests on a libvirt network need it, so a host that forbids bridges is
# told and not stopped.
ensure_network() {
	virsh_ok net-info default ||
		virsh_run net-define /usr/share/libvirt/networks/default.xml
	[ "$(virsh -c qemu:///system net-info default | awk '/^Active/ { print $2 }')" = yes ] ||
		virsh_run net-start default ||
		say "network default cannot be started here (bridges need NET_ADMIN)"
}

virsh_ok() { virsh -q -c qemu:///system "$@" >/dev/null 2>&1; }
virsh_run() { virsh -q -c qemu:///system "$@" >&2; }

command -v virsh >/dev/null || die "virsh is missing: run test/setup/packages.sh demo"
if answers; then
	pid=$(daemon_pid libvirtd)
	if kvm_trap && [ -n "$pid" ] && ! kvm_hidden "$pid"; then
		mend_running "$pid"
	fi
else
	say "starting"
	start
fi
ensure_pool
ensure_network
