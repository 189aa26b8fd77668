package power

import (
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/boxkiln/boxkiln/test/sim/vmware/vmx"
)

// poweredOn writes into a VMX what VMware adds when it powers a machine on.
func poweredOn(f *vmx.File, path string) {
	identify(f, path)
	for _, n := range f.NICs() {
		slot := "33"
		if n.Model == "vmxnet3" || n.Model == "e1000e" {
			slot = "192"
		}
		f.SetDefault(n.Key+".pciSlotNumber", slot)
	}
	for _, d := range f.Drives(filepath.Dir(path)) {
		controller := fmt.Sprintf("%s%d", d.Bus, d.Controller)
		switch {
		case d.Bus == "scsi" && (d.Model == "pvscsi" || d.Model == "lsisas1068"):
			f.SetDefault(controller+".pciSlotNumber", "160")
		case d.Bus == "scsi":
			f.SetDefault(controller+".pciSlotNumber", "16")
		case d.Bus != "ide":
			f.SetDefault(controller+".pciSlotNumber", "35")
		}
		if !d.CD && !f.Has(d.Key+".redo") {
			f.Set(d.Key+".redo", "")
		}
	}
	if f.Bool("vmci0.present") {
		f.SetDefault("vmci0.id", strconv.Itoa(int(location(path)[12])<<24|int(location(path)[13])<<16|0x1f))
	}
	f.SetDefault("nvram", vmx.Base(path)+".nvram")
	f.SetDefault("extendedConfigFile", vmx.Base(path)+".vmxf")
	f.Set("monitor.phys_bits_used", "45")
	f.Set("softPowerOff", "FALSE")
	f.Set("cleanShutdown", "FALSE")
	if !f.Has("checkpoint.vmState") {
		f.Set("checkpoint.vmState", "")
	}
}

// poweredOff writes what changes when a machine was powered off; soft if the guest did it.
func poweredOff(f *vmx.File, soft bool) {
	f.Set("softPowerOff", strings.ToUpper(strconv.FormatBool(soft)))
	f.Set("cleanShutdown", "TRUE")
}

// location is the number that VMware makes of the place of a VMX, the same for the same place.
func location(path string) [16]byte {
	sum := sha256.Sum256([]byte("location of " + path))
	id := [16]byte(sum[:16])
	id[0], id[1] = 'V', 'M'
	return id
}

// identify gives a machine its numbers, and the cards addresses made of them. A machine that lies elsewhere than when it
// was last started is a copy, unless the VMX says to keep what it has.
func identify(f *vmx.File, path string) {
	id := location(path)
	here := spell(id)
	moved := f.Get("uuid.location") != here && !strings.EqualFold(f.Get("uuid.action"), "keep")
	if moved || f.Get("uuid.bios") == "" {
		f.Set("uuid.bios", here)
	}
	f.Set("uuid.location", here)
	for i, n := range f.NICs() {
		if strings.EqualFold(f.Get(n.Key+".addressType"), "static") {
			continue
		}
		if moved || f.Get(n.Key+".generatedAddress") == "" {
			last := id[15] + byte(10*i)
			f.Set(n.Key+".generatedAddress", fmt.Sprintf("00:0c:29:%02x:%02x:%02x", id[13], id[14], last))
			f.Set(n.Key+".generatedAddressOffset", strconv.Itoa(10*i))
		}
		f.SetDefault(n.Key+".addressType", "generated")
	}
}

// spell writes a number as a VMX has it: 56 4d 01 23 45 67 89 ab-cd ef ...
func spell(id [16]byte) string { return fmt.Sprintf("% x-% x", id[:8], id[8:]) }

// biosUUID is what the guest's firmware shows of uuid.bios; empty if that is none.
func biosUUID(f *vmx.File) string {
	hex := strings.NewReplacer(" ", "", "-", "").Replace(f.Get("uuid.bios"))
	if len(hex) != 32 {
		return ""
	}
	return hex[:8] + "-" + hex[8:12] + "-" + hex[12:16] + "-" + hex[16:20] + "-" + hex[20:]
}
