# Tells boxkiln which drivers this guest would have on other hypervisors. Read by /bin/sh; it changes nothing.
# BOXKILN_ROOT is where the system lies, for tests.
LC_ALL=C
export LC_ALL
R=${BOXKILN_ROOT:-}
PATH=$PATH:/usr/sbin:/sbin # which users who are not root may not have
early="ahci ata_piix mptspi mptsas vmw_pvscsi virtio_blk virtio_scsi nvme sd_mod sym53c8xx"
late="e1000 e1000e vmxnet3 virtio_net pcnet32 ena"

# as_root COMMAND...: some systems let only root read their initramfs.
as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi 2>/dev/null
}
has() { command -v "$1" >/dev/null 2>&1; }

# The kernel that starts next is the newest one.
find_kernel() {
	for dir in "$R"/lib/modules/* "$R"/usr/lib/modules/*; do
		[ -e "$dir/modules.dep" ] && echo "${dir##*/}"
	done | sort -u | sort -V 2>/dev/null | tail -n 1
}

# Where Debian, Fedora, SUSE, Alpine and Arch keep it, and where links to it are.
find_initramfs() {
	flavour=${kernel##*-}
	for file in "$R/boot/initrd.img-$kernel" "$R/boot/initramfs-$kernel.img" "$R/boot/initrd-$kernel" \
		"$R/boot/initramfs-$flavour" "$R/boot/initramfs-linux.img" "$R/boot/initramfs-linux-$flavour.img" \
		"$R/initrd.img" "$R/boot/initrd"; do
		if [ -e "$file" ] || as_root test -e "$file"; then
			echo "$file"
			return
		fi
	done
}

# unpacked FILE: whatever compressed it. The names of a cpio archive are plain text in it.
unpacked() {
	case $(as_root head -c 6 "$1" | od -An -tx1 | tr -d ' \n') in
	1f8b*) as_root gzip -dc "$1" ;;
	28b52ffd*) as_root zstd -dc "$1" ;;
	fd377a58*) as_root xz -dc "$1" ;;
	02214c18*) as_root lz4 -dc "$1" ;;
	04224d18*) as_root lz4 -dc "$1" ;;
	*) as_root cat "$1" ;;
	esac
}

# list_initramfs FILE: what is in it, one name a line. The tools know about microcode before the archive; the names alone
# do for tiny-initramfs and Alpine's mkinitfs, which have no tool.
list_initramfs() {
	if has lsinitramfs; then
		as_root lsinitramfs "$1"
	elif has lsinitrd; then
		as_root lsinitrd "$1"
	elif has lsinitcpio; then
		as_root lsinitcpio "$1"
	else
		unpacked "$1" | tr -c '[:alnum:]/._-' '\n' | grep '\.ko'
	fi
}

# names: of the modules in a list of paths, with one spelling for - and _.
names() { sed -n 's|^.*/||; s|^\([A-Za-z0-9_-]*\)\.ko.*|\1|p' | tr - _ | sort -u; }

report() {
	word=$1 list=$2
	shift 2
	for name; do
		echo "$list" | grep -qx "$name" && echo "$word $name"
	done
}

echo "boxkiln-guest 1"
for release in "$R/etc/os-release" "$R/usr/lib/os-release"; do
	if [ -r "$release" ]; then
		grep -E '^(ID|VERSION_ID)=' "$release"
		break
	fi
done
kernel=$(find_kernel)
if [ -n "$kernel" ]; then
	echo "kernel $kernel"
	dir=$R/lib/modules/$kernel
	[ -d "$dir" ] || dir=$R/usr/lib/modules/$kernel
	builtin=$(names <"$dir/modules.builtin" 2>/dev/null)
	image=$(find_initramfs)
	inside=
	if [ -n "$image" ]; then
		inside=$(list_initramfs "$image" | names)
		# One without any module is one that could not be read.
		if [ -n "$inside" ]; then echo "initramfs ${image#"$R"}"; else echo "unread ${image#"$R"}"; fi
	else
		echo "initramfs none"
	fi
	report early "$builtin
$inside" $early
	report late "$builtin
$(cut -d: -f1 "$dir/modules.dep" | names)" $late
fi

for tool in update-initramfs dracut mkinitcpio mkinitfs update-tirfs; do
	if has "$tool"; then
		echo "tool $tool"
		break
	fi
done
for dir in "$R/boot/efi/EFI" "$R/boot/EFI" "$R/efi/EFI"; do
	if [ -d "$dir" ] || as_root test -d "$dir"; then
		echo "esp ${dir#"$R"}"
		break
	fi
done
for file in "$R"/boot/efi/EFI/BOOT/BOOT*.EFI "$R"/boot/efi/EFI/Boot/boot*.efi "$R"/boot/EFI/BOOT/BOOT*.EFI "$R"/efi/EFI/BOOT/BOOT*.EFI; do
	if [ -e "$file" ] || as_root test -e "$file"; then
		echo "fallback ${file#"$R"}"
		break
	fi
done
cmdline=$(cat "${BOXKILN_CMDLINE:-/proc/cmdline}" 2>/dev/null)
case " $cmdline " in *" net.ifnames=0 "*) echo "names old" ;; esac
for word in $cmdline; do
	case $word in root=/dev/*) echo "device ${word#root=} kernel command line" ;; esac
done
if [ -r "$R/etc/fstab" ]; then
	sed -n 's|^[[:space:]]*\(/dev/[a-z0-9]*\)[[:space:]].*|device \1 /etc/fstab|p' "$R/etc/fstab"
fi

# Configurations that name a card, with the file: "interface ens3 /etc/network/interfaces".
naming() {
	file=$1
	shift
	as_root cat "$file" | "$@" | sort -u | while read -r name; do echo "interface $name ${file#"$R"}"; done
}
for file in "$R"/etc/network/interfaces "$R"/etc/network/interfaces.d/*; do
	[ -f "$file" ] && naming "$file" sed -n 's/^[[:space:]]*iface[[:space:]]\{1,\}\([a-z0-9]*\).*/\1/p'
done
for file in "$R"/etc/sysconfig/network-scripts/ifcfg-*; do
	[ -f "$file" ] && naming "$file" sed -n 's/^DEVICE="\{0,1\}\([a-z0-9]*\).*/\1/p'
done
for file in "$R"/etc/NetworkManager/system-connections/*; do
	[ -f "$file" ] || as_root test -f "$file" && naming "$file" sed -n 's/^interface-name=\([a-z0-9]*\)$/\1/p'
done
for file in "$R"/etc/systemd/network/*.network; do
	[ -f "$file" ] && naming "$file" sed -n 's/^Name=\(.*\)/\1/p'
done
for file in "$R"/etc/netplan/*.yaml; do
	if [ -f "$file" ] || as_root test -f "$file"; then
		as_root cat "$file" | grep -q 'match:' || naming "$file" sed -n 's/^[[:space:]]\{1,\}\(e[a-z]*[0-9][a-z0-9]*\):.*/\1/p'
	fi
done
[ -s "$R/etc/udev/rules.d/70-persistent-net.rules" ] && echo "pinned /etc/udev/rules.d/70-persistent-net.rules"
echo "boxkiln-end"
