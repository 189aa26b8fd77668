package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// written fails unless a raw disk begins with what the sector guest writes.
func (k *kiln) written(disk string) []byte {
	k.t.Helper()
	data, err := os.ReadFile(k.path(disk))
	if err != nil {
		k.t.Fatal(err)
	}
	if !bytes.HasPrefix(data, []byte(sectorText)) {
		k.t.Errorf("%s begins with %q: the guest did not see its disk", disk, data[:min(32, len(data))])
	}
	return data
}

// TestDisks: each kind of disk on each kind of machine, from a folder as template, with two sources of one block.
func TestDisks(t *testing.T) {
	need(t)
	k := newKiln(t)
	iso := k.write("sector.iso", bootCD(sectorGuest(powersOff), 0))
	for _, disk := range []string{"virtio", "sata", "scsi", "virtio-scsi"} {
		k.build("-var", "iso="+iso, "-var", "disk="+disk, "-var", "out="+k.path(disk), "testdata/sector").succeed()
		k.written(disk + "/pc/disk")
		k.written(disk + "/q35/disk")
		progress(t, "%s on pc and q35", disk)
	}
	k.build("-only=*.pc", "-var", "iso="+iso, "-var", "disk=ide", "-var", "out="+k.path("ide"), "testdata/sector").succeed()
	k.written("ide/pc/disk")
	k.leftovers()
}

// solo is a template with one source over the sector guest; more are further arguments.
func (k *kiln) solo(name, iso, more string) string {
	k.t.Helper()
	return k.write(name+".pkr.hcl", []byte(`source "qemu" "`+name+`" {
  iso_url          = "`+iso+`"
  iso_checksum     = "none"
  accelerator      = "tcg"
  memory           = 64
  disk_size        = "1M"
  format           = "raw"
  vm_name          = "disk"
  shutdown_timeout = "10m"
  output_directory = "`+k.path(name)+`"
`+more+`}

build {
  sources = ["source.qemu.`+name+`"]
}
`))
}

const nobody = "  communicator = \"none\"\n"

// TestFloppy: the guest copies the first sector of its floppy to its disk.
func TestFloppy(t *testing.T) {
	need(t)
	k := newKiln(t)
	iso := k.write("sector.iso", bootCD(sectorGuest(powersOff), 0))
	k.build(k.solo("floppy", iso, nobody+"  floppy_content = { \"ks.cfg\" = \"text\" }\n  floppy_label = \"KSDATA\"\n")).succeed()
	if disk := k.written("floppy/disk"); !bytes.Contains(disk[512:1024], []byte("FAT12")) {
		t.Errorf("the guest saw %q on its floppy", disk[512:600])
	}
	k.leftovers()
}

// TestQemuArgs: devices and a network that the template brings itself, and switches that replace ours.
func TestQemuArgs(t *testing.T) {
	need(t)
	k := newKiln(t)
	iso := k.write("sector.iso", bootCD(sectorGuest(powersOff), 0))
	k.build(k.solo("args", iso, nobody+`  qemuargs = [
    ["-device", "virtio-rng-pci"],
    ["-netdev", "user,id=second,hostfwd=tcp:127.0.0.1:0-:80"],
    ["-device", "e1000,netdev=second"],
    ["-m", "96"],
    ["-smp", "2"],
  ]
`)).succeed()
	k.written("args/disk")
	k.leftovers()
}

// TestTwoBuilds: two commands at once on one data directory, without a daemon before them.
func TestTwoBuilds(t *testing.T) {
	need(t)
	k := newKiln(t)
	k.stop()
	iso := k.write("sector.iso", bootCD(sectorGuest(powersOff), 0))
	one, two := k.build(k.solo("one", iso, nobody)), k.build(k.solo("two", iso, nobody))
	one.succeed()
	two.succeed()
	k.written("one/disk")
	k.written("two/disk")
	k.leftovers()
}

// TestSSHNeverComes: a real guest that serves no SSH. A slow machine has not booted it when a short time limit is over,
// and gets a longer one.
func TestSSHNeverComes(t *testing.T) {
	need(t)
	k := newKiln(t)
	iso := k.write("sector.iso", bootCD(sectorGuest(stays), 0))
	var text string
	for _, limit := range []string{"10s", "1m", "5m"} {
		p := k.build(k.solo("mute", iso, "  ssh_username = \"root\"\n  ssh_password = \"x\"\n  ssh_timeout = \""+limit+"\"\n"))
		if code := p.wait(); code != 1 {
			t.Errorf("exit status %d", code)
		}
		if text = p.out.text(); strings.Contains(text, strings.TrimSpace(sectorText)) && strings.Contains(text, "port 22: ") {
			break
		}
	}
	for _, want := range []string{"ssh_timeout", "port 22: ", "last screen: " + k.data, "last serial lines", strings.TrimSpace(sectorText)} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	k.leftovers()
}

// TestNoLibvirt: a libvirtd that does not run is said, with the connection and a remedy.
func TestNoLibvirt(t *testing.T) {
	need(t)
	k := newKiln(t)
	iso := k.write("sector.iso", bootCD(sectorGuest(powersOff), 0))
	template := k.solo("none", iso, nobody)
	text, err := os.ReadFile(template)
	if err != nil {
		t.Fatal(err)
	}
	other := strings.NewReplacer(`source "qemu"`, `source "libvirt"`, "source.qemu.", "source.libvirt.",
		nobody, nobody+"  libvirt_uri = \"qemu+unix:///system?socket=/nowhere/libvirt-sock\"\n").Replace(string(text))
	p := k.build(k.write("none.pkr.hcl", []byte(other)))
	if code := p.wait(); code != 1 {
		t.Errorf("exit status %d", code)
	}
	for _, want := range []string{"/nowhere/libvirt-sock", "systemctl start libvirtd"} {
		if !strings.Contains(p.out.text(), want) {
			t.Errorf("no %q in\n%s", want, p.out.text())
		}
	}
	k.leftovers()
}

// TestDoctor: this machine runs the tests, so the command must find that it can.
func TestDoctor(t *testing.T) {
	need(t)
	out := run(t, command(t), "doctor", "--json", "--data", t.TempDir())
	var d struct {
		Drivers map[string]struct {
			Available            bool
			Version, Accelerator string
		}
	}
	if err := json.Unmarshal([]byte(out), &d); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if l := d.Drivers["libvirt"]; !l.Available || l.Version == "" || l.Accelerator == "" {
		t.Errorf("%+v", d)
	}
}
