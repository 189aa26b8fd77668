package pack

import (
	"bytes"
	"compress/gzip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// root makes the files of a guest.
func root(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// ask runs the script over a guest's files, with nothing but the programs that every guest has and those that are given as
// scripts, and reads the answer.
func ask(t *testing.T, dir, cmdline string, programs map[string]string) Guest {
	t.Helper()
	bin := t.TempDir()
	for _, name := range []string{"sh", "id", "head", "od", "tr", "gzip", "grep", "sed", "sort", "tail", "cut", "cat", "test"} {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Skipf("%s is not installed", name)
		}
		if err := os.Symlink(path, filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range programs {
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	args := filepath.Join(t.TempDir(), "cmdline")
	if err := os.WriteFile(args, []byte(cmdline), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "-s")
	cmd.Stdin = strings.NewReader(GuestScript)
	cmd.Env = []string{"PATH=" + bin, "BOXKILN_ROOT=" + dir, "BOXKILN_CMDLINE=" + args}
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, errs.String())
	}
	g, err := ParseGuest(string(out))
	if err != nil || errs.Len() > 0 {
		t.Fatalf("%v\n%s\n%s", err, out, errs.String())
	}
	return g
}

// gzipped is an archive as tiny-initramfs and mkinitfs make it: the names are plain text between binary data.
func gzipped(t *testing.T, names ...string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	for _, name := range names {
		if _, err := w.Write([]byte("07070100000000\x00\x01" + name + "\x00\x7fELF\x02\x01")); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

const modulesDep = `kernel/drivers/net/ethernet/intel/e1000/e1000.ko.xz:
kernel/drivers/net/vmxnet3/vmxnet3.ko.xz: kernel/x.ko.xz
`

// TestGuestScript asks guests of several distributions, each with its own way to make an initramfs.
func TestGuestScript(t *testing.T) {
	t.Parallel()
	const release = "NAME=x\nID=debian\nVERSION_ID=\"12\"\n"
	kernel := func(version string, more map[string]string) map[string]string {
		files := map[string]string{"etc/os-release": release, "lib/modules/" + version + "/modules.dep": modulesDep,
			"lib/modules/" + version + "/modules.builtin": "kernel/drivers/scsi/sd_mod.ko\n"}
		for name, text := range more {
			files[name] = text
		}
		return files
	}
	cards := []string{"e1000", "vmxnet3"}
	for name, c := range map[string]struct {
		files    map[string]string
		cmdline  string
		programs map[string]string
		want     Guest
	}{
		"initramfs-tools": {
			kernel("6.1.0-50-amd64", map[string]string{"lib/modules/5.10.0-1-amd64/modules.dep": "", "boot/initrd.img-6.1.0-50-amd64": "x",
				"boot/initrd.img-5.10.0-1-amd64": "old"}), "quiet",
			map[string]string{"lsinitramfs": `case $1 in *6.1.0*) printf 'usr/lib/modules/x/ahci.ko\nusr/lib/modules/x/virtio_blk.ko.xz\nusr/bin/sh\n';; esac`, "update-initramfs": ""},
			Guest{OS: "debian", Version: "12", Kernel: "6.1.0-50-amd64", Initramfs: "/boot/initrd.img-6.1.0-50-amd64", Early: []string{"ahci", "virtio_blk", "sd_mod"}, Late: cards, Tool: "update-initramfs"},
		},
		"dracut for this host only": {
			kernel("5.14.0-1.el9.x86_64", map[string]string{"boot/initramfs-5.14.0-1.el9.x86_64.img": "x"}), "",
			map[string]string{"lsinitrd": "echo '-rw-r--r--   1 root     root        1 Jan  1  1970 usr/lib/modules/5.14/kernel/drivers/block/virtio_blk.ko.xz'", "dracut": ""},
			Guest{OS: "debian", Version: "12", Kernel: "5.14.0-1.el9.x86_64", Initramfs: "/boot/initramfs-5.14.0-1.el9.x86_64.img", Early: []string{"virtio_blk", "sd_mod"}, Late: cards, Tool: "dracut"},
		},
		"tiny-initramfs": {
			kernel("6.1.0-50-amd64", map[string]string{"boot/initrd.img-6.1.0-50-amd64": gzipped(t, "./ahci.ko", "./libata.ko", "./mptspi.ko")}), "ro net.ifnames=0",
			map[string]string{"update-tirfs": ""},
			Guest{OS: "debian", Version: "12", Kernel: "6.1.0-50-amd64", Initramfs: "/boot/initrd.img-6.1.0-50-amd64", Early: []string{"ahci", "mptspi", "sd_mod"}, Late: cards, Tool: "update-tirfs", OldNames: true},
		},
		"Alpine": {
			kernel("6.12.1-0-virt", map[string]string{"boot/initramfs-virt": gzipped(t, "lib/modules/6.12.1-0-virt/kernel/drivers/block/virtio_blk.ko.gz")}), "root=/dev/vda3 modules=ext4",
			map[string]string{"mkinitfs": ""},
			Guest{OS: "debian", Version: "12", Kernel: "6.12.1-0-virt", Initramfs: "/boot/initramfs-virt", Early: []string{"virtio_blk", "sd_mod"}, Late: cards, Tool: "mkinitfs",
				Devices: []Named{{"/dev/vda3", "kernel command line"}}},
		},
		"no initramfs": {
			kernel("6.1.0", nil), "", nil,
			Guest{OS: "debian", Version: "12", Kernel: "6.1.0", Initramfs: "none", Early: []string{"sd_mod"}, Late: cards},
		},
		"unreadable": {
			kernel("6.1.0", map[string]string{"boot/initrd.img-6.1.0": "\x28\xb5\x2f\xfd not zstd at all"}), "", nil,
			Guest{OS: "debian", Version: "12", Kernel: "6.1.0", Unread: "/boot/initrd.img-6.1.0", Early: []string{"sd_mod"}, Late: cards},
		},
		"tied to its machine": {
			map[string]string{"usr/lib/os-release": "ID='ubuntu'\nVERSION_ID=\"22.04\"\n", "etc/fstab": "UUID=1 / ext4\n/dev/vda2 none swap sw 0 0\n# /dev/vdb1 x\n",
				"etc/network/interfaces":                               "auto lo\niface lo inet loopback\niface ens3 inet dhcp\n",
				"etc/netplan/01.yaml":                                  "network:\n  ethernets:\n    enp1s0:\n      dhcp4: true\n",
				"etc/netplan/02.yaml":                                  "network:\n  ethernets:\n    ens9:\n      match: {name: \"en*\"}\n",
				"etc/NetworkManager/system-connections/a.nmconnection": "[connection]\ninterface-name=ens4\n",
				"etc/systemd/network/a.network":                        "[Match]\nName=en*\n",
				"etc/sysconfig/network-scripts/ifcfg-eth0":             "DEVICE=\"eth0\"\n",
				"etc/udev/rules.d/70-persistent-net.rules":             "SUBSYSTEM==\"net\"\n", "boot/efi/EFI/ubuntu/grubx64.efi": "x"}, "", nil,
			Guest{OS: "ubuntu", Version: "22.04", ESP: "/boot/efi/EFI", Devices: []Named{{"/dev/vda2", "/etc/fstab"}}, Pinned: "/etc/udev/rules.d/70-persistent-net.rules",
				Interfaces: []Named{{"ens3", "/etc/network/interfaces"}, {"lo", "/etc/network/interfaces"}, {"eth0", "/etc/sysconfig/network-scripts/ifcfg-eth0"},
					{"ens4", "/etc/NetworkManager/system-connections/a.nmconnection"}, {"en*", "/etc/systemd/network/a.network"}, {"enp1s0", "/etc/netplan/01.yaml"}}},
		},
		"loader that is found": {
			map[string]string{"boot/efi/EFI/BOOT/BOOTX64.EFI": "x"}, "", nil,
			Guest{ESP: "/boot/efi/EFI", Fallback: "/boot/efi/EFI/BOOT/BOOTX64.EFI"},
		},
		"nothing": {nil, "", nil, Guest{}},
	} {
		got := ask(t, root(t, c.files), c.cmdline, c.programs)
		slices.Sort(got.Early)
		slices.Sort(c.want.Early)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// TestParseGuest: a guest chooses every byte of its answer.
func TestParseGuest(t *testing.T) {
	t.Parallel()
	var many strings.Builder
	for i := range 1000 {
		many.WriteString("early m" + strings.Repeat("x", i%300) + "\n")
	}
	g, err := ParseGuest("motd of the login\nboxkiln-guest 1\nkernel 6\nearly \x1b[31mahci\n" + many.String() + "ID=a b\nboxkiln-end\n")
	if err != nil || len(g.Early) != mostNames || slices.Contains(g.Early, "\x1b[31mahci") || g.OS != "a b" {
		t.Errorf("%d names, %+v, %v", len(g.Early), g.OS, err)
	}
	for _, text := range []string{"", "boxkiln-guest 1\nkernel 6\n", "kernel 6\nboxkiln-end\n"} {
		if _, err := ParseGuest(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}
