package pack

import (
	"bytes"
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
)

// virtualBoxExport is what the driver of VirtualBox leaves: a descriptor, the disks that it names, a manifest.
func virtualBoxExport(t *testing.T, src hypervisor.File) hypervisor.Artifact {
	t.Helper()
	made, _ := packages(t, artifact(src), []hypervisor.Package{hypervisor.PackageVirtualBox}, Options{Name: "deb12", Hardware: Hardware{CPUs: 2, MemoryMiB: 512}, GuestOS: "debian/12"})
	_, dir := unpackBox(t, made[hypervisor.PackageVirtualBox][0])
	text, err := os.ReadFile(filepath.Join(dir, "box.ovf"))
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.ReplaceAll(text, []byte("box-disk001"), []byte("deb12-disk001"))
	write(t, filepath.Join(dir, "deb12.ovf"), string(text))
	write(t, filepath.Join(dir, "deb12.mf"), "SHA256 (deb12.ovf) = 00\n")
	if err := os.Rename(filepath.Join(dir, "box-disk001.vmdk"), filepath.Join(dir, "deb12-disk001.vmdk")); err != nil {
		t.Fatal(err)
	}
	return hypervisor.Artifact{Builder: "virtualbox-iso", Driver: "virtualbox", Arch: "amd64", Files: []hypervisor.File{
		{Path: filepath.Join(dir, "deb12.ovf"), Role: hypervisor.RoleDescriptor}, {Path: filepath.Join(dir, "deb12-disk001.vmdk"), Role: hypervisor.RoleDisk},
		{Path: filepath.Join(dir, "deb12.mf"), Role: hypervisor.RoleManifest}}}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestExportOfVirtualBox: its own box is what was exported, byte by byte, and the others are made of it.
func TestExportOfVirtualBox(t *testing.T) {
	t.Parallel()
	src := data(t, 4<<20)
	a := virtualBoxExport(t, src)
	if p, err := ProviderOf(a); err != nil || p != boxfile.VirtualBox {
		t.Errorf("its provider is %q, %v", p, err)
	}
	made, _ := packages(t, a, []hypervisor.Package{hypervisor.PackageVirtualBox, hypervisor.PackageLibvirt, hypervisor.PackageVMware}, Options{Name: "x"})
	sum, dir := unpackBox(t, made[hypervisor.PackageVirtualBox][0])
	if diff := cmp.Diff([]string{"metadata.json", "Vagrantfile", "box.ovf", "deb12-disk001.vmdk"}, names(sum)); diff != "" {
		t.Error(diff)
	}
	exported := readOVF(t, a.Files[0].Path)
	mac := strings.ToUpper(strings.ReplaceAll(exported.Machine.NICs[0].MAC, ":", ""))
	if read(t, filepath.Join(dir, "box.ovf")) != read(t, a.Files[0].Path) || read(t, filepath.Join(dir, "deb12-disk001.vmdk")) != read(t, a.Files[1].Path) ||
		!strings.Contains(sum.Vagrantfile, mac) {
		t.Errorf("the box is not what was exported; its Vagrantfile:\n%s", sum.Vagrantfile)
	}
	sum, dir = unpackBox(t, made[hypervisor.PackageLibvirt][0])
	same(t, src, filepath.Join(dir, "box.img"), disk.QCOW2)
	if set := ruby(t, sum.Vagrantfile); set != "driver=kvm\ncpus=2\nmemory=512\ndisk_device=sda\ndisk_bus=sata\nnic_model_type=e1000\n" {
		t.Errorf("the libvirt box says\n%s", set)
	}
	_, dir = unpackBox(t, made[hypervisor.PackageVMware][0])
	m := readVMX(t, filepath.Join(dir, "x.vmx"))
	if m.Controllers[0].Bus != hardware.SATA || m.CPUs != 2 || m.MemoryMiB != 512 || !strings.HasPrefix(string(m.Guest), "debian") {
		t.Errorf("the VMware machine is %+v", m)
	}
	same(t, src, filepath.Join(dir, m.Disks()[0].File), disk.VMDK)
}

// TestApplianceOfVirtualBox: an OVA is unpacked for the box.
func TestApplianceOfVirtualBox(t *testing.T) {
	t.Parallel()
	src := data(t, 4<<20)
	made, _ := packages(t, virtualBoxExport(t, src), []hypervisor.Package{hypervisor.PackageOVA}, Options{Name: "y"})
	a := hypervisor.Artifact{Builder: "vmware-iso", Driver: "vmware", Arch: "amd64", Files: []hypervisor.File{{Path: made[hypervisor.PackageOVA][0].Path, Role: hypervisor.RoleAppliance}}}
	made, _ = packages(t, a, onDisk(), Options{Name: "z"})
	_, dir := unpackBox(t, made[hypervisor.PackageVirtualBox][0])
	same(t, src, filepath.Join(dir, "box-disk001.vmdk"), disk.VMDK)
	_, dir = unpackBox(t, made[hypervisor.PackageVMware][0])
	same(t, src, filepath.Join(dir, "z-disk001.vmdk"), disk.VMDK)
}

// TestExportOfVMware: its own packages are what was left, with a descriptor that belongs to no machine any more.
func TestExportOfVMware(t *testing.T) {
	t.Parallel()
	src := data(t, 4<<20)
	made, _ := packages(t, artifact(src), []hypervisor.Package{hypervisor.PackageVMX}, Options{Name: "deb12", GuestOS: "debian/12"})
	descriptor := made[hypervisor.PackageVMX][0].Path
	dir := filepath.Dir(descriptor)
	write(t, descriptor, read(t, descriptor)+"uuid.bios = \"56 4d 00 00 00 00 00 00-00 00 00 00 00 00 00 01\"\nethernet0.generatedAddress = \"00:0c:29:00:00:01\"\n"+
		"RemoteDisplay.vnc.enabled = \"TRUE\"\nRemoteDisplay.vnc.password = \"secret\"\nnvram = \"deb12.nvram\"\nunknown.key = \"stays\"\n")
	write(t, filepath.Join(dir, "deb12.nvram"), "variables")
	write(t, filepath.Join(dir, "deb12.vmxf"), "<x/>")
	a := hypervisor.Artifact{Builder: "vmware-iso", Driver: "vmware", Arch: "amd64", Files: []hypervisor.File{
		{Path: descriptor, Role: hypervisor.RoleDescriptor}, {Path: filepath.Join(dir, "deb12-disk001.vmdk"), Role: hypervisor.RoleDisk, Format: "vmdk"},
		{Path: filepath.Join(dir, "deb12.nvram"), Role: hypervisor.RoleNVRAM}, {Path: filepath.Join(dir, "deb12.vmxf"), Role: hypervisor.RoleOther}}}
	got, _ := packages(t, a, []hypervisor.Package{hypervisor.PackageVMware, hypervisor.PackageVMX, hypervisor.PackageVirtualBox, hypervisor.PackageLibvirt}, Options{Name: "x"})
	sum, box := unpackBox(t, got[hypervisor.PackageVMware][0])
	if diff := cmp.Diff([]string{"metadata.json", "deb12.vmx", "deb12-disk001.vmdk", "deb12.nvram", "deb12.vmxf"}, names(sum)); diff != "" {
		t.Error(diff)
	}
	text := read(t, filepath.Join(box, "deb12.vmx"))
	for _, gone := range []string{"uuid.bios", "generatedAddress = ", "secret"} {
		if strings.Contains(text, gone) {
			t.Errorf("the descriptor still has %q:\n%s", gone, text)
		}
	}
	if !strings.Contains(text, `unknown.key = "stays"`) || read(t, filepath.Join(box, "deb12-disk001.vmdk")) != read(t, a.Files[1].Path) {
		t.Errorf("the box is not what was left:\n%s", text)
	}
	var roles []hypervisor.Role
	for _, f := range got[hypervisor.PackageVMX] {
		roles = append(roles, f.Role)
	}
	if !slices.Equal(roles, []hypervisor.Role{hypervisor.RoleDescriptor, hypervisor.RoleDisk, hypervisor.RoleNVRAM, hypervisor.RoleOther}) {
		t.Errorf("the folder has %v", roles)
	}
	sum, box = unpackBox(t, got[hypervisor.PackageLibvirt][0])
	same(t, src, filepath.Join(box, "box.img"), disk.QCOW2)
	if sum.Metadata.NVRAM != "" {
		t.Error("variables of VMware's firmware are in a libvirt box")
	}
	_, box = unpackBox(t, got[hypervisor.PackageVirtualBox][0])
	if m := readOVF(t, filepath.Join(box, "box.ovf")).Machine; m.Controllers[0].Bus != hardware.SATA || m.NVRAM != "" {
		t.Errorf("the machine is %+v", m)
	}
}

// TestBoxOfAnotherProvider is what the post-processor vagrant does with provider_override.
func TestBoxOfAnotherProvider(t *testing.T) {
	t.Parallel()
	src := data(t, 4<<20)
	for _, p := range []string{boxfile.VirtualBox, boxfile.VMwareDesktop} {
		scratch := t.TempDir()
		sum := box(t, artifact(src), Options{Provider: p, Scratch: scratch, Vagrantfile: "# mine\n"})
		if sum.Metadata.Provider != p || !strings.HasSuffix(sum.Vagrantfile, "\n# mine\n") || sum.VirtualSize != 4<<20 {
			t.Errorf("%s: %+v", p, sum)
		}
		empty(t, scratch)
	}
}
