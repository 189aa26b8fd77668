package ovf_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/hypervisor/hardware"
	"github.com/boxkiln/boxkiln/hypervisor/ovf"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden is the machine of the golden files: that of a real export of VirtualBox 7.0, with which the first of them can be compared.
func golden() hardware.Machine {
	return hardware.Machine{
		Name: "deb12", UUID: "740e496b-1cc8-47b1-9b58-52ea61ead075", Guest: "debian12-64", CPUs: 1, MemoryMiB: 512, VideoMiB: 16, RTCUTC: true,
		Boot: []hardware.BootDevice{hardware.BootDisk, hardware.BootCD},
		Controllers: []hardware.Controller{{Bus: hardware.SATA, Name: "SATA Controller", Drives: []hardware.Drive{{
			Kind: hardware.Disk, File: "box-disk001.vmdk", Format: hardware.StreamVMDK, Size: 1234567, Capacity: 42949672960,
			UUID: "756672a3-312a-4d4d-83da-aa49bc9b938a",
		}}}},
		NICs: []hardware.NIC{{Model: hardware.E1000, MAC: "08:00:27:3b:9c:80", Connection: hardware.NAT}},
	}
}

// rich has everything that the flavours share.
func rich() hardware.Machine {
	m := golden()
	m.Name, m.Description, m.Firmware, m.CPUs, m.USB = "two & a half", "golden image\nof <today>", hardware.UEFI, 4, hardware.USB3
	m.Controllers = append(m.Controllers,
		hardware.Controller{Bus: hardware.IDE, Drives: []hardware.Drive{{Kind: hardware.CD, Port: 2}}},
		hardware.Controller{Bus: hardware.LsiLogicSAS, Name: "SAS", Drives: []hardware.Drive{
			{Kind: hardware.Disk, Port: 1, File: "data.vmdk", Format: hardware.SparseVMDK, Capacity: 1 << 30, UUID: "11111111-2222-4333-8444-555555555555"},
			{Kind: hardware.CD, Port: 3, File: "tools.iso", Size: 4096, UUID: "99999999-2222-4333-8444-555555555555"},
		}})
	m.NICs = append(m.NICs, hardware.NIC{Model: hardware.PCNet, MAC: "08:00:27:00:00:01", Connection: hardware.Bridged, Unplugged: true})
	return m
}

func compareGolden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-golden +now; write it anew with -update)\n%s", name, diff)
	}
}

func TestGolden(t *testing.T) {
	t.Parallel()
	vmware := rich()
	vmware.NVRAM, vmware.CoresPerSocket, vmware.Sound = "box.nvram", 2, hardware.HDA
	compareGolden(t, "virtualbox.ovf", write(t, golden(), ovf.VirtualBox))
	compareGolden(t, "virtualbox-rich.ovf", write(t, rich(), ovf.VirtualBox))
	compareGolden(t, "vmware.ovf", write(t, golden(), ovf.VMware))
	compareGolden(t, "vmware-rich.ovf", write(t, vmware, ovf.VMware))
}

// TestLikeVirtualBox compares what is written with an export of VirtualBox 7.0 of the same machine: nothing differs but the layout, the
// version of the settings, and the time of the machine's last change, which VirtualBox does without.
func TestLikeVirtualBox(t *testing.T) {
	t.Parallel()
	real, err := os.ReadFile(filepath.Join("testdata", "others", "virtualbox-7.0.ovf"))
	if err != nil {
		t.Fatal(err)
	}
	flat := func(b []byte) string {
		b = regexp.MustCompile(`>\s+<`).ReplaceAll(b, []byte("><"))
		b = regexp.MustCompile(`version="1\.1\d-linux"`).ReplaceAll(b, []byte(`version="1.xx-linux"`))
		b = regexp.MustCompile(` lastStateChange="[^"]*"`).ReplaceAll(b, nil)
		return string(bytes.ReplaceAll(bytes.TrimSpace(b), []byte("><"), []byte(">\n<")))
	}
	written := bytes.ReplaceAll(write(t, golden(), ovf.VirtualBox), []byte("&#39;"), []byte("'"))
	if diff := cmp.Diff(flat(real), flat(written)); diff != "" {
		t.Errorf("(-VirtualBox +ours)\n%s", diff)
	}
	d, err := ovf.Read(bytes.NewReader(real))
	if err != nil {
		t.Fatal(err)
	}
	want := canonical(golden(), ovf.VirtualBox)
	if diff := cmp.Diff(want, d.Machine.Clone()); diff != "" {
		t.Errorf("the real export is read otherwise (-want +got)\n%s", diff)
	}
}
