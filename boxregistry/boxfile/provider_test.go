package boxfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
	"testing"
)

func crcOf(b []byte) []byte { return binary.LittleEndian.AppendUint32(nil, crc32.ChecksumIEEE(b)) }

// ovfOf describes a machine with one disk of so many bytes.
func ovfOf(href string, capacity int64) string {
	return fmt.Sprintf(`<?xml version="1.0"?><Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1">
<References><File ovf:href=%q ovf:id="f1"/></References>
<DiskSection><Disk ovf:capacity="%d" ovf:diskId="d1"/></DiskSection></Envelope>`, href, capacity)
}

func TestProviderChecks(t *testing.T) {
	t.Parallel()
	image := string(qcow2(2<<30, 4096))
	backed := []byte(image)
	backed[15] = 200
	external := []byte(image)
	external[79] = 4
	const v1 = `{"provider":"libvirt","architecture":"amd64","format":"qcow2","virtual_size":2}`
	ovf := ovfOf("my%20disk.vmdk", 5<<30)
	const sparse = "KDMV\x01\x00\x00\x00\x03\x00\x00\x00\x00\x00\xa0\x00\x00\x00\x00\x00" // 0xa00000 sectors
	const vmx = "scsi0:0.present = \"TRUE\"\r\nscsi0:0.fileName = \"disk.vmdk\"\r\nide1:0.fileName = \"auto detect\"\n"
	vb, vw := file(MetadataName, `{"provider":"virtualbox"}`), file(MetadataName, `{"provider":"vmware_desktop"}`)
	for name, c := range map[string]struct {
		entries []entry
		word    string // of the error; empty for a good box
		virtual int64
	}{
		"v1":           {[]entry{file(MetadataName, v1), file("box.img", image)}, "", 2 << 30},
		"fraction":     {[]entry{file(MetadataName, strings.Replace(v1, ":2", ":1.5", 1)), file("box.img", image)}, "", 2 << 30},
		"larger":       {[]entry{file(MetadataName, strings.Replace(v1, ":2", ":20", 1)), file("box.img", image)}, "", 2 << 30},
		"smaller":      {[]entry{file(MetadataName, strings.Replace(v1, ":2", ":1", 1)), file("box.img", image)}, "needs 2", 0},
		"text size":    {[]entry{file(MetadataName, strings.Replace(v1, ":2", `:"2"`, 1)), file("box.img", image)}, "virtual_size", 0},
		"no size":      {[]entry{file(MetadataName, `{"provider":"libvirt","format":"qcow2"}`), file("box.img", image)}, "virtual_size", 0},
		"format":       {[]entry{file(MetadataName, strings.Replace(v1, "qcow2", "raw", 1)), file("box.img", image)}, "only \"qcow2\"", 0},
		"no disk":      {[]entry{file(MetadataName, v1)}, "missing", 0},
		"raw disk":     {[]entry{file(MetadataName, v1), file("box.img", strings.Repeat("x", 4096))}, "not a qcow2", 0},
		"short disk":   {[]entry{file(MetadataName, v1), file("box.img", "QFI\xfb")}, "not a qcow2", 0},
		"backing":      {[]entry{file(MetadataName, v1), file("box.img", string(backed))}, "backing file", 0},
		"external":     {[]entry{file(MetadataName, v1), file("box.img", string(external))}, "another file", 0},
		"v2":           {[]entry{file(MetadataName, `{"provider":"libvirt","disks":[{"path":"a.img"},{"path":"b.img"}]}`), file("a.img", image), file("b.img", image)}, "", 4 << 30},
		"v2 missing":   {[]entry{file(MetadataName, `{"provider":"libvirt","disks":[{"path":"a.img"},{"path":"../b.img"}]}`), file("a.img", image)}, "disks[1]", 0},
		"v2 same name": {[]entry{file(MetadataName, `{"provider":"libvirt","disks":[{"path":"a.img"},{"path":"b.img","name":"a"}]}`), file("a.img", image), file("b.img", image)}, "volume name", 0},
		"vbox":         {[]entry{vb, file("box.ovf", ovf), file("my disk.vmdk", "x")}, "", 5 << 30},
		"vbox no disk": {[]entry{vb, file("box.ovf", ovf)}, "my%20disk.vmdk", 0},
		"vbox no ovf":  {[]entry{vb, file("other.ovf", ovf)}, "box.ovf", 0},
		"vbox bad ovf": {[]entry{vb, file("box.ovf", "<Envelope>")}, "cannot be read", 0},
		"vbox GiB":     {[]entry{vb, file("box.ovf", strings.Replace(ovf, `ovf:capacity="5368709120"`, `ovf:capacity="5" ovf:capacityAllocationUnits="byte * 2^30"`, 1)), file("my disk.vmdk", "x")}, "", 5 << 30},
		"vmware":       {[]entry{vw, file("x.vmx", vmx), file("disk.vmdk", "x")}, "", 0},
		"vmware size":  {[]entry{vw, file("x.vmx", vmx), file("disk.vmdk", sparse)}, "", 5 << 30},
		"vmware disk":  {[]entry{vw, file("x.vmx", vmx)}, "disk.vmdk", 0},
		"vmware name":  {[]entry{vw, file("x.vmx", ".encoding = \"windows-1252\"\r\nscsi0:0.fileName = \"K\xfcche.vmdk\""), file("Küche.vmdk", "x")}, "", 0},
		"vmware other": {[]entry{vw, file("x.vmx", ".encoding = \"GBK\"\nscsi0:0.fileName = \"\xb0\xa1.vmdk\""), file("disk.vmdk", "x")}, "", 0},
		"vmware none":  {[]entry{vw, file("disk.vmdk", "x")}, "no *.vmx", 0},
		"vmware named": {[]entry{file(MetadataName, `{"provider":"vmware_desktop","vmx_file":"y.vmx"}`), file("x.vmx", vmx)}, "y.vmx", 0},
		"unknown":      {[]entry{file(MetadataName, `{"provider":"docker"}`)}, "", 0},
	} {
		sum, err := inspect(gz(t, archive(t, c.entries...)))
		switch {
		case c.word == "" && (err != nil || sum.VirtualSize != c.virtual):
			t.Errorf("%s: virtual size %d, %v", name, sum.VirtualSize, err)
		case c.word != "" && (!errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.word)):
			t.Errorf("%s: %v; want %q in it", name, err, c.word)
		}
	}
}

func FuzzInspect(f *testing.F) {
	for _, c := range hostile(f) {
		f.Add(c.box)
	}
	f.Add(gz(f, archive(f, file(MetadataName, `{"provider":"libvirt","format":"qcow2","virtual_size":2}`), file("box.img", string(qcow2(1<<30, 512))))))
	limits := Limits{Unpacked: 1 << 20, Window: 64 << 10}
	f.Fuzz(func(t *testing.T, box []byte) {
		sum, err := Inspect(t.Context(), bytes.NewReader(box), limits)
		if err != nil && !errors.Is(err, ErrInvalid) {
			t.Errorf("%v is not the box's fault?", err)
		}
		if sum.Unpacked > limits.Unpacked || len(sum.Files) > defaultLimits.Entries {
			t.Errorf("limits were passed: %+v", sum)
		}
		for _, e := range sum.Files {
			if checkName(e.Name, defaultLimits.Name) != nil {
				t.Errorf("the name %q was accepted", e.Name)
			}
		}
	})
}
