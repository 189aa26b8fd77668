package vmware

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/disk"
	"github.com/boxkiln/boxkiln/hypervisor/ovf"
	"github.com/boxkiln/boxkiln/hypervisor/vmx"
)

// source makes a VMX file of a stranger's, whose disk boots the typewriter.
func source(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	raw := filepath.Join(dir, "raw")
	if err := os.WriteFile(raw, typewriter(), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(raw, 4<<20); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", "adapter_type=lsilogic,subformat=twoGbMaxExtentSparse",
		raw, filepath.Join(dir, "system.vmdk")).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	path := filepath.Join(dir, "golden.vmx")
	const text = `.encoding = "UTF-8"
config.version = "8"
virtualHW.version = "19"
displayName = "golden"
guestOS = "debian12-64"
numvcpus = "1"
memsize = "32"
scsi0.present = "TRUE"
scsi0.virtualDev = "lsilogic"
scsi0:0.present = "TRUE"
scsi0:0.fileName = "system.vmdk"
ide1:0.present = "TRUE"
ide1:0.deviceType = "cdrom-raw"
ide1:0.fileName = "auto detect"
uuid.bios = "56 4d 01 02 03 04 05 06-07 08 09 0a 0b 0c 0d 0e"
ethernet0.present = "TRUE"
ethernet0.virtualDev = "e1000"
ethernet0.connectionType = "nat"
ethernet0.addressType = "generated"
ethernet0.generatedAddress = "00:0c:29:01:02:03"
my.own.key = "stays"
`
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// fromVMX plans a machine that starts from another.
func fromVMX(t testing.TB, path string, args map[string]any) hypervisor.Spec {
	t.Helper()
	return planned(t, Planner{VMX: true}, with(args, map[string]any{"source_path": path}))
}

// boots starts a machine whose disk has the typewriter, and checks that it answers to the keyboard.
func boots(t *testing.T, m *Machine) {
	t.Helper()
	if err := m.Start(t.Context()); err != nil {
		t.Fatalf("Start: %v", err)
	}
	serial(t, m, ">")
	if err := m.Type(t.Context(), []hypervisor.KeyEvent{{Key: "k", Down: true}, {Key: "k"}}, 0); err != nil {
		t.Fatal(err)
	}
	serial(t, m, ">k")
}

func TestStartsFromVMX(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	path := source(t)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	m := created(t, r.driver(testInstall), fromVMX(t, path, map[string]any{"disk_additional_size": []int{2}}))
	f, err := readVMX(m.path)
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"my.own.key": "stays", "memsize": "32", "scsi0:0.fileName": "disk.vmdk", "scsi0:1.fileName": "disk-1.vmdk", "uuid.bios": ""} {
		if got, _ := f.Get(key); got != want {
			t.Errorf("%s = %q; want %q", key, got, want)
		}
	}
	boots(t, m)
	f, err = readVMX(m.path)
	if err != nil {
		t.Fatal(err)
	}
	if mac := f.MAC(0); mac == "" || mac == "00:0c:29:01:02:03" {
		t.Errorf("the machine has the address %q", mac)
	}
	after, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("the machine that it started from has changed (%v)", err)
	}
}

func TestClones(t *testing.T) {
	t.Parallel()
	for name, args := range map[string]map[string]any{
		"linked":               {"linked": true},
		"a snapshot":           {"attach_snapshot": "first"},
		"linked to a snapshot": {"attach_snapshot": "first", "linked": true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			d, path := r.driver(testInstall), source(t)
			if _, err := d.tools.vmrun(t.Context(), "snapshot", path, "first"); err != nil {
				t.Fatal(err)
			}
			m := created(t, d, fromVMX(t, path, args))
			boots(t, m)
			if err := m.halt(t.Context()); err != nil {
				t.Fatal(err)
			}
			a, err := m.Export(t.Context(), t.TempDir(), hypervisor.ExportOptions{Name: "x"})
			if err != nil {
				t.Fatal(err)
			}
			if got, want := rawDigest(t, diskOf(t, a)), rawDigest(t, filepath.Join(filepath.Dir(path), "system.vmdk")); got != want {
				t.Error("the clone has another disk")
			}
		})
	}
}

// diskOf is the path of an artifact's only disk.
func diskOf(t *testing.T, a hypervisor.Artifact) string {
	t.Helper()
	i := slices.IndexFunc(a.Files, func(f hypervisor.File) bool { return f.Role == hypervisor.RoleDisk })
	if i < 0 {
		t.Fatalf("the artifact %+v has no disk", a)
	}
	return a.Files[i].Path
}

// names lists the files of an artifact by role and name.
func names(a hypervisor.Artifact) []string {
	var all []string
	for _, f := range a.Files {
		all = append(all, string(f.Role)+" "+filepath.Base(f.Path))
	}
	slices.Sort(all)
	return all
}

// ran makes a machine from a VMX, and lets it run once: it has then all that VMware adds.
func ran(t *testing.T, r *rig, args map[string]any) *Machine {
	t.Helper()
	m := created(t, r.driver(testInstall), fromVMX(t, source(t), args))
	boots(t, m)
	if err := m.halt(t.Context()); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestExportFolder(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args  map[string]any
		files []string
		check func(t *testing.T, f *vmx.File)
	}{
		"defaults": {nil, []string{"descriptor golden.vmx", "disk disk.vmdk", "nvram golden.nvram", "other disk-s001.vmdk"}, func(t *testing.T, f *vmx.File) {
			if nics := f.NICs(); len(nics) != 1 || f.MAC(0) != "" {
				t.Errorf("cards %v, address %q", nics, f.MAC(0))
			}
		}},
		"one file":     {map[string]any{"disk_type_id": "0", "vmdk_name": "root"}, []string{"descriptor golden.vmx", "disk root.vmdk", "nvram golden.nvram"}, nil},
		"preallocated": {map[string]any{"disk_type_id": "2"}, []string{"descriptor golden.vmx", "disk disk.vmdk", "nvram golden.nvram", "other disk-flat.vmdk"}, nil},
		"settings and a snapshot": {
			map[string]any{"disk_type_id": "0", "snapshot_name": "done", "display_name": "Golden", "vmx_remove_ethernet_interfaces": true,
				"vmx_data": map[string]string{"mine": "1"}, "vmx_data_post": map[string]string{"mine": "2"}},
			nil, func(t *testing.T, f *vmx.File) {
				mine, _ := f.Get("mine")
				shown, _ := f.Get("displayName")
				if mine != "2" || shown != "Golden" || len(f.NICs()) > 0 {
					t.Errorf("mine = %q, displayName = %q, cards %v", mine, shown, f.NICs())
				}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			m := ran(t, r, c.args)
			dir := t.TempDir()
			var log bytes.Buffer
			a, err := m.Export(t.Context(), dir, hypervisor.ExportOptions{Name: "golden", Log: &log})
			if err != nil {
				t.Fatal(err)
			}
			if c.files != nil {
				if diff := cmp.Diff(c.files, names(a)); diff != "" {
					t.Errorf("files (-want +got):\n%s", diff)
				}
			}
			path := filepath.Join(dir, "golden.vmx")
			f, err := readVMX(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, key := range f.Keys() {
				lower := strings.ToLower(key)
				if strings.HasPrefix(lower, tagPrefix) || strings.Contains(lower, "password") || strings.HasPrefix(lower, "uuid.") || strings.HasPrefix(lower, "serial0") {
					value, _ := f.Get(key)
					t.Errorf("the exported machine has %s = %q", key, value)
				}
			}
			if c.check != nil {
				c.check(t, f)
			}
			if snapshot := c.args["snapshot_name"]; snapshot != nil {
				out, err := m.tools.vmrun(t.Context(), "listSnapshots", path)
				if err != nil || !strings.Contains(out, snapshot.(string)) {
					t.Errorf("snapshots: %q, %v", out, err)
				}
			}
			if !strings.Contains(log.String(), "Compacting disk") && c.args["disk_type_id"] != "2" {
				t.Errorf("the log says %q", log.String())
			}
			// What was exported is a machine to start from.
			boots(t, created(t, r.driver(testInstall), fromVMX(t, path, nil)))
		})
	}
}

// TestExportPackages writes packages by the driver's own hand and by ovftool, reads them by the package for that, and starts from them.
func TestExportPackages(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		format string
		tool   bool
		files  []string
	}{
		"own OVF":     {formatOVF, false, []string{"descriptor golden.ovf", "disk golden-disk1.vmdk", "manifest golden.mf", "nvram golden.nvram"}},
		"own OVA":     {formatOVA, false, []string{"appliance golden.ova"}},
		"ovftool OVF": {formatOVF, true, nil},
		"ovftool OVA": {formatOVA, true, []string{"appliance golden.ova"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			if c.tool {
				r.install(t, ovfTool)
			}
			m := ran(t, r, map[string]any{"format": c.format})
			before := rawDigest(t, filepath.Join(m.folder(), diskName(0)))
			dir := t.TempDir()
			var log bytes.Buffer
			a, err := m.Export(t.Context(), dir, hypervisor.ExportOptions{Name: "golden", Log: &log})
			if err != nil {
				t.Fatal(err)
			}
			if c.files != nil {
				if diff := cmp.Diff(c.files, names(a)); diff != "" {
					t.Errorf("files (-want +got):\n%s", diff)
				}
			}
			if left, err := filepath.Glob(filepath.Join(m.folder(), exportName+"*")); err != nil || len(left) > 0 {
				t.Errorf("the export has left %v", left)
			}
			path := filepath.Join(dir, "golden."+c.format)
			if c.format == formatOVF {
				if got := rawDigest(t, diskOf(t, a)); got != before {
					t.Error("the exported disk holds something else")
				}
				checkOVF(t, path)
			}
			again := created(t, r.driver(testInstall), fromVMX(t, path, nil))
			if got := rawDigest(t, filepath.Join(again.folder(), diskName(0))); got != before {
				t.Error("the disk of a machine that starts from it holds something else")
			}
			boots(t, again)
		})
	}
}

func checkOVF(t *testing.T, path string) {
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
	if d.Flavour != ovf.VMware || d.Machine.Name != "golden" || len(d.Machine.Disks()) != 1 {
		t.Errorf("descriptor %+v", d)
	}
	if err := checkManifest(t.Context(), path); err != nil {
		t.Errorf("manifest: %v", err)
	}
}

// TestDamagedPackage starts from an OVF whose disk is not what its manifest says.
func TestDamagedPackage(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	m := ran(t, r, map[string]any{"format": formatOVF})
	dir := t.TempDir()
	a, err := m.Export(t.Context(), dir, hypervisor.ExportOptions{Name: "golden"})
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(diskOf(t, a), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("x"); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	spec := fromVMX(t, filepath.Join(dir, "golden.ovf"), nil)
	if _, err := r.driver(testInstall).Create(t.Context(), spec); err == nil || !strings.Contains(err.Error(), "golden-disk1.vmdk") {
		t.Errorf("Create: %v", err)
	}
	if left, err := os.ReadDir(spec.Dir); err != nil || len(left) > 0 {
		t.Errorf("%s holds %v (%v)", spec.Dir, left, err)
	}
}

// TestFreezeKeepsDisks freezes a machine with a system on its disk, and starts another from it after it is gone.
func TestFreezeKeepsDisks(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	d := r.driver(testInstall)
	path := source(t)
	spec := fromVMX(t, path, nil)
	m, err := d.Create(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	boots(t, m.(*Machine))
	if err := m.(*Machine).halt(t.Context()); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	frozen, err := m.(*Machine).Freeze(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Destroy(t.Context()); err != nil {
		t.Fatal(err)
	}
	other := fromVMX(t, path, nil)
	if err := d.Fits(t.Context(), frozen, other); err != nil {
		t.Errorf("Fits: %v", err)
	}
	thawed, err := d.Thaw(t.Context(), frozen, dir, other)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := thawed.Destroy(t.Context()); err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
	})
	boots(t, thawed.(*Machine))
	if err := thawed.Destroy(t.Context()); err != nil {
		t.Fatal(err)
	}
	info, err := (disk.Tool{}).Info(t.Context(), filepath.Join(dir, frozen.Disks[0].Name), disk.VMDK)
	if err != nil || info.VirtualSize != frozen.Disks[0].VirtualSize {
		t.Errorf("the frozen disk: %+v, %v", info, err)
	}
}
