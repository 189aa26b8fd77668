package main

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/boxkiln/boxkiln/test/sim/sector"
	"github.com/boxkiln/boxkiln/test/sim/vmware/vmdk"
)

const progress = "  %s: 1% done.\r  %s: 25% done.\r  %s: 50% done.\r  %s: 75% done.\r  %s: 99% done.\r  %s: 100% done.\n"

func steps(what string) string { return strings.ReplaceAll(progress, "%s", what) }

// TestDiskKinds makes a disk of every kind, and turns one into every other.
func TestDiskKinds(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.disk("source.vmdk", sector.Typewriter(), "monolithicSparse")
	for i, want := range []string{"monolithicSparse", "twoGbMaxExtentSparse", "monolithicFlat", "twoGbMaxExtentFlat", "vmfs", "streamOptimized", "vmfs"} {
		kind := string(rune('0' + i))
		made, converted := "made"+kind+".vmdk", "converted"+kind+".vmdk"
		if out := r.ok("vmware-vdiskmanager", "-c", "-s", "10M", "-a", "pvscsi", "-t", kind, made); out != "Creating disk '"+made+"'\r"+steps("Create")+"Virtual disk creation successful.\n" {
			t.Errorf("-c -t %s says %q", kind, out)
		}
		if out := r.ok("vmware-vdiskmanager", "-r", "source.vmdk", "-t", kind, converted); out != "Creating disk '"+converted+"'\n"+steps("Convert")+"Virtual disk conversion successful.\n" {
			t.Errorf("-r -t %s says %q", kind, out)
		}
		for _, name := range []string{made, converted} {
			if info, err := vmdk.Inspect(t.Context(), r.path(name)); err != nil || info.CreateType != want || info.Size != 10<<20 {
				t.Errorf("%s is %+v, %v; want %s", name, info, err, want)
			}
		}
		if got := vmdk.Adapter(r.path(made)); got != "pvscsi" {
			t.Errorf("%s is for the adapter %s", made, got)
		}
		r.same("source.vmdk", converted)
	}
}

// same compares what a guest sees of two disks.
func (r *rig) same(a, b string) {
	r.t.Helper()
	if out, err := exec.Command("qemu-img", "compare", "-f", "vmdk", "-F", "vmdk", r.path(a), r.path(b)).CombinedOutput(); err != nil {
		r.t.Errorf("%s and %s: %v: %s", a, b, err, out)
	}
}

func TestDiskVerbs(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.disk("d.vmdk", sector.Typewriter(), "twoGbMaxExtentSparse")
	r.disk("copy.vmdk", sector.Typewriter(), "monolithicSparse")
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"-d", "d.vmdk"}, steps("Defragment") + "Defragmentation completed successfully.\n"},
		{[]string{"-k", "d.vmdk"}, steps("Shrink") + "Shrink completed successfully.\n"},
		{[]string{"-R", "d.vmdk"}, "No errors were found on the virtual disk, 'd.vmdk'.\n"},
		{[]string{"-e", "d.vmdk"}, "Disk chain is consistent.\n"},
		{[]string{"-n", "d.vmdk", "e.vmdk"}, "Rename completed successfully.\n"},
	} {
		if out := r.ok("vmware-vdiskmanager", c.args...); out != c.want {
			t.Errorf("%q says %q; want %q", c.args, out, c.want)
		}
	}
	r.same("e.vmdk", "copy.vmdk")
	if r.exists("d.vmdk") || r.exists("d-s001.vmdk") || !r.exists("e-s001.vmdk") {
		t.Error("the files of the renamed disk did not follow it")
	}
	r.ok("vmware-vdiskmanager", "-x", "20MB", "e.vmdk")
	if info, err := vmdk.Inspect(t.Context(), r.path("e.vmdk")); err != nil || info.Size != 20<<20 || info.CreateType != "twoGbMaxExtentSparse" {
		t.Errorf("the grown disk: %+v, %v", info, err)
	}
	r.ok("vmware-vdiskmanager", "-U", "e.vmdk")
	if r.exists("e.vmdk") || r.exists("e-s001.vmdk") {
		t.Error("the deleted disk is still there")
	}
}

func TestDiskRefusals(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.disk("flat.vmdk", sector.Typewriter(), "monolithicFlat")
	if err := os.WriteFile(r.path("broken.vmdk"), []byte("KDMV"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"-c", "-s", "1M", "-a", "ide", "-t", "0", "flat.vmdk"}, `^Failed to create disk: The file already exists \(0x2700000027\)\n$`},
		{[]string{"-d", "broken.vmdk"}, `^Failed to open the disk 'broken.vmdk' : The specified virtual disk needs repair \(0xe00003e86\)\.\n$`},
		{[]string{"-k", "none.vmdk"}, `^Failed to open the disk 'none.vmdk' : `},
		{[]string{"-k", "flat.vmdk"}, `^Shrink failed: `},
		{[]string{"-x", "1M", "flat.vmdk"}, `^Failed to expand the disk: `},
		{[]string{"-r", "flat.vmdk", "-t", "9", "x.vmdk"}, `Usage: vmware-vdiskmanager OPTIONS`},
		{[]string{"-c", "-s", "much", "-t", "0", "x.vmdk"}, `Usage: vmware-vdiskmanager OPTIONS`},
		{[]string{"-c", "-s", "1M", "-a", "sata", "-t", "0", "x.vmdk"}, `Usage: vmware-vdiskmanager OPTIONS`},
		{[]string{"-c", "-d", "-s", "1M", "-t", "0", "x.vmdk"}, `Usage: vmware-vdiskmanager OPTIONS`},
		{nil, `Usage: vmware-vdiskmanager OPTIONS`},
	} {
		if a := r.run("vmware-vdiskmanager", c.args...); a.code != 1 || !regexp.MustCompile(c.want).MatchString(a.stdout) || a.stderr != "" {
			t.Errorf("%q: %+v; want %s", c.args, a, c.want)
		}
	}
	if r.exists("x.vmdk") {
		t.Error("a refused disk was made")
	}
}

// scribble writes into a disk what a guest would.
func (r *rig) scribble(name, text string) {
	r.t.Helper()
	out, err := exec.Command("qemu-io", "-f", "vmdk", "-c", "write -P "+text+" 1M 64k", r.path(name)).CombinedOutput()
	if err != nil {
		r.t.Fatalf("%v: %s", err, out)
	}
}

// holds tells whether a guest would read that.
func (r *rig) holds(name, text string) bool {
	r.t.Helper()
	out, err := exec.Command("qemu-io", "-f", "vmdk", "-r", "-c", "read -P "+text+" 1M 64k", r.path(name)).CombinedOutput()
	return err == nil && !strings.Contains(string(out), "failed")
}

// disk0 is the disk that a VMX names.
func (r *rig) disk0(name string) string {
	r.t.Helper()
	m := regexp.MustCompile(`scsi0:0\.fileName = "(.*)"`).FindStringSubmatch(r.read(name))
	if m == nil {
		r.t.Fatalf("%s names no disk", name)
	}
	return m[1]
}

func TestSnapshots(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.disk("disk.vmdk", sector.Typewriter(), "monolithicSparse")
	r.write("x.vmx", "")
	if out := r.ok("vmrun", "listSnapshots", "x.vmx"); out != "Total snapshots: 0\n" {
		t.Errorf("no snapshots: %q", out)
	}
	r.scribble("disk.vmdk", "1")
	r.ok("vmrun", "snapshot", "x.vmx", "one")
	r.scribble(r.disk0("x.vmx"), "2")
	r.ok("vmrun", "snapshot", "x.vmx", "two")
	r.scribble(r.disk0("x.vmx"), "3")
	if out := r.ok("vmrun", "listSnapshots", "x.vmx"); out != "Total snapshots: 2\none\ntwo\n" {
		t.Errorf("two snapshots: %q", out)
	}
	r.refused("already exists", "snapshot", "x.vmx", "two")
	if got := r.disk0("x.vmx"); got != "disk-000002.vmdk" || !r.holds(got, "3") || !r.holds("disk.vmdk", "1") {
		t.Errorf("the machine goes on with %s", got)
	}
	r.ok("vmrun", "revertToSnapshot", "x.vmx", "one")
	if got := r.disk0("x.vmx"); !r.holds(got, "1") {
		t.Errorf("reverted to one, and %s has something else", got)
	}
	r.ok("vmrun", "revertToSnapshot", "x.vmx", "two")
	if got := r.disk0("x.vmx"); !r.holds(got, "2") {
		t.Errorf("reverted to two, and %s has something else", got)
	}
	r.ok("vmrun", "deleteSnapshot", "x.vmx", "one")
	if got := r.disk0("x.vmx"); !r.holds(got, "2") || !r.holds("disk.vmdk", "2") || r.exists("disk-000001.vmdk") {
		t.Errorf("one was deleted, and %s or the disk under it has something else", got)
	}
	r.scribble(r.disk0("x.vmx"), "4")
	r.ok("vmrun", "deleteSnapshot", "x.vmx", "two", "andDeleteChildren")
	if got := r.disk0("x.vmx"); got != "disk.vmdk" || !r.holds(got, "4") {
		t.Errorf("all were deleted, and %s has something else", got)
	}
	r.ok("vmrun", "snapshot", "x.vmx", "last")
	r.ok("vmrun", "deleteVM", "x.vmx")
	if entries, err := os.ReadDir(r.dir); err == nil && len(entries) > 0 {
		t.Errorf("the deleted machine has left %v", entries)
	}
}

func TestClones(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.machine("uuid.bios = \"56 4d 00 00 00 00 00 00-00 00 00 00 00 00 00 01\"\nethernet0.generatedAddress = \"00:0c:29:00:00:01\"\n")
	r.scribble("disk.vmdk", "1")
	r.ok("vmrun", "snapshot", "x.vmx", "one")
	r.scribble(r.disk0("x.vmx"), "2")
	r.ok("vmrun", "clone", "x.vmx", "full/a.vmx", "full")
	r.ok("vmrun", "clone", "x.vmx", "old/b.vmx", "full", "-snapshot=one", "-cloneName=from one")
	r.ok("vmrun", "clone", "x.vmx", "linked/c.vmx", "linked")
	r.ok("vmrun", "clone", "x.vmx", "linked1/d.vmx", "linked", "-snapshot=one")
	for name, want := range map[string]string{"full/a.vmx": "2", "old/b.vmx": "1", "linked/c.vmx": "2", "linked1/d.vmx": "1"} {
		dir, _, _ := strings.Cut(name, "/")
		text := r.read(name)
		if disk := dir + "/" + r.disk0(name); !r.holds(disk, want) {
			t.Errorf("%s has something else than %s", disk, want)
		}
		if strings.Contains(text, "uuid.bios") || strings.Contains(text, "generatedAddress") || !strings.Contains(text, "answer.to.everything") {
			t.Errorf("%s:\n%s", name, text)
		}
	}
	if !strings.Contains(r.read("old/b.vmx"), `displayName = "from one"`) {
		t.Error("the clone is not called from one")
	}
	r.scribble("linked/"+r.disk0("linked/c.vmx"), "5")
	if !r.holds(r.disk0("x.vmx"), "2") {
		t.Error("the clone writes into its source")
	}
	r.ok("vmrun", "start", "linked/c.vmx", "nogui")
	r.ok("vmrun", "start", "x.vmx", "nogui")
	r.serial(sector.Greeting)
}
