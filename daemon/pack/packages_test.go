package pack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/boxregistry/boxfile"
	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/disk"
	"github.com/boxkiln/boxkiln/hypervisor/hardware"
	"github.com/boxkiln/boxkiln/hypervisor/ovf"
	"github.com/boxkiln/boxkiln/hypervisor/vmx"
)

// data is a disk with something on it, at its ends and in the middle.
func data(t *testing.T, size int64) hypervisor.File {
	t.Helper()
	raw := filepath.Join(t.TempDir(), "disk.raw")
	f, err := os.Create(raw)
	if err != nil {
		t.Fatal(err)
	}
	block := make([]byte, 256<<10)
	r := rand.New(rand.NewPCG(uint64(size), 2))
	for i := range block {
		block[i] = byte(r.Uint32())
	}
	err = f.Truncate(size)
	for _, at := range []int64{0, size / 2, size - int64(len(block))} {
		_, writeErr := f.WriteAt(block, at)
		err = errors.Join(err, writeErr)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	needQemuImg(t)
	path := filepath.Join(t.TempDir(), "disk.qcow2")
	if err := (disk.Tool{}).Convert(t.Context(), disk.ConvertOptions{Src: raw, SrcFormat: disk.Raw, Dst: path, DstFormat: disk.QCOW2}); err != nil {
		t.Fatal(err)
	}
	return hypervisor.File{Path: path, Role: hypervisor.RoleDisk, Format: disk.QCOW2, VirtualSize: size}
}

// packages makes packages in a folder of their own and returns the files of each.
func packages(t *testing.T, a hypervisor.Artifact, list []hypervisor.Package, o Options) (files map[hypervisor.Package][]hypervisor.File, warnings []string) {
	t.Helper()
	dir := t.TempDir()
	o.Scratch = t.TempDir()
	made, warnings, err := Packages(t.Context(), a, list, dir, o)
	if err != nil {
		t.Fatal(err)
	}
	files = map[hypervisor.Package][]hypervisor.File{}
	for _, m := range made {
		files[m.Package] = m.Files
		for _, f := range m.Files {
			if f.Package != m.Package || f.Size == 0 {
				t.Errorf("%s has the file %+v", m.Package, f)
			}
		}
		if names := ResultNames(m.Package, o.Name); !exist(dir, names...) {
			t.Errorf("%s has no files %v", m.Package, names)
		}
	}
	empty(t, o.Scratch)
	return files, warnings
}

func exist(dir string, names ...string) bool {
	for _, name := range names {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return false
		}
	}
	return true
}

func empty(t *testing.T, dir string) {
	t.Helper()
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%v was left in %s (%v)", left, dir, err)
	}
}

// unpackBox inspects a box and returns the folder with its files.
func unpackBox(t *testing.T, f hypervisor.File) (boxfile.Summary, string) {
	t.Helper()
	r, err := os.Open(f.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	dir := t.TempDir()
	sum, err := boxfile.Unpack(t.Context(), r, dir, boxfile.Limits{})
	if err != nil || len(sum.Warnings) > 0 {
		t.Fatalf("%s: %v, warnings %q", f.Path, err, sum.Warnings)
	}
	var said boxfile.Summary
	if err := json.Unmarshal(f.Box, &said); err != nil || sum.SHA256 != said.SHA256 {
		t.Errorf("the packer says %s of a box with %s (%v)", said.SHA256, sum.SHA256, err)
	}
	return sum, dir
}

// same compares a disk with the source.
func same(t *testing.T, src hypervisor.File, path, format string) {
	t.Helper()
	equal, err := disk.Tool{}.Compare(t.Context(), disk.Image{Path: src.Path, Format: src.Format}, disk.Image{Path: path, Format: format})
	if err != nil || !equal {
		t.Errorf("%s differs from its source: %v", path, err)
	}
}

func readOVF(t *testing.T, path string) ovf.Descriptor {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d, err := ovf.Read(f)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func readVMX(t *testing.T, path string) hardware.Machine {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	v, err := vmx.Parse(f)
	if err != nil {
		t.Fatal(err)
	}
	m, err := v.ToMachine()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

var debian = Guest{OS: "debian", Version: "12", Kernel: "6.1.0", Initramfs: "/boot/initrd.img", Early: []string{"ahci", "mptspi", "sd_mod", "virtio_blk"},
	Late: []string{"e1000", "vmxnet3"}, OldNames: true}

// TestEverythingFromOneDisk makes all packages of a machine at once, and looks into each.
func TestEverythingFromOneDisk(t *testing.T) {
	t.Parallel()
	src := data(t, 8<<20)
	made, warnings := packages(t, artifact(src), onDisk(), Options{Name: "web", Guest: debian,
		Hardware: Hardware{CPUs: 2, MemoryMiB: 768, DiskBus: "virtio", NIC: "virtio-net", Machine: "pc"}})
	if len(warnings) > 0 {
		t.Errorf("warnings: %q", warnings)
	}
	boxes := map[hypervisor.Package][]string{
		hypervisor.PackageLibvirt: {"metadata.json", "Vagrantfile", "box.img"}, hypervisor.PackageVirtualBox: {"metadata.json", "Vagrantfile", "box.ovf", "box-disk001.vmdk"},
		hypervisor.PackageVMware: {"metadata.json", "web.vmx", "web-disk001.vmdk"},
	}
	dirs := map[hypervisor.Package]string{}
	for p, want := range boxes {
		sum, dir := unpackBox(t, made[p][0])
		if diff := cmp.Diff(want, names(sum)); diff != "" || sum.Metadata.Provider != string(p) || sum.VirtualSize != 8<<20 {
			t.Errorf("%s: %s, %+v", p, diff, sum.Metadata)
		}
		dirs[p] = dir
	}
	same(t, src, filepath.Join(dirs[hypervisor.PackageLibvirt], "box.img"), disk.QCOW2)
	same(t, src, filepath.Join(dirs[hypervisor.PackageVirtualBox], "box-disk001.vmdk"), disk.VMDK)
	same(t, src, filepath.Join(dirs[hypervisor.PackageVMware], "web-disk001.vmdk"), disk.VMDK)
	for p, format := range map[hypervisor.Package]string{hypervisor.PackageQCOW2: disk.QCOW2, hypervisor.PackageRaw: disk.Raw, hypervisor.PackageVHD: disk.VPC, hypervisor.PackageVHDX: disk.VHDX} {
		same(t, src, made[p][0].Path, format)
	}
	same(t, src, made[hypervisor.PackageVMX][1].Path, disk.VMDK)

	box := readOVF(t, filepath.Join(dirs[hypervisor.PackageVirtualBox], "box.ovf"))
	wantMachine(t, "box.ovf", box.Machine, hardware.SATA, hardware.E1000)
	sum, _ := unpackBox(t, made[hypervisor.PackageVirtualBox][0])
	mac := strings.ToUpper(strings.ReplaceAll(box.Machine.NICs[0].MAC, ":", ""))
	if box.Flavour != ovf.VirtualBox || !strings.HasPrefix(mac, "080027") || !strings.Contains(sum.Vagrantfile, "config.vm.base_mac = '"+mac+"'") {
		t.Errorf("the card has %s, and Vagrant is told\n%s", mac, sum.Vagrantfile)
	}
	wantMachine(t, "box", readVMX(t, filepath.Join(dirs[hypervisor.PackageVMware], "web.vmx")), hardware.SATA, hardware.VMXNet3)
	wantMachine(t, "folder", readVMX(t, made[hypervisor.PackageVMX][0].Path), hardware.SATA, hardware.VMXNet3)
	appliance(t, src, made[hypervisor.PackageOVA][0].Path)
}

// appliance unpacks an OVA, with its manifest, and compares its disk.
func appliance(t *testing.T, src hypervisor.File, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	dir := t.TempDir()
	ova, err := ovf.ExtractOVA(t.Context(), f, dir, 0)
	if err != nil || ova.ManifestFile == "" || ova.DescriptorFile != "web.ovf" {
		t.Fatalf("%+v, %v", ova, err)
	}
	if ova.Descriptor.Flavour != ovf.VMware {
		t.Errorf("the descriptor is of flavour %q", ova.Descriptor.Flavour)
	}
	wantMachine(t, "ova", ova.Descriptor.Machine, hardware.LsiLogic, hardware.E1000)
	same(t, src, filepath.Join(dir, ova.Descriptor.Machine.Disks()[0].File), disk.VMDK)
}

func wantMachine(t *testing.T, what string, m hardware.Machine, bus hardware.Bus, card hardware.NICModel) {
	t.Helper()
	if m.Name != "web" || m.CPUs != 2 || m.MemoryMiB != 768 || !strings.HasPrefix(string(m.Guest), "debian") || m.Firmware != hardware.BIOS {
		t.Errorf("%s: the machine is %+v", what, m)
	}
	if len(m.Controllers) != 1 || m.Controllers[0].Bus != bus || len(m.NICs) != 1 || m.NICs[0].Model != card {
		t.Errorf("%s: controllers %+v, cards %+v; want %s and %s", what, m.Controllers, m.NICs, bus, card)
	}
}

// TestSeveralDisksUnderUEFI: every disk is in every package, and none of the variables of OVMF is.
func TestSeveralDisksUnderUEFI(t *testing.T) {
	t.Parallel()
	one, two := data(t, 4<<20), data(t, 6<<20)
	vars := filepath.Join(t.TempDir(), "efivars.fd")
	if err := os.WriteFile(vars, []byte("variables"), 0o600); err != nil {
		t.Fatal(err)
	}
	a := artifact(one, two, hypervisor.File{Path: vars, Role: hypervisor.RoleNVRAM})
	a.UEFI = true
	made, warnings := packages(t, a, onDisk(), Options{Name: "two", Guest: Guest{ESP: "/boot/efi/EFI"}})
	if !slices.ContainsFunc(warnings, func(w string) bool { return strings.Contains(w, "BOOTX64.EFI") }) {
		t.Errorf("nobody says that the guest has no loader that is found: %q", warnings)
	}
	_, dir := unpackBox(t, made[hypervisor.PackageVirtualBox][0])
	m := readOVF(t, filepath.Join(dir, "box.ovf")).Machine
	if m.Firmware != hardware.UEFI || len(m.Disks()) != 2 || m.NVRAM != "" {
		t.Errorf("the machine is %+v", m)
	}
	for i, src := range []hypervisor.File{one, two} {
		same(t, src, filepath.Join(dir, m.Disks()[i].File), disk.VMDK)
		same(t, src, made[hypervisor.PackageQCOW2][i].Path, disk.QCOW2)
		same(t, src, made[hypervisor.PackageVMX][i+1].Path, disk.VMDK)
	}
	if m := readVMX(t, made[hypervisor.PackageVMX][0].Path); m.Firmware != hardware.UEFI || m.Guest != hardware.Other64 {
		t.Errorf("the machine is %+v", m)
	}
}

// TestEqualInputsMakeEqualPackages: but for the formats whose writers put the time into them.
func TestEqualInputsMakeEqualPackages(t *testing.T) {
	t.Parallel()
	src := data(t, 4<<20)
	list := []hypervisor.Package{hypervisor.PackageLibvirt, hypervisor.PackageVirtualBox, hypervisor.PackageVMware, hypervisor.PackageOVA, hypervisor.PackageQCOW2}
	first, _ := packages(t, artifact(src), list, Options{Name: "x", Guest: debian})
	second, _ := packages(t, artifact(src), list, Options{Name: "x", Guest: debian})
	for _, p := range list {
		a, errA := os.ReadFile(first[p][0].Path)
		b, errB := os.ReadFile(second[p][0].Path)
		if err := errors.Join(errA, errB); err != nil || string(a) != string(b) {
			t.Errorf("%s: two of them differ (%v)", p, err)
		}
	}
}

// TestFailureLeavesNothing: whatever goes wrong, no part of a package stays.
func TestFailureLeavesNothing(t *testing.T) {
	t.Parallel()
	src := data(t, 8<<20)
	bad := src
	bad.Path = filepath.Join(t.TempDir(), "cut.qcow2")
	whole, err := os.ReadFile(src.Path)
	if err == nil {
		err = os.WriteFile(bad.Path, whole[:len(whole)/2], 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	for name, run := range map[string]func(dir string, o Options) error{
		"damaged": func(dir string, o Options) error {
			o.Verify = true
			_, _, err := Packages(t.Context(), artifact(src, bad), onDisk(), dir, o)
			return err
		},
		"damaged second disk": func(dir string, o Options) error {
			later := bad
			later.Format = disk.VMDK // so that the first one is made
			_, _, err := Packages(t.Context(), artifact(src, later), onDisk(), dir, o)
			return err
		},
		"canceled at once": func(dir string, o Options) error {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_, _, err := Packages(ctx, artifact(src), onDisk(), dir, o)
			return err
		},
		"canceled in the middle": func(dir string, o Options) error {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			o.Progress = func(title string, _, _ int64) {
				if strings.HasPrefix(title, "packing") {
					cancel()
				}
			}
			_, _, err := Packages(ctx, artifact(src), onDisk(), dir, o)
			return err
		},
		"folder that is gone": func(dir string, o Options) error {
			_, _, err := Packages(t.Context(), artifact(src), onDisk(), filepath.Join(dir, "gone", "gone"), o)
			return err
		},
	} {
		dir, scratch := t.TempDir(), t.TempDir()
		if err := run(dir, Options{Name: "x", Scratch: scratch}); err == nil {
			t.Errorf("%s: packages were made", name)
		}
		empty(t, dir)
		empty(t, scratch)
	}
}

// TestChoices: the controller and the card are those for which the guest has drivers, and if it has none somebody says so.
func TestChoices(t *testing.T) {
	t.Parallel()
	guest := func(early, late string) Guest {
		return Guest{Kernel: "6", Initramfs: "/boot/initrd", Early: strings.Fields(early), Late: strings.Fields(late), Tool: "dracut"}
	}
	for _, c := range []struct {
		ran  string // interface of the disk
		g    Guest
		want string // controllers and cards of VirtualBox, VMware and both
		warn string
	}{
		{"virtio", Guest{}, "sata e1000 / sata e1000 / lsilogic e1000", ""},
		{"virtio", guest("ahci sd_mod mptspi", "e1000 vmxnet3"), "sata e1000 / sata vmxnet3 / lsilogic e1000", ""},
		{"virtio", guest("mptspi sd_mod vmw_pvscsi", "virtio_net vmxnet3"), "lsilogic virtio / pvscsi vmxnet3 / lsilogic vmxnet3", ""},
		{"virtio", guest("ahci sd_mod", "e1000"), "sata e1000 / sata e1000 / sata e1000", "VirtualBox cannot import it"},
		{"virtio", guest("virtio_blk", "virtio_net"), "sata virtio / sata e1000 / lsilogic e1000", `add_drivers+=" ahci sd_mod "`},
		{"virtio", guest("ahci mptspi", ""), "sata e1000 / sata e1000 / lsilogic e1000", `add_drivers+=" sd_mod "`},
		{"ide", guest("ata_piix sd_mod", "e1000"), "ide e1000 / ide e1000 / ide e1000", ""},
		{"sata", Guest{}, "sata e1000 / sata e1000 / lsilogic e1000", ""},
		{"scsi", Guest{}, "lsilogic-sas e1000 / lsilogic-sas e1000 / lsilogic-sas e1000", ""},
	} {
		j := &job{Options: Options{Guest: c.g, Hardware: Hardware{DiskBus: c.ran}}, artifact: artifact(hypervisor.File{Path: "x", Role: hypervisor.RoleDisk, Format: disk.QCOW2})}
		if err := j.openDisks(); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range []product{virtualBox, vmware, either} {
			bus, _ := j.pickBus(p)
			card, _ := j.pickCard(p)
			got = append(got, fmt.Sprintf("%s %s", bus, card))
		}
		if text := strings.Join(got, " / "); text != c.want {
			t.Errorf("%s, %v: %s; want %s", c.ran, c.g, text, c.want)
		}
		warnings := strings.Join(j.warnings(onDisk()), "\n")
		if (c.warn == "") != (warnings == "") || !strings.Contains(warnings, c.warn) {
			t.Errorf("%s, %v: warnings %q; want %q", c.ran, c.g, warnings, c.warn)
		}
	}
}

// TestTraps: what ties a guest to its machine is told, and only where it does.
func TestTraps(t *testing.T) {
	t.Parallel()
	tied := Guest{Kernel: "6", Initramfs: "none", Early: []string{"ahci", "sd_mod", "mptspi"}, Late: []string{"e1000", "vmxnet3"},
		Devices: []Named{{"/dev/vda2", "/etc/fstab"}}, Interfaces: []Named{{"ens3", "/etc/network/interfaces"}, {"en*", "/x"}, {"eth0", "/y"}, {"lo", "/z"}}}
	for _, c := range []struct {
		name   string
		list   []hypervisor.Package
		change func(j *job)
		want   []string // in each warning, in order
	}{
		{"all", onDisk(), func(*job) {}, []string{"/etc/fstab names the disk /dev/vda2", "/etc/network/interfaces names the network card ens3"}},
		{"at home", []hypervisor.Package{hypervisor.PackageLibvirt, hypervisor.PackageQCOW2}, func(*job) {}, nil},
		{"old names", onDisk(), func(j *job) { j.Guest.OldNames = true }, []string{"/etc/fstab"}},
		{"the same controller", onDisk(), func(j *job) { j.exported.bus = hardware.IDE }, []string{"network card"}},
		{"pinned", onDisk(), func(j *job) { j.Guest = Guest{Pinned: "/rules"} }, []string{"/rules ties names"}},
		{"unread", onDisk(), func(j *job) { j.Guest = Guest{Kernel: "6", Unread: "/boot/x", Late: tied.Late} }, []string{"/boot/x could not be looked at"}},
	} {
		j := &job{Options: Options{Guest: tied}}
		c.change(j)
		got := j.warnings(c.list)
		ok := len(got) == len(c.want)
		for i := range c.want {
			ok = ok && strings.Contains(got[i], c.want[i])
		}
		if !ok {
			t.Errorf("%s: %q; want %q", c.name, got, c.want)
		}
	}
}

func TestSystems(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]hardware.Guest{
		"debian/12": "debian12-64", "debian/99": "linux6-64", "ubuntu/22.04": "ubuntu-64", "rocky/9.3": "rocky-64", "almalinux/9.3": "alma-64", "rhel/9.4": "rhel9-64",
		"ol/9.1": "oracle9-64", "opensuse-leap/15.5": "opensuse-64", "sles/15.5": "sles15-64", "fedora/40": "fedora-64", "arch": "arch-64", "alpine/3.20.1": "alpine-64",
		"amzn/2": "amazon2-64", "freebsd/13.2": "freebsd13-64", "windows/2022": "windows2022-64", "nixos/24.05": "linux6-64", "": hardware.Other64,
	} {
		j := &job{Options: Options{GuestOS: text}}
		if got := j.guestOS(); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
	j := &job{exported: exported{machine: &hardware.Machine{Guest: "debian11-64"}}}
	if name, version := j.system(); j.guestOS() != "debian11-64" || name != "debian" || version != "11" {
		t.Errorf("%s, %s, %s", j.guestOS(), name, version)
	}
}

// TestDiskInItsPlace: an image that has the name of the package already becomes it, and no disk is written over.
func TestDiskInItsPlace(t *testing.T) {
	t.Parallel()
	src := data(t, 4<<20)
	dir := filepath.Dir(src.Path)
	list := []hypervisor.Package{hypervisor.PackageQCOW2, hypervisor.PackageLibvirt, hypervisor.PackageRaw}
	before := read(t, src.Path)
	made, _, err := Packages(t.Context(), artifact(src), list, dir, Options{Name: "disk", Scratch: t.TempDir()})
	if err != nil || made[0].Files[0].Path != src.Path || read(t, src.Path) != before {
		t.Errorf("%+v, %v", made, err)
	}
	same(t, src, filepath.Join(dir, "disk.raw"), disk.Raw)
	lie := src
	lie.Format = disk.VMDK // what lies under the package's name is not what it should be
	for name, a := range map[string]hypervisor.Artifact{"two disks": artifact(src, data(t, 1<<20)), "another format": artifact(lie)} {
		if _, _, err := Packages(t.Context(), a, []hypervisor.Package{hypervisor.PackageQCOW2}, dir, Options{Name: "disk", Scratch: t.TempDir()}); err == nil ||
			!strings.Contains(err.Error(), "would be written over") || read(t, src.Path) != before {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestOpenStackProperties: what an image service is told.
func TestOpenStackProperties(t *testing.T) {
	t.Parallel()
	a := artifact(diskImage(t, disk.QCOW2, 5<<30+1, disk.CreateOptions{}))
	a.UEFI = true
	made, _ := packages(t, a, []hypervisor.Package{hypervisor.PackageQCOW2}, Options{Name: "web", Guest: debian,
		Hardware: Hardware{MemoryMiB: 768, DiskBus: "virtio-scsi", NIC: "virtio-net", Machine: "pc-q35-7.2"}})
	text, err := os.ReadFile(made[hypervisor.PackageQCOW2][1].Path)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"name": "web", "disk_format": "qcow2", "container_format": "bare", "min_disk": 6.0, "min_ram": 768.0, "architecture": "x86_64",
		"os_type": "linux", "os_distro": "debian", "os_version": "12", "hw_disk_bus": "scsi", "hw_scsi_model": "virtio-scsi", "hw_vif_model": "virtio",
		"hw_firmware_type": "uefi", "hw_machine_type": "q35"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
