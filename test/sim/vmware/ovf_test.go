package main

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/boxkiln/boxkiln/test/sim/sector"
	"github.com/boxkiln/boxkiln/test/sim/vmware/vmdk"
)

// TestPackages takes a machine through OVF and OVA back into one that boots.
func TestPackages(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.machine("guestOS = \"debian12-64\"\nnumvcpus = \"2\"\nnvram = \"my.nvram\"\nide1:0.present = \"TRUE\"\nide1:0.deviceType = \"cdrom-raw\"\n" +
		"sata0.present = \"TRUE\"\nsata0:1.present = \"TRUE\"\nsata0:1.fileName = \"second.vmdk\"\n")
	r.disk("second.vmdk", []byte("two"), "twoGbMaxExtentSparse")
	if err := os.WriteFile(r.path("my.nvram"), []byte("variables"), 0o644); err != nil {
		t.Fatal(err)
	}
	out := r.ok("ovftool", "--acceptAllEulas", "--noSSLVerify=true", "x.vmx", "p.ovf")
	want := "Opening VMX source: " + r.path("x.vmx") + "\nOpening OVF target: " + r.path("p.ovf") + "\nWriting OVF package: " + r.path("p.ovf") + "\n"
	if !strings.HasPrefix(out, want) || !regexp.MustCompile(`(Disk progress: \d+%\r)+Transfer Completed +\nCompleted successfully\n$`).MatchString(out) {
		t.Errorf("ovftool says %q", out)
	}
	if info, err := vmdk.Inspect(t.Context(), r.path("p-disk1.vmdk")); err != nil || info.CreateType != "streamOptimized" {
		t.Errorf("the disk of the package is %+v, %v", info, err)
	}
	if mf := r.read("p.mf"); !regexp.MustCompile(`^SHA256\(p\.ovf\)= [0-9a-f]{64}\nSHA256\(p-disk1\.vmdk\)= [0-9a-f]{64}\nSHA256\(p-disk2\.vmdk\)= .*\nSHA256\(p-file1\.nvram\)= .*\n$`).MatchString(mf) {
		t.Errorf("the manifest is\n%s", mf)
	}
	r.valid("p.ovf")
	r.ok("ovftool", "-tt=OVA", "--name=other", "x.vmx", "p.ova")
	if names := members(t, r.path("p.ova")); strings.Join(names, " ") != "p.ovf p.mf p-disk1.vmdk p-disk2.vmdk p-file1.nvram" {
		t.Errorf("the OVA holds %v", names)
	}
	for source, name := range map[string]string{"p.ovf": "try", "p.ova": "other"} {
		dir := strings.ReplaceAll(source, ".", "-")
		if err := os.Mkdir(r.path(dir), 0o755); err != nil {
			t.Fatal(err)
		}
		r.ok("ovftool", source, dir+"/again.vmx")
		text := r.read(dir + "/again.vmx")
		for _, want := range []string{
			`displayName = "` + name + `"`, `guestOS = "debian12-64"`, `numvcpus = "2"`, `memsize = "64"`, `virtualHW.version = "19"`,
			`scsi0.virtualDev = "lsilogic"`, `scsi0:0.fileName = "again-disk1.vmdk"`, `sata0:1.fileName = "again-disk2.vmdk"`, `ide1:0.present = "TRUE"`,
			`ethernet0.virtualDev = "e1000"`, `ethernet0.connectionType = "nat"`, `nvram = "again.nvram"`,
		} {
			if !strings.Contains(text, want) {
				t.Errorf("%s has no %s:\n%s", source, want, text)
			}
		}
		r.same("disk.vmdk", dir+"/again-disk1.vmdk")
		if got := r.read(dir + "/again.nvram"); got != "variables" {
			t.Errorf("the firmware's variables are %q", got)
		}
	}
	if err := os.WriteFile(r.path("p-ovf/again.vmx"), []byte(r.read("p-ovf/again.vmx")+"serial0.present = \"TRUE\"\nserial0.fileType = \"file\"\nserial0.fileName = \""+r.path("serial.log")+"\"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	r.ok("vmrun", "start", "p-ovf/again.vmx", "nogui")
	r.serial(sector.Greeting)
}

// valid checks a descriptor against the schema, where there is one.
func (r *rig) valid(name string) {
	r.t.Helper()
	schema := os.Getenv("BOXKILN_OVF_XSD")
	if _, err := exec.LookPath("xmllint"); err != nil || schema == "" {
		return
	}
	if out, err := exec.Command("xmllint", "--nonet", "--noout", "--schema", schema, r.path(name)).CombinedOutput(); err != nil {
		r.t.Errorf("%v: %s", err, out)
	}
}

func members(t *testing.T, path string) []string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var names []string
	for r := tar.NewReader(f); ; {
		head, err := r.Next()
		if errors.Is(err, io.EOF) {
			return names
		} else if err != nil {
			t.Fatal(err)
		}
		if head.Format != tar.FormatUSTAR {
			t.Errorf("%s is of the format %v", head.Name, head.Format)
		}
		names = append(names, head.Name)
	}
}

// TestForeignPackages has what ovftool refuses, each made by one change of a good package.
func TestForeignPackages(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.disk("disk.vmdk", sector.Typewriter(), "monolithicSparse")
	r.write("x.vmx", "guestOS = \"debian12-64\"\n")
	r.ok("ovftool", "x.vmx", "good.ovf")
	good := r.read("good.ovf")
	for _, c := range []struct{ name, old, new, want string }{
		{"family", "vmx-19", "virtualbox-2.2", "Line 29: Unsupported hardware family 'virtualbox-2.2'."},
		{"ahci", "<rasd:ResourceSubType>lsilogic</rasd:ResourceSubType>\n        <rasd:ResourceType>6<", "<rasd:ResourceSubType>AHCI</rasd:ResourceSubType>\n        <rasd:ResourceType>20<", "No support for the virtual hardware device type '20'"},
		{"card", ">E1000<", ">Realtek<", "instance ID '5'"},
		{"version", "envelope/1\" xmlns:cim", "envelope/2\" xmlns:cim", "not an envelope"},
		{"file", `ovf:fileRef="file1"`, `ovf:fileRef="file9"`, "refers to no file"},
		{"path", `ovf:href="good-disk1.vmdk"`, `ovf:href="../good-disk1.vmdk"`, "Unsupported file reference"},
		{"gone", `ovf:href="good-disk1.vmdk"`, `ovf:href="gone.vmdk"`, "File (gone.vmdk) could not be opened"},
		{"disk", "ovf:/disk/vmdisk1", "ovf:/disk/vmdisk7", "Invalid HostResource"},
		{"twice", "<rasd:InstanceID>2<", "<rasd:InstanceID>1<", "InstanceID '1'"},
		{"parent", "<rasd:Parent>3<", "<rasd:Parent>8<", "Invalid Parent '8'"},
		{"unit", "byte * 2^20", "byte * 2^30", "Unsupported unit"},
		{"format", "vmdk.html#streamOptimized", "vhd.html", "Unsupported disk format"},
	} {
		bad := strings.Replace(good, c.old, c.new, 1)
		if bad == good {
			t.Fatalf("%s: the descriptor has no %s", c.name, c.old)
		}
		if err := os.WriteFile(r.path("bad.ovf"), []byte(bad), 0o644); err != nil {
			t.Fatal(err)
		}
		if a := r.run("ovftool", "bad.ovf", "bad.vmx"); a.code != 1 || !strings.Contains(a.stdout, c.want) || !strings.HasSuffix(a.stdout, "Completed with errors\n") {
			t.Errorf("%s: %+v; want %q", c.name, a, c.want)
		}
		if r.exists("bad.vmx") {
			t.Errorf("%s: there is a VMX all the same", c.name)
		}
	}
	if err := os.WriteFile(r.path("good.ovf"), []byte(good+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if a := r.run("ovftool", "good.ovf", "bad.vmx"); a.code != 1 || !strings.Contains(a.stdout, "digest of file good.ovf does not match") {
		t.Errorf("a changed descriptor: %+v", a)
	}
	r.ok("ovftool", "--skipManifestCheck", "good.ovf", "fine.vmx")
	if a := r.run("ovftool", "good.ovf", "fine.vmx"); a.code != 1 || !strings.Contains(a.stdout, "File already exists") {
		t.Errorf("over another machine: %+v", a)
	}
}
