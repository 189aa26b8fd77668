package ovf_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	govmomi "github.com/vmware/govmomi/ovf"
	"github.com/vmware/govmomi/vim25/types"
	"pgregory.net/rapid"

	"github.com/boxkiln/boxkiln/hypervisor/hardware"
	"github.com/boxkiln/boxkiln/hypervisor/hardware/hardwaretest"
	"github.com/boxkiln/boxkiln/hypervisor/ovf"
)

// needTool skips a test where a program is missing; under BOXKILN_REQUIRE_TOOLS it fails instead.
func needTool(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err == nil {
			continue
		}
		if os.Getenv("BOXKILN_REQUIRE_TOOLS") == "1" {
			t.Fatalf("%s is not installed", name)
		}
		t.Skipf("%s is not installed", name)
	}
}

// run runs a program in dir and returns what it printed.
func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// machines are the golden ones and n generated ones of a flavour.
func machines(f ovf.Flavour, n int) []hardware.Machine {
	list := []hardware.Machine{golden(), rich()}
	generated := rapid.Custom(func(rt *rapid.T) hardware.Machine { return hardwaretest.Machine(rt, f) })
	for seed := range n {
		list = append(list, generated.Example(seed))
	}
	return list
}

// schemas returns a folder with the DMTF's schemas, whose licence does not clearly let them be copied here: $BOXKILN_OVF_XSD names a folder with
// dsp8023_1.1.1.xsd and what it imports, testdata/xsd is looked at otherwise.
func schemas(t *testing.T) string {
	t.Helper()
	from := os.Getenv("BOXKILN_OVF_XSD")
	if from == "" {
		from = filepath.Join("testdata", "xsd")
	}
	const envelope = "dsp8023_1.1.1.xsd"
	files, err := filepath.Glob(filepath.Join(from, "*.xsd"))
	if _, errEnvelope := os.Stat(filepath.Join(from, envelope)); err != nil || errEnvelope != nil {
		t.Skip("no schemas: set BOXKILN_OVF_XSD to a folder with dsp8023_1.1.1.xsd and what it imports")
	}
	dir := t.TempDir()
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		// Some name what they import by its address on the internet.
		text = bytes.ReplaceAll(text, []byte(`"http://schemas.dmtf.org/wbem/wscim/1/common.xsd"`), []byte(`"common.xsd"`))
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(f)), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, envelope)
}

// vboxMachine is what the schema has no place for; VirtualBox's own exports fail for it, too.
var vboxMachine = regexp.MustCompile(`(?s)<vbox:Machine.*</vbox:Machine>`)

// TestSchema validates 200 generated machines of each flavour.
func TestSchema(t *testing.T) {
	t.Parallel()
	needTool(t, "xmllint")
	schema := schemas(t)
	for _, f := range flavours() {
		t.Run(string(f), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			args := []string{"--nonet", "--noout", "--schema", schema}
			for i, m := range machines(f, 200) {
				name := fmt.Sprintf("%03d.ovf", i)
				text := write(t, m, f)
				if i == 0 && f == ovf.VirtualBox {
					checkSchemaSees(t, schema, text)
				}
				if err := os.WriteFile(filepath.Join(dir, name), vboxMachine.ReplaceAll(text, nil), 0o644); err != nil {
					t.Fatal(err)
				}
				args = append(args, name)
			}
			run(t, dir, "xmllint", args...)
		})
	}
}

// checkSchemaSees makes sure that the schema finds something at all: vbox:Machine, and elements out of order.
func checkSchemaSees(t *testing.T, schema string, text []byte) {
	t.Helper()
	disordered := bytes.Replace(vboxMachine.ReplaceAll(text, nil), []byte("<rasd:ResourceType>3</rasd:ResourceType>\n        <rasd:VirtualQuantity>1</rasd:VirtualQuantity>"),
		[]byte("<rasd:VirtualQuantity>1</rasd:VirtualQuantity><rasd:ResourceType>3</rasd:ResourceType>"), 1)
	for _, bad := range [][]byte{text, disordered} {
		cmd := exec.CommandContext(t.Context(), "xmllint", "--nonet", "--noout", "--schema", schema, "-")
		cmd.Stdin = bytes.NewReader(bad)
		if out, err := cmd.CombinedOutput(); err == nil || !bytes.Contains(out, []byte("fails to validate")) {
			t.Errorf("the schema has nothing against it: %v %s", err, out)
		}
	}
}

// TestGovmomi has VMware's own library read what both flavours write, and make a machine of it.
func TestGovmomi(t *testing.T) {
	t.Parallel()
	for _, f := range flavours() {
		for _, m := range machines(f, 50) {
			e, err := govmomi.Unmarshal(bytes.NewReader(write(t, m, f)))
			if err != nil {
				t.Fatal(err)
			}
			if got := len(e.References); got < len(m.Disks()) {
				t.Errorf("%d files, and the machine has %d disks", got, len(m.Disks()))
			}
			if f == ovf.VirtualBox { // it refuses some of VirtualBox's own controllers
				continue
			}
			spec, err := e.ToConfigSpec()
			if err != nil {
				t.Fatalf("%v\n%s", err, write(t, m, f))
			}
			checkSpec(t, m, spec)
		}
	}
	for _, m := range []hardware.Machine{golden(), rich()} {
		e, err := govmomi.Unmarshal(bytes.NewReader(write(t, m, ovf.VirtualBox)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.ToConfigSpec(); err != nil {
			t.Errorf("VirtualBox's %q: %v", m.Name, err)
		}
	}
}

// checkSpec compares what govmomi made of a descriptor with the machine.
func checkSpec(t *testing.T, m hardware.Machine, spec types.VirtualMachineConfigSpec) {
	t.Helper()
	firmware := map[hardware.Firmware]string{hardware.UEFI: "efi"}[m.Firmware]
	if spec.NumCPUs != int32(m.CPUs) || spec.MemoryMB != int64(m.MemoryMiB) || spec.Firmware != firmware || spec.GuestId != m.Guest.OS().VIM {
		t.Errorf("%d processors, %d MiB, firmware %q, guest %q of %+v", spec.NumCPUs, spec.MemoryMB, spec.Firmware, spec.GuestId, m)
	}
	disks, cards := 0, 0
	for _, change := range spec.DeviceChange {
		switch d := change.GetVirtualDeviceConfigSpec().Device.(type) {
		case *types.VirtualDisk:
			disks++
		case types.BaseVirtualEthernetCard:
			if mac := d.GetVirtualEthernetCard().MacAddress; mac != m.NICs[cards].MAC && mac != "" {
				t.Errorf("card %d has %q, want %q", cards, mac, m.NICs[cards].MAC)
			}
			cards++
		}
	}
	if disks != len(m.Disks()) || cards != len(m.NICs) {
		t.Errorf("%d disks and %d cards of a machine with %d and %d", disks, cards, len(m.Disks()), len(m.NICs))
	}
}

// appliance packs a machine whose disks really are there, small ones.
func appliance(t *testing.T, m hardware.Machine, f ovf.Flavour, manifest bool) string {
	t.Helper()
	needTool(t, "qemu-img")
	dir := t.TempDir()
	var members []ovf.Member
	add := func(name string) {
		member, err := ovf.FileMember(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		members = append(members, member)
	}
	m = m.Clone()
	for i := range m.Controllers {
		for j := range m.Controllers[i].Drives {
			d := &m.Controllers[i].Drives[j]
			switch {
			case d.Kind == hardware.Disk:
				run(t, dir, "qemu-img", "create", "-q", "-f", "vmdk", "-o", "subformat=streamOptimized", d.File, "1M")
				d.Capacity = 1 << 20
			case d.File != "":
				if err := os.WriteFile(filepath.Join(dir, d.File), make([]byte, 4096), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "box.ovf"), write(t, m, f), 0o644); err != nil {
		t.Fatal(err)
	}
	add("box.ovf")
	names := []string{"box.ovf"}
	d, err := ovf.Read(bytes.NewReader(write(t, m, f)))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range d.Files {
		add(file.Name)
		names = append(names, file.Name)
	}
	var sums ovf.Manifest
	if manifest {
		if sums, err = ovf.SumFiles(t.Context(), dir, names...); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "box.ova")
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := ovf.WriteOVA(t.Context(), out, members, sums); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestVirtV2V has virt-v2v, which shares nothing with us, read the appliances and tell what it saw. It knows firmware only from VMware's
// words, and the name only where VMware has it.
func TestVirtV2V(t *testing.T) {
	t.Parallel()
	needTool(t, "virt-v2v")
	for f, want := range map[ovf.Flavour][]string{
		ovf.VMware:     {"source name: two & a half", "firmware: uefi", `Bridge "nat" mac: 08:00:27:3b:9c:80 [e1000]`, `Bridge "bridged" mac: 08:00:27:00:00:01 [pcnet32]`},
		ovf.VirtualBox: {"source name: box", `Bridge "NAT" [e1000]`, `Bridge "Bridged" [pcnet32]`},
	} {
		t.Run(string(f), func(t *testing.T) {
			t.Parallel()
			path := appliance(t, rich(), f, f == ovf.VMware) // the one way to order an archive, and the other
			out := run(t, t.TempDir(), "env", "LIBGUESTFS_BACKEND=direct", "virt-v2v", "-i", "ova", path, "--print-source")
			want := append(want, "memory: 536870912 ", "nr vCPUs: 4", "0 [sata]", "1 [scsi]", "CD-ROM [ide] in slot 0", "CD-ROM [scsi] in slot 3")
			for _, line := range want {
				if !strings.Contains(out, line) {
					t.Errorf("virt-v2v does not see %q:\n%s", line, out)
				}
			}
		})
	}
}

// TestArchiveOrder has three readers of tar archives list the members, and look at the format.
func TestArchiveOrder(t *testing.T) {
	t.Parallel()
	needTool(t, "tar", "bsdtar", "python3")
	for manifest, want := range map[bool]string{
		true:  "box.ovf box.mf box-disk001.vmdk data.vmdk tools.iso",
		false: "box.ovf box-disk001.vmdk data.vmdk tools.iso box.mf",
	} {
		path := appliance(t, rich(), ovf.VMware, manifest)
		script := "import tarfile,sys\nfor m in tarfile.open(sys.argv[1]): assert m.isreg() and not m.pax_headers, m\nprint(*tarfile.open(sys.argv[1]).getnames())"
		for _, out := range []string{
			run(t, ".", "tar", "tf", path), run(t, ".", "bsdtar", "tf", path), run(t, ".", "python3", "-c", script, path),
		} {
			if got := strings.Join(strings.Fields(out), " "); got != want {
				t.Errorf("members %s, want %s", got, want)
			}
		}
		head := make([]byte, 512)
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.Read(head); err != nil || string(head[257:265]) != "ustar\x0000" {
			t.Errorf("the magic is %q, want that of POSIX ustar (%v)", head[257:265], err)
		}
	}
}
