package main

import (
	"os"
	"strings"
	"testing"

	"github.com/boxkiln/boxkiln/test/sim/sector"
)

// A machine boots from every kind of controller, beside a CD drive whose medium changes while it runs.
func TestControllers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, add, chip, port, device string }{
		{"IDE Controller", "ide", "PIIX3", "1", "1"}, {"SATA", "sata", "IntelAHCI", "13", "0"}, {"SCSI", "scsi", "LSILogic", "3", "0"},
		{"SAS", "sas", "LSILogicSAS", "0", "0"}, {"NVMe", "pcie", "NVMe", "0", "0"}, {"VirtioSCSI", "virtio", "VirtIO", "0", "0"},
	} {
		t.Run(c.add, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "7.0")
			r.typewriter("tw")
			disk := r.disk("tw")
			r.ok("storagectl", "tw", "--name", "SATA", "--remove")
			r.ok("storagectl", "tw", "--name", c.name, "--add", c.add, "--controller", c.chip)
			r.ok("storageattach", "tw", "--storagectl", c.name, "--port", c.port, "--device", c.device, "--type", "hdd", "--medium", disk, "--nonrotational", "on")
			cds := "CDs"
			if c.add == "ide" {
				cds = c.name
			} else {
				r.ok("storagectl", "tw", "--name", cds, "--add", "ide")
			}
			cd := func(medium string) []string {
				return []string{"storageattach", "tw", "--storagectl", cds, "--port", "1", "--device", "0", "--type", "dvddrive", "--medium", medium}
			}
			r.ok(cd("emptydrive")...)
			if err := os.WriteFile(r.path("cd.iso"), make([]byte, 1<<16), 0o600); err != nil {
				t.Fatal(err)
			}
			r.ok("startvm", "tw")
			r.waitSerial("tw", sector.Greeting)
			r.ok(cd("cd.iso")...)
			got := r.ok("showvminfo", "tw", "--machinereadable")
			place := c.name + "-" + c.port + "-" + c.device
			for _, want := range []string{
				"\n\"" + place + "\"=\"" + disk + "\"\n", "\n\"" + c.name + "-nonrotational-" + c.port + "-" + c.device + "\"=\"on\"\n",
				"\n\"" + cds + "-1-0\"=\"" + r.path("cd.iso") + "\"\n",
			} {
				if !strings.Contains(got, want) {
					t.Errorf("no %q in\n%s", want, got)
				}
			}
			r.ok(cd("emptydrive")...)
			r.fails(exitFailure, "does not support hot-plugging", "storageattach", "tw", "--storagectl", c.name, "--port", c.port, "--device", c.device, "--medium", "none")
			r.esc("tw")
		})
	}
}

// UEFI keeps its variables in the machine's folder, and unregistervm takes them away.
func TestFirmware(t *testing.T) {
	t.Parallel()
	r := newRig(t, "7.1")
	r.typewriter("tw", "--firmware", "efi", "--memory", "256")
	if _, err := os.Stat("/usr/share/OVMF"); err != nil && os.Getenv("BOXKILN_REQUIRE_TOOLS") != "1" {
		t.Skip(err)
	}
	r.ok("modifynvram", "tw", "inituefivarstore")
	if got := r.ok("showvminfo", "tw", "--machinereadable"); !strings.Contains(got, "NvramFile=\""+r.path("vms/tw/tw.nvram")+"\"\nSecureBoot=\"off\"\n") {
		t.Errorf("%s", got)
	}
	r.ok("startvm", "tw")
	if info, err := os.Stat(r.path("vms/tw/tw.nvram")); err != nil || info.Size() < 100_000 {
		t.Errorf("variables: %v, %v", info, err)
	}
	r.ok("controlvm", "tw", "poweroff")
	r.waitUnlocked("tw")
	r.ok("unregistervm", "tw", "--delete")
	if _, err := os.Stat(r.path("vms/tw")); !os.IsNotExist(err) {
		t.Errorf("the folder is left: %v", err)
	}
}

// Only 7.x keeps a guest from its host's loopback, unless told otherwise; other networks lead nowhere.
func TestReach(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		profile  int
		card     nic
		isolated bool
	}{
		{0, nic{Type: "nat"}, false}, {1, nic{Type: "nat"}, true}, {1, nic{Type: "nat", Reachable: true}, false}, {0, nic{Type: "bridged"}, true},
	} {
		c.card.Model, c.card.MAC = "82540EM", "080027000001"
		got := (&call{profile: profiles[c.profile]}).card(0, c.card)
		if got.Isolated != c.isolated || got.Model != "e1000" || got.MAC != "08:00:27:00:00:01" {
			t.Errorf("%s, %+v: %+v", profiles[c.profile].name, c.card, got)
		}
	}
}
