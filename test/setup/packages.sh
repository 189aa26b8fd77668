#!/usr/bin/env bash
# Installs the Debian packages that a part of the project needs.
#
#   test/setup/packages.sh SET...     sets: build iso demo test axe
#
# Looks first and installs only what is missing, as root or through sudo. On a
# system without apt it names what is missing and exits 1.
set -euo pipefail

build="gcc libc6-dev make pkg-config libvirt-dev"
iso="cpio debian-installer-12-netboot-amd64 dosfstools e2fsprogs
	extlinux fdisk grub-common grub-efi-amd64-bin isolinux kmod
	libarchive-tools mmdebstrap mtools syslinux-common uidmap xorriso zstd"
demo="$build $iso curl jq libvirt-clients libvirt-daemon-system ovmf qemu-system-x86 qemu-utils tini"
test="$demo awscli bzip2 chromium dnsmasq-base genisoimage iproute2 ipxe libarchive-tools libxml2-utils lz4 minisign nginx-light openssh-client
	packer python3 rpm ruby swtpm swtpm-tools vagrant vagrant-libvirt virt-v2v xz-utils"
axe="npm" # only for test/setup/axe.sh, which asks for it where there is no other npm

die() {
	echo "packages: $*" >&2
	exit 1
}

as_root() {
	if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -- "$@"; fi
}

[ $# -gt 0 ] || die "name at least one set: build iso demo test axe"
wanted=()
for set; do
	case $set in
	build | iso | demo | test | axe) read -r -d '' -a more <<<"${!set}" || true ;;
	*) die "there is no set $set: use build iso demo test axe" ;;
	esac
	wanted+=("${more[@]}")
done

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
	die "this is not Debian; install what corresponds to: ${wanted[*]}"
fi

missing=()
for package in $(printf '%s\n' "${wanted[@]}" | sort -u); do
	state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
	[ "$state" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

# shellcheck source=/dev/null
. /etc/os-release
[ "${ID:-} ${VERSION_ID:-}" = "debian 12" ] ||
	die "this is ${PRETTY_NAME:-unknown}, not Debian 12; install what corresponds to: ${missing[*]}"

# Package lists may be absent (a fresh container) or name versions that are gone.
install_missing() {
	as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
		-o DPkg::Lock::Timeout=300 "${missing[@]}"
}
echo "packages: installing ${missing[*]}"
if ! apt-get install -s --no-install-recommends "${missing[@]}" >/dev/null 2>&1; then
	as_root apt-get update -q
fi
install_missing || {
	as_root apt-get update -q
	install_missing
}
