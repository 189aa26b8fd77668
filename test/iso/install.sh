#!/bin/sh
# Installs the guest from the CD. It runs inside Debian's installer, called by
# d-i preseed/early_command, because the partitioner's own packages would have
# to be downloaded. It honours these answers of the preseed file:
#   netcfg/get_hostname  passwd/username  passwd/user-password
#   partman-auto/disk    preseed/late_command (the new system is in /target)
set -eu

cd_root=$(dirname "$0")
answer() { # QUESTION DEFAULT
	value=$(debconf-get "$1" 2>/dev/null) || value=
	echo "${value:-$2}"
}
say() {
	read -r uptime rest </proc/uptime
	for console in /dev/ttyS0 /dev/tty1; do
		echo "install: [$uptime] $*" 2>/dev/null >"$console" || true
	done
}

# A disk may show up a little later than the preseed file.
find_disk() {
	for attempt in 1 2 3 4 5 6 7 8 9 10; do
		for disk in "$(answer partman-auto/disk '')" \
			/dev/vda /dev/sda /dev/nvme0n1; do
			[ -b "$disk" ] && echo "$disk" && return
		done
		sleep 1
	done
	say "no disk found"
	return 1
}

# One small EFI system partition, the rest is the root file system.
partition() { # DISK
	sfdisk --quiet --label dos "$1" <<-TABLE
		start=2048, size=16384, type=ef
		type=83, bootable
	TABLE
	case $1 in *[0-9]) esp=${1}p1 root=${1}p2 ;; *) esp=${1}1 root=${1}2 ;; esac
	while [ ! -b "$root" ]; do sleep 1; done
}

make_filesystems() {
	zstd -dcq "$cd_root/esp.img.zst" >"$esp"
	# No 64bit and metadata_csum: extlinux does not read the first, and an
	# emulated processor has better things to do than the second.
	uuid=$(cat /proc/sys/kernel/random/uuid)
	mke2fs -q -F -t ext4 -U "$uuid" -L boxkiln-root -m 1 -O '^64bit,^metadata_csum' "$root"
	mkdir -p /target
	mount -t ext4 "$root" /target
}

unpack() { zstd -dcq "$cd_root/rootfs.tar.zst" | tar -x -C /target -f -; }

configure() {
	host=$(answer netcfg/get_hostname debian12)
	user=$(answer passwd/username vagrant)
	echo "$host" >/target/etc/hostname
	printf '127.0.0.1 localhost\n127.0.1.1 %s\n::1 localhost\n' "$host" >/target/etc/hosts
	cat >/target/etc/fstab <<-TABLE
		UUID=$uuid / ext4 errors=remount-ro 0 0
		/dev/sr0 /media/cdrom iso9660 ro,noauto,nofail 0 0
	TABLE
	mkdir -p /target/media/cdrom
	chroot /target useradd -m -s /bin/bash "$user"
	echo "$user:$(answer passwd/user-password vagrant)" | chroot /target chpasswd
	echo "$user ALL=(ALL) NOPASSWD: ALL" >"/target/etc/sudoers.d/$user"
	chmod 0440 "/target/etc/sudoers.d/$user"
	touch /target/etc/.updated /target/var/.updated
}

install_loaders() { # DISK
	args="root=UUID=$uuid rw net.ifnames=0 console=tty0 console=ttyS0,115200"
	mkdir -p /target/boot/extlinux /target/boot/grub
	cat >/target/boot/extlinux/extlinux.conf <<-CONF
		DEFAULT linux
		LABEL linux
		  LINUX /vmlinuz
		  INITRD /initrd.img
		  APPEND $args
	CONF
	cat >/target/boot/grub/grub.cfg <<-CONF
		linux /vmlinuz $args
		initrd /initrd.img
		boot
	CONF
	extlinux --install /target/boot/extlinux
	dd if="$cd_root/mbr.bin" of="$1" bs=440 count=1 conv=notrunc
}

disk=$(find_disk)
say "installing on $disk"
partition "$disk"
say "making file systems"
make_filesystems
say "unpacking"
unpack
say "configuring"
configure
say "installing boot loaders"
install_loaders "$disk"
late=$(answer preseed/late_command '')
[ -z "$late" ] || sh -c "$late"
say "writing out"
umount /target
sync
say "done, rebooting"
reboot -f
