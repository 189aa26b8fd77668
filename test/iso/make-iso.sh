#!/usr/bin/env bash
# Makes build/iso/debian12-mini.iso: Debian's own netboot installer and a small
# root file system on one CD that boots under BIOS and UEFI.
#
#   test/iso/make-iso.sh [OUTPUT.iso]
#
# Needs no root and no network once the root file system is cached. Does nothing
# when its inputs have not changed; the image appears whole or not at all.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
out=${1:-$top/build/iso/debian12-mini.iso}
cache=$top/build/cache
installer=/usr/lib/debian-installer/images/12/amd64/text/debian-installer/amd64
volume=BOXKILN_DEB12
root_label=boxkiln-root
# Answers that the installer needs before it can fetch the preseed file, and
# no time spent on what a test machine does not have.
append='vga=normal net.ifnames=0 ipv6.disable=1 hw-detect/firmware-lookup=never'

say() { echo "iso: $*" >&2; }
die() {
	say "$*"
	exit 1
}

# digest_of FILE|DIR...: one digest over names, modes and contents.
digest_of() {
	find "$@" -type f -printf '%m %p\n' | LC_ALL=C sort | while read -r mode file; do
		echo "$mode ${file#"$top"/} $(sha256sum <"$file")"
	done | sha256sum | cut -c1-16
}

need_tools() {
	local tool missing=()
	for tool in mmdebstrap bsdtar cpio zstd depmod xorriso mcopy mkfs.vfat grub-mkstandalone sfdisk mke2fs extlinux ldd; do
		command -v "$tool" >/dev/null || missing+=("$tool")
	done
	[ -e "$installer/linux" ] || missing+=(debian-installer-12-netboot-amd64)
	[ -e /usr/lib/ISOLINUX/isolinux.bin ] || missing+=(isolinux)
	[ ${#missing[@]} -eq 0 ] || die "missing: ${missing[*]}; run test/setup/packages.sh demo"
}

installer_kernel() {
	bsdtar -tf "$installer/initrd.gz" 'lib/modules/*/modules.order' | cut -d/ -f3
}

# The guest's root file system, kept in the cache: it is the only slow part and
# the only one that downloads.
make_rootfs() {
	local key
	key=$(digest_of "$here/packages.list" "$here/dpkg.conf" "$here/rootfs" \
		"$here/masked-units.list" "$here/make-rootfs.sh")-$kernel
	rootfs=$cache/rootfs-$key.tar
	[ -e "$rootfs" ] && return
	say "making the root file system (a minute)"
	if ! "$here/make-rootfs.sh" "$kernel" "$rootfs.part" >"$cache/rootfs.log" 2>&1; then
		tail -n 30 "$cache/rootfs.log" >&2
		die "the root file system could not be made; the whole log is in $cache/rootfs.log"
	fi
	mv "$rootfs.part" "$rootfs"
}

# Debian's initrd, in English and without its modules, then a second archive
# with the modules that hypervisors need and the tools of the installation. The
# smaller the better: a BIOS under TCG reads a few megabytes a second.
make_initrd() {
	local extra=$work/extra
	mkdir -p "$extra"
	bsdtar -cf "$work/main.cpio" --format newc --exclude 'lib/modules/*' \
		--exclude '*brltty*' --exclude '*alsa*' --exclude 'usr/lib/libasound*' \
		--exclude sbin/wpa_supplicant @"$installer/initrd.gz"
	bsdtar -xf "$work/main.cpio" -C "$extra" 'var/lib/dpkg/info/*.templates'
	drop_translations "$extra"/var/lib/dpkg/info/*.templates
	add_modules "$extra"
	add_tools "$extra" sfdisk mke2fs extlinux zstd
	(cd "$extra" && find . | LC_ALL=C sort | cpio -o -H newc -R 0:0 --quiet) >"$work/extra.cpio"
	cat "$work/main.cpio" "$work/extra.cpio" | zstd -q -19 -T0 --check >"$work/iso/install/initrd"
}

# drop_translations FILE...: the installer's questions in English only. It reads
# and writes all of them again and again, which takes a minute under TCG.
drop_translations() {
	local file
	for file; do
		awk '!/^ / { drop = /^[A-Za-z_]+-[^ :]*\.UTF-8:/ } !drop' "$file" >"$work/templates"
		cp "$work/templates" "$file"
	done
}

# add_modules DIR: the listed modules of the guest's kernel, which is the
# installer's too, and all that they depend on.
add_modules() {
	local dir=$1 src=$work/root/usr module file
	mkdir -p "$work/root"
	bsdtar -xf "$rootfs" -C "$work/root" ./usr/lib/modules
	sed 's/#.*//' "$here/boot/modules.list" | xargs -n 1 | while read -r module; do
		modprobe -d "$src" -S "$kernel" --show-depends "$module"
	done | awk '$1 == "insmod" { print $2 }' | sort -u | while read -r file; do
		install -D -m 0644 "$file" "$dir/${file#"$src"/}"
	done
	depmod -b "$dir" "$kernel" 2>&1 | grep -v "could not open modules\." >&2 || true
}

# add_tools DIR NAME...: host programs with their own loader and libraries, as
# those of the installer are cut down.
add_tools() {
	local dir=$1 name path lib
	shift
	mkdir -p "$dir/opt/tools/lib" "$dir/opt/tools/bin" "$dir/usr/bin"
	for name; do
		path=$(command -v "$name")
		cp -L "$path" "$dir/opt/tools/bin/$name"
		for lib in $(ldd "$path" | grep -o '/[^ ]*'); do
			cp -L "$lib" "$dir/opt/tools/lib/"
		done
		printf '#!/bin/sh\nexec /opt/tools/lib/ld-linux-x86-64.so.2 --library-path /opt/tools/lib /opt/tools/bin/%s "$@"\n' \
			"$name" >"$dir/usr/bin/$name"
		chmod 0755 "$dir/usr/bin/$name"
	done
}

# make_efi CONFIG OUTPUT: a GRUB that carries its configuration.
make_efi() {
	local modules='part_msdos part_gpt iso9660 fat ext2 linux search search_label configfile normal echo ls all_video'
	grub-mkstandalone --format x86_64-efi --output "$2" --compress xz \
		--install-modules "$modules" --modules "$modules" --locales '' --fonts '' --themes '' \
		"boot/grub/grub.cfg=$1" 2>/dev/null
}

# make_fat KIB OUTPUT EFI: a FAT image that holds \EFI\BOOT\BOOTX64.EFI.
make_fat() {
	rm -f "$2"
	mkfs.vfat -n EFI -i 12DEB12D -C "$2" "$1" >/dev/null
	mmd -i "$2" ::/EFI ::/EFI/BOOT
	mcopy -i "$2" "$3" ::/EFI/BOOT/BOOTX64.EFI
}

make_loaders() {
	local iso=$work/iso expand="s|@APPEND@|$append|; s|@LABEL@|$volume|; s|@ROOTLABEL@|$root_label|"
	mkdir -p "$iso/isolinux"
	cp /usr/lib/ISOLINUX/isolinux.bin /usr/lib/syslinux/modules/bios/ldlinux.c32 "$here/boot/boot.msg" "$iso/isolinux/"
	sed "$expand" "$here/boot/isolinux.cfg" >"$iso/isolinux/isolinux.cfg"
	sed "$expand" "$here/boot/grub-iso.cfg" >"$work/grub-iso.cfg"
	sed "$expand" "$here/boot/grub-disk.cfg" >"$work/grub-disk.cfg"
	make_efi "$work/grub-iso.cfg" "$work/iso.efi"
	make_efi "$work/grub-disk.cfg" "$work/disk.efi"
	make_fat 6144 "$iso/install/efi.img" "$work/iso.efi"
	make_fat 8192 "$work/esp.img" "$work/disk.efi"
	zstd -q -19 "$work/esp.img" -o "$iso/install/esp.img.zst"
	cp /usr/lib/syslinux/mbr/mbr.bin "$iso/install/"
}

make_image() {
	mkdir -p "$work/iso/install" "$work/iso/extra"
	cp "$installer/linux" "$here/install.sh" "$work/iso/install/"
	cp -r "$here/extra/." "$work/iso/extra/"
	zstd -q -12 -T0 "$rootfs" -o "$work/iso/install/rootfs.tar.zst"
	make_initrd
	make_loaders
	xorriso -as mkisofs -quiet -V "$volume" -J -r -o "$work/out.iso" \
		-b isolinux/isolinux.bin -c isolinux/boot.cat -no-emul-boot -boot-load-size 4 -boot-info-table \
		-eltorito-alt-boot -e install/efi.img -no-emul-boot \
		-isohybrid-mbr /usr/lib/ISOLINUX/isohdpfx.bin -isohybrid-gpt-basdat \
		"$work/iso"
}

need_tools
mkdir -p "$cache" "$(dirname "$out")"
exec 9>"$cache/iso.lock"
flock 9

inputs="$(digest_of "$here") $(digest_of "$installer/linux" "$installer/initrd.gz" /usr/lib/ISOLINUX/isolinux.bin)"
if [ -e "$out" ] && [ "$inputs" = "$(cat "$out.inputs" 2>/dev/null)" ]; then
	say "$out is up to date"
	exit
fi
kernel=$(installer_kernel)
[ -n "$kernel" ] || die "no kernel version found in $installer/initrd.gz"
work=$(mktemp -d "$cache/iso.XXXXXX")
trap 'rm -rf "$work"' EXIT

make_rootfs
say "making $out"
make_image
(cd "$work" && sha256sum out.iso | sed "s|out.iso|$(basename "$out")|") >"$work/out.sha256"
rm -f "$out.inputs"
mv "$work/out.iso" "$out"
mv "$work/out.sha256" "$out.sha256"
echo "$inputs" >"$out.inputs"
say "made $out ($(du -m "$out" | cut -f1) MB)"
