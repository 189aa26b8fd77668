package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/boxkiln/boxkiln/test/sim/sector"
)

// An exported machine comes back as it was and boots, from a folder and from an archive, with its disk unchanged.
func TestExportImport(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		profile, output string
		options         []string
	}{
		{"6.1", "box.ovf", nil},
		{"6.1", "box.ova", []string{"--manifest"}},
		{"7.0", "box.ova", []string{"--options", "manifest,nomacs"}},
		{"7.2", "box.ovf", []string{"--ovf20", "--manifest", "--vsys", "0", "--product", "A & B", "--description", "<x>"}},
	} {
		t.Run(c.profile+" "+c.output, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, c.profile)
			r.typewriter("tw", "--cpus", "2", "--natpf1", "web,tcp,127.0.0.1,8099,,80", "--boot1", "disk", "--firmware", "bios", "--vram", "17")
			r.ok("storagectl", "tw", "--name", "IDE Controller", "--add", "ide")
			r.ok("storageattach", "tw", "--storagectl", "IDE Controller", "--port", "1", "--device", "0", "--type", "dvddrive", "--medium", "emptydrive")
			if got := r.ok(append([]string{"export", "tw", "--output", c.output}, c.options...)...); got != "Successfully exported 1 machine(s).\n" {
				t.Errorf("export says %q", got)
			}
			dry := r.ok("import", "-n", c.output)
			for _, want := range []string{"Disks:\n  vmdisk1\t1048576\t-1\t" + streamURI + "\tbox-disk001.vmdk\t-1\t-1\t\n\nVirtual system 0:\n 0: Suggested OS type: \"Debian_64\"\n", "Suggested VM name \"tw_1\""} {
				if !strings.Contains(dry, want) {
					t.Errorf("no %q in\n%s", want, dry)
				}
			}
			disk := regexp.MustCompile(`(?m)^ ?(\d+): Hard disk image: source image=.+, target path=(.+),`).FindStringSubmatch(dry)
			if disk == nil || disk[2] != "box-disk001.vmdk" {
				t.Fatalf("no disk in\n%s", dry)
			}
			r.ok("import", c.output, "--vsys", "0", "--vmname", "again", "--vsys", "0", "--unit", disk[1], "--disk", r.path("again.vmdk"))
			compare(t, r.path("tw.vdi"), r.path("again.vmdk"))
			wantSame(t, r)
			r.ok("modifyvm", "again", "--uartmode1", "file", r.path("again.serial"), "--uart1", "0x3f8", "4")
			r.ok("startvm", "again")
			r.waitSerial("again", sector.Greeting)
			r.esc("again")
			r.waitUnlocked("again")
			r.ok("unregistervm", "again", "--delete")
		})
	}
}

// wantSame compares what an imported machine shows to what the exported one does.
func wantSame(t *testing.T, r *rig) {
	t.Helper()
	differ := regexp.MustCompile(`^(name|UUID|CfgFile|SnapFldr|LogFldr|hardwareuuid|VMStateChangeTime|macaddress1|uart1|uartmode1|"SATA-(ImageUUID-)?0-0"|rec_screen_dest_filename|BIOS NVRAM File|NvramFile|uarttype1)=`)
	show := func(name string) []string {
		return slices.DeleteFunc(strings.Split(r.ok("showvminfo", name, "--machinereadable"), "\n"), differ.MatchString)
	}
	was, is := show("tw"), show("again")
	for _, line := range was {
		if !slices.Contains(is, line) {
			t.Errorf("%s was lost:\n%s", line, strings.Join(is, "\n"))
		}
	}
}

func compare(t *testing.T, a, b string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "qemu-img", "compare", a, b).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// A real OVA is read in order by other people's programs.
func TestArchiveOrder(t *testing.T) {
	t.Parallel()
	r := newRig(t, "6.1")
	r.typewriter("tw")
	r.ok("export", "tw", "--output", "x.ova", "--manifest")
	out, err := exec.CommandContext(t.Context(), "tar", "tf", r.path("x.ova")).CombinedOutput()
	if err != nil || string(out) != "x.ovf\nx-disk001.vmdk\nx.mf\n" {
		t.Errorf("members %q, %v", out, err)
	}
}

// The licence trap: nothing is imported, and the exit code is 0.
func TestLicence(t *testing.T) {
	t.Parallel()
	r := newRig(t, "6.1")
	r.typewriter("tw")
	r.ok("export", "tw", "--output", "x.ovf", "--vsys", "0", "--eula", "Be nice.", "--vmname", "nice")
	a := r.call(nil, "import", "x.ovf")
	if a.exit != 0 || !strings.HasSuffix(a.err, "VBoxManage: error: Cannot import until the license agreement listed above is accepted.\n") {
		t.Errorf("%+v", a)
	}
	if got := r.ok("list", "vms"); strings.Contains(got, "nice") {
		t.Errorf("imported without asking: %s", got)
	}
	r.ok("import", "x.ovf", "--vsys", "0", "--eula", "accept", "--options", "importtovdi")
	if got := r.ok("showvminfo", "nice", "--machinereadable"); !strings.Contains(got, "x-disk001.vdi\"") {
		t.Errorf("no VDI:\n%s", got)
	}
}

// What the reader refuses; each row changes a good export.
func TestBadAppliances(t *testing.T) {
	t.Parallel()
	r := newRig(t, "6.1")
	r.typewriter("tw")
	r.ok("export", "tw", "--output", "good.ovf")
	good, err := os.ReadFile(r.path("good.ovf"))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ old, new, want string }{
		"root":           {"Envelope", "Envelop", "Root element in OVF file must be \"Envelope\"."},
		"file":           {`ovf:id="file1"`, `ovf:id="file2"`, "cannot find referenced file \"file1\""},
		"format":         {"#streamOptimized", "#something", "Invalid format attribute"},
		"units":          {"MegaBytes", "GigaBytes", "Invalid allocation unit \"GigaBytes\""},
		"parent":         {"<rasd:Parent>3<", "<rasd:Parent>2<", "invalid parent 2"},
		"host resource":  {"/disk/vmdisk1", "disk/vmdisk1", "Unsupported host resource"},
		"disk":           {"/disk/vmdisk1", "/disk/vmdisk2", "Invalid disk \"vmdisk2\""},
		"resource type":  {"<rasd:ResourceType>10<", "<rasd:ResourceType>99<", "Unknown resource type 99"},
		"no type":        {"<rasd:ResourceType>10</rasd:ResourceType>", "", "Element ResourceType is absent"},
		"instance":       {"<rasd:InstanceID>2<", "<rasd:InstanceID>1<", "Duplicate InstanceID 1"},
		"no instance":    {"<rasd:InstanceID>2</rasd:InstanceID>", "", "Element InstanceID is absent"},
		"SATA":           {">AHCI<", ">OTHER<", "supported with SATA AHCI or Virtio-SCSI controllers only"},
		"image":          {}, // see below
		"no such medium": {"good-disk001.vmdk", "other.vmdk", "VERR_FILE_NOT_FOUND"},
		"leads out":      {"good-disk001.vmdk", "../good-disk001.vmdk", "leads out of the appliance"},
		"not XML":        {"</Envelope>", "", "Error reading"},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.ReplaceAll(string(good), c.old, c.new)
			if name == "image" {
				text = regexp.MustCompile(`<Image uuid="\{[^}]*\}"`).ReplaceAllString(string(good), `<Image uuid="{01234567-89ab-cdef-0123-456789abcdef}"`)
				c.want = "contains a medium attachment for the disk image {01234567-89ab-cdef-0123-456789abcdef} but the OVF describes no such image"
			}
			if text == string(good) {
				t.Fatal("nothing was changed")
			}
			path := r.path("bad " + name + ".ovf")
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			r.fails(exitFailure, c.want, "import", path)
			r.wantOnly("tw")
		})
	}
}

// wantOnly tells if there is one machine with one disk, and no other folder among the machines'.
func (r *rig) wantOnly(name string) {
	r.t.Helper()
	if vms := r.ok("list", "vms"); strings.Count(vms, "\n") != 1 || !strings.HasPrefix(vms, "\""+name+"\"") {
		r.t.Errorf("machines:\n%s", vms)
	}
	if disks := r.ok("list", "hdds"); strings.Count(disks, "Location:") != 1 {
		r.t.Errorf("disks:\n%s", disks)
	}
	if folders, err := os.ReadDir(r.path("vms")); err != nil || len(folders) != 1 {
		r.t.Errorf("folders %v, %v", folders, err)
	}
}

// Appliances whose files are not what they should be leave nothing behind.
func TestDamagedAppliances(t *testing.T) {
	t.Parallel()
	r := newRig(t, "7.0")
	r.typewriter("tw")
	r.ok("export", "tw", "--output", "x.ova", "--manifest")
	for name, c := range map[string]struct {
		change func(members []member) []member
		want   string
	}{
		"digest":      {func(m []member) []member { m[1].data[len(m[1].data)/2] ^= 1; return m }, "SHA1 digest of 'x-disk001.vmdk' does not match"},
		"order":       {func(m []member) []member { return []member{m[1], m[0], m[2]} }, "the first member 'x-disk001.vmdk' is not an OVF file"},
		"up":          {func(m []member) []member { return append(m, member{name: "../evil"}) }, "is not a regular file in the archive's own folder"},
		"no disk":     {func(m []member) []member { return m[:1] }, "VERR_FILE_NOT_FOUND"},
		"cert alone":  {func(m []member) []member { return append(m[:2], member{name: "x.cert"}) }, "without a manifest"},
		"truncated":   {func(m []member) []member { m[1].data = m[1].data[:100]; return m[:2] }, "VBOX_E_FILE_ERROR"},
		"not a VMDK":  {func(m []member) []member { m[1].data = bytes.Repeat([]byte("x"), 4096); return m[:2] }, "VBOX_E_FILE_ERROR"},
		"no manifest": {func(m []member) []member { m[2].data = []byte("nonsense\n"); return m }, "VERR_MANIFEST_MALFORMED"},
	} {
		t.Run(name, func(t *testing.T) {
			path := r.path("bad.ova")
			writeArchive(t, path, c.change(readArchive(t, r.path("x.ova"))))
			r.fails(exitFailure, c.want, "import", path)
			r.wantOnly("tw")
		})
	}
}

type member struct {
	name string
	data []byte
}

func readArchive(t *testing.T, path string) []member {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var members []member
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return members
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		members = append(members, member{h.Name, data})
	}
}

func writeArchive(t *testing.T, path string, members []member) {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, m := range members {
		if err := w.WriteHeader(&tar.Header{Name: m.name, Size: int64(len(m.data)), Mode: 0o600, Format: tar.FormatUSTAR}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(m.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), os.WriteFile(path, b.Bytes(), 0o600)); err != nil {
		t.Fatal(err)
	}
}

// Snapshots bring the disk back to what it was, and go.
func TestSnapshots(t *testing.T) {
	t.Parallel()
	r := newRig(t, "7.0")
	r.typewriter("tw")
	if a := r.call(nil, "snapshot", "tw", "list", "--machinereadable"); a.exit != 1 || a.out != "This machine does not have any snapshots\n" {
		t.Errorf("%+v", a)
	}
	if got := r.ok("snapshot", "tw", "take", "one", "--description", "d"); !strings.HasPrefix(got, "Snapshot taken. UUID: ") {
		t.Errorf("take says %q", got)
	}
	current := r.disk("tw")
	if filepath.Dir(current) != r.path("vms/tw/Snapshots") {
		t.Errorf("the disk is %s", current)
	}
	// The machine changes: its disk does not boot any more, its memory grows.
	wipe(t, current)
	r.ok("modifyvm", "tw", "--memory", "80")
	r.ok("snapshot", "tw", "take", "two")
	got := r.ok("snapshot", "tw", "list", "--machinereadable")
	if !regexp.MustCompile(`^SnapshotName="one"\nSnapshotUUID=".{36}"\nSnapshotDescription="d"\nSnapshotName-1="two"\nSnapshotUUID-1=".{36}"\n` +
		`CurrentSnapshotName="two"\nCurrentSnapshotUUID=".{36}"\nCurrentSnapshotNode="SnapshotName-1"\n$`).MatchString(got) {
		t.Errorf("snapshots:\n%s", got)
	}
	r.ok("snapshot", "tw", "restore", "one")
	if got := r.ok("showvminfo", "tw", "--machinereadable"); !strings.Contains(got, "\nmemory=64\n") {
		t.Errorf("not restored:\n%s", got)
	}
	r.ok("startvm", "tw")
	r.waitSerial("tw", sector.Greeting)
	r.esc("tw")
	r.waitUnlocked("tw")
	r.ok("snapshot", "tw", "delete", "two")
	r.ok("snapshot", "tw", "delete", "one")
	r.ok("startvm", "tw")
	r.waitSerial("tw", sector.Greeting)
	r.esc("tw")
	r.waitUnlocked("tw")
	r.ok("unregistervm", "tw", "--delete")
	if got := r.ok("list", "hdds"); got != "" {
		t.Errorf("left: %s", got)
	}
}

// disk is the path of a machine's disk.
func (r *rig) disk(name string) string {
	r.t.Helper()
	found := regexp.MustCompile(`"SATA-0-0"="(.*)"`).FindStringSubmatch(r.ok("showvminfo", name, "--machinereadable"))
	if found == nil {
		r.t.Fatal("no disk")
	}
	return found[1]
}

// wipe clears the boot sector of a VDI.
func wipe(t *testing.T, path string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "qemu-io", "-f", "vdi", "-c", fmt.Sprintf("write -P 0 0 %d", 512), path).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// Clones, media, extra data and the rest.
func TestOddments(t *testing.T) {
	t.Parallel()
	r := newRig(t, "6.1")
	r.typewriter("tw")
	r.ok("clonevm", "tw", "--name", "copy", "--register")
	compare(t, r.path("tw.vdi"), r.path("vms/copy/copy-disk1.vdi"))
	for format, suffix := range map[string]string{"VMDK": ".vmdk", "VHD": ".vhd", "VDI": ".vdi"} {
		if got := r.ok("clonemedium", "disk", "tw.vdi", "clone"+suffix, "--format", format); !strings.HasPrefix(got, "Clone medium created in format '"+format+"'. UUID: ") {
			t.Errorf("clonemedium says %q", got)
		}
		compare(t, r.path("tw.vdi"), r.path("clone"+suffix))
	}
	r.ok("modifymedium", "disk", "clone.vdi", "--resize", "4")
	r.ok("modifymedium", "disk", "clone.vdi", "--compact")
	if got := r.ok("showmediuminfo", "disk", "clone.vdi"); !strings.Contains(got, "Capacity:       4 MBytes\n") || !strings.Contains(got, "Format variant: dynamic default\n") {
		t.Errorf("%s", got)
	}
	r.fails(exitFailure, "cannot be closed because it is still attached to 1 virtual machines", "closemedium", "disk", "tw.vdi")
	r.ok("closemedium", "disk", "clone.vdi", "--delete")
	r.ok("setextradata", "global", "GUI/RegistrationData", "triesLeft=0")
	if got := r.ok("getextradata", "global", "GUI/RegistrationData") + r.ok("getextradata", "tw", "x") + r.ok("guestproperty", "get", "tw", "/x"); got != "Value: triesLeft=0\nNo value set!\nNo value set!\n" {
		t.Errorf("%q", got)
	}
	r.ok("modifyvm", "copy", "--name", "other")
	if _, err := os.Stat(r.path("vms/other/other.vbox")); err != nil {
		t.Error(err)
	}
	if got := r.ok("list", "systemproperties"); !strings.Contains(got, "Default machine folder:          "+r.path("vms")+"\n") {
		t.Errorf("%s", got)
	}
	if got := r.ok("list", "ostypes"); !strings.Contains(got, "\nID:          Debian_64\nDescription: Debian (64-bit)\nFamily ID:   Linux\nFamily Desc: Linux\n64 bit:      true\n") {
		t.Errorf("%s", got)
	}
}
