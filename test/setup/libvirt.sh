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

# A /dev/kvm that opens but is unusable makes libvirtd probe QEMU anew at every
# domain start: 85 s instead of 0.4 s. On x86, KVM needs vmx or svm.
kvm_trap() {
	[ -e /dev/kvm ] && [ "$(uname -m)" = x86_64 ] && ! grep -qwE 'vmx|svm' /proc/cpuinfo
}

have_systemd() { [ -d /run/systemd/system ]; }

# sees_kvm PID: whether that process can see the real device.
sees_kvm() { as_root test -c "/proc/$1/root/dev/kvm" && [ "$(as_root stat -Lc %t:%T "/proc/$1/root/dev/kvm")" != 1:3 ]; }

daemon_pid() { pgrep -o -x "$1" || true; }

answers() { timeout 20 virsh -q -c qemu:///system version >/dev/null 2>&1; }

start_without_systemd() {
	[ -n "$(daemon_pid virtlogd)" ] || as_root virtlogd -d
	if kvm_trap; then
		as_root unshare -m --propagation private sh -c 'mount --bind /dev/null /dev/kvm; exec libvirtd -d'
	else
		as_root libvirtd -d
	fi
}

# Under systemd a drop-in hides the device; the socket units start the rest.
start_with_systemd() {
	if kvm_trap; then
		as_root mkdir -p /etc/systemd/system/libvirtd.service.d
		printf '[Service]\nBindPaths=/dev/null:/dev/kvm\n' |
			as_root tee /etc/systemd/system/libvirtd.service.d/hide-kvm.conf >/dev/null
		as_root systemctl daemon-reload
		as_root systemctl restart libvirtd.service
	fi
	as_root systemctl start virtlogd.socket libvirtd.socket
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
	if kvm_trap && [ -n "$pid" ] && sees_kvm "$pid"; then
		die "libvirtd (process $pid) sees a /dev/kvm that this CPU cannot use, so each guest would take 85 s to start: stop it and run this again"
	fi
else
	say "starting"
	start
fi
ensure_pool
ensure_network
