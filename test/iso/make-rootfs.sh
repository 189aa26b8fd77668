#!/usr/bin/env bash
# Makes the guest's root file system as a tar archive, from Debian packages.
#
#   test/iso/make-rootfs.sh KERNEL-VERSION OUTPUT.tar
#
# BOXKILN_DEBIAN_MIRROR names another mirror than mmdebstrap's own choice.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
kernel=$1
out=$2

packages=$(sed 's/#.*//' "$here/packages.list" | paste -sd ' ' | xargs | tr ' ' ',')
options=()
while read -r line; do
	options+=(--dpkgopt="$line")
done < <(grep '^path-' "$here/dpkg.conf")

# The files of rootfs/ go in before the packages that read them are configured.
# What must not be the same in two machines goes out at the end.
mmdebstrap --quiet --variant=minbase --format=tar \
	--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr \
	--include="$packages,linux-image-$kernel" "${options[@]}" \
	--essential-hook="sync-in $here/rootfs /" \
	--customize-hook='chown -R 0:0 "$1/etc/systemd" "$1/etc/ssh" "$1/etc/apt" "$1/etc/tiny-initramfs"' \
	--customize-hook='chroot "$1" systemctl --quiet enable systemd-networkd.service' \
	--customize-hook="chroot \"\$1\" systemctl --quiet mask $(sed '/^#/d' "$here/masked-units.list" | xargs)" \
	--customize-hook='ln -sf /run/systemd/resolve/resolv.conf "$1/etc/resolv.conf"' \
	--customize-hook='rm -f "$1"/etc/ssh/ssh_host_*_key* "$1"/etc/hostname "$1"/var/lib/dbus/machine-id "$1"/var/log/*.log' \
	--customize-hook=': >"$1/etc/machine-id"' \
	bookworm "$out" ${BOXKILN_DEBIAN_MIRROR:+"$BOXKILN_DEBIAN_MIRROR"}
