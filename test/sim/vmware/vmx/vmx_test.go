package vmx

import (
	"errors"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const sample = `#!/usr/bin/vmware
config.version = "8"
// a comment of Packer's
VirtualHW.Version="19"
nothing
annotation = "a |22quoted|22 line|0Aand a bar |7C"
.encoding = "UTF-8"
scsi0.present = "TRUE"
scsi0:0.present = "true"
scsi0:0.fileName = "disk.vmdk"
scsi0:1.fileName = "absent.vmdk"
sata0:0.present = "TRUE"
sata0:0.fileName = "nocontroller.vmdk"
ide1:0.present = "TRUE"
ide1:0.deviceType = "cdrom-image"
ide1:0.fileName = "/media/x.iso"
ide1:1.present = "TRUE"
ide1:1.deviceType = "cdrom-raw"
ide1:1.fileName = "auto detect"
ethernet0.present = "TRUE"
ethernet0.generatedAddress = "00:0c:29:00:00:01"
ethernet1.present = "TRUE"
ethernet1.addressType = "static"
ethernet1.address = "00:50:56:00:00:01"
ethernet1.virtualDev = "VMXNET3"
ethernet1.connectionType = "hostonly"
memsize = "512"
memsize = "1024"
`

func TestFile(t *testing.T) {
	t.Parallel()
	f := Parse([]byte(sample))
	if err := f.Check(); err != nil {
		t.Error(err)
	}
	if got, want := f.Get("Annotation"), "a \"quoted\" line\nand a bar |"; got != want {
		t.Errorf("annotation %q; want %q", got, want)
	}
	if got := f.Int("memsize", 1); got != 1024 {
		t.Errorf("of two values %d counts", got)
	}
	again := Parse(f.Bytes())
	if diff := cmp.Diff(string(f.Bytes()), string(again.Bytes())); diff != "" {
		t.Errorf("written and read again (-want +got):\n%s", diff)
	}
	f.SetDefault("memsize", "1")
	f.SetDefault("numvcpus", "2")
	f.Delete(regexp.MustCompile(`^ethernet`))
	if f.Int("memsize", 0) != 1024 || f.Int("numvcpus", 0) != 2 || len(f.NICs()) != 0 {
		t.Errorf("changed to:\n%s", f.Bytes())
	}
	for _, text := range []string{"", `config.version = "8"`, `virtualHW.version = "19"`} {
		if err := Parse([]byte(text)).Check(); !errors.Is(err, ErrIncomplete) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestDevices(t *testing.T) {
	t.Parallel()
	f := Parse([]byte(sample))
	drives := []Drive{
		{Key: "scsi0:0", Bus: "scsi", File: "/vm/disk.vmdk", Config: "disk.vmdk"},
		{Key: "ide1:0", Bus: "ide", Controller: 1, CD: true, File: "/media/x.iso", Config: "/media/x.iso"},
		{Key: "ide1:1", Bus: "ide", Controller: 1, Unit: 1, CD: true, Config: "auto detect"},
	}
	if diff := cmp.Diff(drives, f.Drives("/vm")); diff != "" {
		t.Errorf("drives (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(drives[:1], f.Disks("/vm")); diff != "" {
		t.Errorf("disks (-want +got):\n%s", diff)
	}
	nics := []NIC{
		{Key: "ethernet0", MAC: "00:0c:29:00:00:01", Type: "nat"},
		{Key: "ethernet1", Model: "vmxnet3", MAC: "00:50:56:00:00:01", Type: "hostonly"},
	}
	if diff := cmp.Diff(nics, f.NICs()); diff != "" {
		t.Errorf("cards (-want +got):\n%s", diff)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(sample))
	f.Add([]byte(`a = "|2|22|GG"`))
	f.Fuzz(func(t *testing.T, data []byte) {
		file := Parse(data)
		once := file.Bytes()
		if twice := Parse(once).Bytes(); string(once) != string(twice) {
			t.Errorf("written %q and then %q", once, twice)
		}
	})
}
