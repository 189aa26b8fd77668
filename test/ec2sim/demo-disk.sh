#!/usr/bin/env bash
# Makes a disk with the demo guest on it, as its installation CD would but in
# seconds and without a machine: an image for ec2sim, to be booted by UEFI.
#
#   test/ec2sim/demo-disk.sh INSTALLER.iso OUTPUT.raw
#
# It has a user admin, as Debian's own images for EC2, who may sudo and has no
# password and no key: ec2sim puts that of an instance there.
set -euo pipefail

# Owners of files need more than one user; a namespace has them too.
[ "$(id -u)" -eq 0 ] || exec unshare --map-root-user --map-auto "$0" "$@"

iso=$1
out=$2
work=$(mktemp -d "$out.XXXXXX")
trap 'rm -rf "$work"' EXIT
root=$work/root
mkdir "$root"

xorriso -osirrox on -indev "$iso" -extract /install "$work/install" >"$work/log" 2>&1 || {
	cat "$work/log" >&2
	exit 1
}
zstd -dcq "$work/install/rootfs.tar.zst" | tar -x --numeric-owner -C "$root" -f -

uuid=$(cat /proc/sys/kernel/random/uuid)
echo debian12 >"$root/etc/hostname"
printf '127.0.0.1 localhost\n127.0.1.1 debian12\n::1 localhost\n' >"$root/etc/hosts"
echo "UUID=$uuid / ext4 errors=remount-ro 0 0" >"$root/etc/fstab"
echo 'admin:x:1000:1000::/home/admin:/bin/bash' >>"$root/etc/passwd"
echo 'admin:x:1000:' >>"$root/etc/group"
echo 'admin:*:19000:0:99999:7:::' >>"$root/etc/shadow"
install -d -o 1000 -g 1000 -m 0755 "$root/home/admin"
echo 'admin ALL=(ALL) NOPASSWD: ALL' >"$root/etc/sudoers.d/admin"
chmod 0440 "$root/etc/sudoers.d/admin"
touch "$root/etc/.updated" "$root/var/.updated"
mkdir -p "$root/boot/grub"
cat >"$root/boot/grub/grub.cfg" <<-CONF
	linux /vmlinuz root=UUID=$uuid rw net.ifnames=0 console=ttyS0,115200
	initrd /initrd.img
	boot
CONF

# The same partitions as the installer's: 1 MiB, 8 MiB for EFI, the root.
truncate -s 700M "$work/ext4"
mke2fs -q -F -t ext4 -U "$uuid" -L boxkiln-root -m 1 -O '^64bit,^metadata_csum' -d "$root" "$work/ext4"
truncate -s 1G "$work/disk"
sfdisk --quiet --label dos "$work/disk" <<-TABLE
	start=2048, size=16384, type=ef
	start=18432, size=1433600, type=83, bootable
TABLE
zstd -dcq "$work/install/esp.img.zst" | dd of="$work/disk" bs=1M seek=1 conv=notrunc status=none
dd if="$work/ext4" of="$work/disk" bs=1M seek=9 conv=notrunc,sparse status=none
mv "$work/disk" "$out"
