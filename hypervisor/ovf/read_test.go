package ovf_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/hypervisor/hardware"
	"github.com/boxkiln/boxkiln/hypervisor/ovf"
)

// change is a text and what stands in its place.
type change struct{ from, to string }

// changed is a descriptor of the golden machine with changes, each of which must apply.
func changed(t *testing.T, f ovf.Flavour, changes ...change) string {
	t.Helper()
	text := string(write(t, rich(), f))
	for _, c := range changes {
		if !strings.Contains(text, c.from) {
			t.Fatalf("there is no %q in\n%s", c.from, text)
		}
		text = strings.Replace(text, c.from, c.to, 1)
	}
	return text
}

// TestReadRefuses: each way to be wrong is told with the element and with what to do.
func TestReadRefuses(t *testing.T) {
	t.Parallel()
	const vbox, vmw = ovf.VirtualBox, ovf.VMware
	entity := `<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><Envelope `
	for name, c := range map[string]struct {
		f    ovf.Flavour
		from string
		to   string
		want string
	}{
		"document type":         {vbox, "<Envelope ", entity, "document type"},
		"entity":                {vbox, "A virtual machine", "&undeclared;", "no well-formed XML"},
		"cut off":               {vbox, "</Envelope>", "", "no well-formed XML"},
		"two roots":             {vbox, "</Envelope>", "</Envelope><Envelope/>", "after the end"},
		"other encoding":        {vbox, `version="1.0"?>`, `version="1.0" encoding="UTF-16"?>`, "UTF-8"},
		"other root":            {vbox, `xmlns="http://schemas.dmtf.org/ovf/envelope/1"`, `xmlns="urn:x"`, "not the Envelope"},
		"chunks":                {vbox, `ovf:href="data.vmdk"`, `ovf:href="data.vmdk" ovf:chunkSize="100"`, "join them"},
		"escape":                {vbox, `ovf:href="data.vmdk"`, `ovf:href="../data.vmdk"`, "leads out"},
		"escaped escape":        {vbox, `ovf:href="data.vmdk"`, `ovf:href="%2e%2e/data.vmdk"`, "leads out"},
		"backslash":             {vbox, `ovf:href="data.vmdk"`, `ovf:href="..\data.vmdk"`, "leads out"},
		"absolute":              {vbox, `ovf:href="data.vmdk"`, `ovf:href="/etc/passwd"`, "leads out"},
		"address":               {vbox, `ovf:href="data.vmdk"`, `ovf:href="http://host/data.vmdk"`, "download it"},
		"two files of an id":    {vbox, `ovf:id="file2"`, `ovf:id="file1"`, "there twice"},
		"no href":               {vbox, ` ovf:href="data.vmdk"`, ``, "needs ovf:id and ovf:href"},
		"no such file":          {vbox, `ovf:fileRef="file2"`, `ovf:fileRef="file9"`, "names no such file"},
		"no file":               {vbox, ` ovf:fileRef="file2"`, ``, "names no such file"},
		"two disks of an id":    {vbox, `ovf:diskId="vmdisk2"`, `ovf:diskId="vmdisk1"`, "there twice"},
		"snapshot":              {vbox, `ovf:diskId="vmdisk2"`, `ovf:diskId="vmdisk2" ovf:parentRef="vmdisk1"`, "without snapshots"},
		"no capacity":           {vbox, `ovf:capacity="1073741824" `, ``, "capacity"},
		"huge capacity":         {vbox, `ovf:capacity="1073741824"`, `ovf:capacity="9" ovf:capacityAllocationUnits="byte * 2^70"`, "more than anybody has"},
		"units of capacity":     {vmw, `ovf:capacityAllocationUnits="byte"`, `ovf:capacityAllocationUnits="furlong"`, "use byte * 2^20"},
		"format":                {vbox, `vmdk.html#sparse`, `vmdk.html#flat`, "is not known: export it as"},
		"required section":      {vbox, `<NetworkSection>`, `<MysterySection><Info/></MysterySection><NetworkSection>`, `ovf:required="false"`},
		"encrypted":             {vbox, `<NetworkSection>`, `<EncryptionSection><Info/></EncryptionSection><NetworkSection>`, "decrypt"},
		"two machines":          {vbox, `<VirtualSystem ovf:id`, `<VirtualSystem ovf:id="b"><Info/></VirtualSystem><VirtualSystem ovf:id`, "2 virtual machines"},
		"no id":                 {vbox, `<VirtualSystem ovf:id="two &amp; a half">`, `<VirtualSystem>`, "no ovf:id"},
		"no InstanceID":         {vbox, `<rasd:InstanceID>1</rasd:InstanceID>`, ``, "InstanceID"},
		"InstanceID twice":      {vbox, `<rasd:InstanceID>1</rasd:InstanceID>`, `<rasd:InstanceID>2</rasd:InstanceID>`, "there twice"},
		"no ResourceType":       {vbox, `<rasd:ResourceType>3</rasd:ResourceType>`, ``, "ResourceType"},
		"unknown ResourceType":  {vmw, `<rasd:ResourceType>10</rasd:ResourceType>`, `<rasd:ResourceType>77</rasd:ResourceType>`, "ResourceType 77 is not known"},
		"no processors":         {vbox, `<rasd:ResourceType>3</rasd:ResourceType>`, `<rasd:ResourceType>1</rasd:ResourceType>`, "no Item for the processors"},
		"storage":               {vbox, `<rasd:ResourceSubType>AHCI`, `<rasd:ResourceSubType>Floptical`, "use AHCI, VirtioSCSI"},
		"memory units":          {vbox, `<rasd:AllocationUnits>MegaBytes`, `<rasd:AllocationUnits>Pages`, "use byte * 2^20"},
		"parent":                {vmw, `<rasd:Parent>3</rasd:Parent>`, `<rasd:Parent>1</rasd:Parent>`, "no controller of the machine"},
		"no parent":             {vmw, `<rasd:Parent>3</rasd:Parent>`, ``, "no controller of the machine"},
		"one port":              {vmw, `<rasd:AddressOnParent>1</rasd:AddressOnParent>`, `<rasd:AddressOnParent>3</rasd:AddressOnParent>`, "another is on port 3"},
		"port":                  {vmw, `<rasd:AddressOnParent>1</rasd:AddressOnParent>`, `<rasd:AddressOnParent>-1</rasd:AddressOnParent>`, "no place of a drive"},
		"HostResource":          {vmw, `ovf:/disk/vmdisk1`, `vmdisk1`, "ovf:/disk/vmdisk1"},
		"no HostResource":       {vmw, `<rasd:HostResource>ovf:/disk/vmdisk1</rasd:HostResource>`, ``, "ovf:/disk/vmdisk1"},
		"no such disk":          {vmw, `ovf:/disk/vmdisk1`, `ovf:/disk/vmdisk7`, "no disk of DiskSection"},
		"mac":                   {vmw, `<rasd:Address>08:00:27:3b:9c:80`, `<rasd:Address>08:00:27:3b:9c`, "no MAC address"},
		"two disks of a uuid":   {vbox, `vbox:uuid="11111111-2222-4333-8444-555555555555"`, `vbox:uuid="756672a3-312a-4d4d-83da-aa49bc9b938a"`, "of an earlier one"},
		"image not in package":  {vbox, `<Image uuid="{756672a3`, `<Image uuid="{00000000`, "DiskSection describes no such image"},
		"settings: one port":    {vbox, `port="3" device="0"`, `port="1" device="0"`, "two drives are on port 1"},
		"settings: no place":    {vbox, `port="3" device="0"`, `port="3000" device="0"`, "no place of a drive"},
		"settings: huge memory": {vbox, `RAMSize="512"`, `RAMSize="99999999999"`, "RAMSize"},
		"nvram":                 {vmw, `<vmw:Config ovf:required="false" vmw:key="firmware"`, `<vmw:ExtraConfig vmw:key="nvram" vmw:value="ovf:/file/file9"/><vmw:Config vmw:key="firmware"`, "names no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, err := ovf.Read(strings.NewReader(changed(t, c.f, change{c.from, c.to})))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want something with %q", err, c.want)
			}
			if len(d.Machine.Controllers) > 0 {
				t.Error("there is an error, and a machine")
			}
		})
	}
}

// TestReadNothing: what is well-formed and says too little.
func TestReadNothing(t *testing.T) {
	t.Parallel()
	bare := `<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:vbox="http://www.virtualbox.org/ovf/machine"><References/>%s</Envelope>`
	items := `<VirtualHardwareSection><Item><InstanceID>1</InstanceID><ResourceType>3</ResourceType><VirtualQuantity>1</VirtualQuantity></Item>` +
		`<Item><InstanceID>2</InstanceID><ResourceType>4</ResourceType><VirtualQuantity>1</VirtualQuantity><AllocationUnits>GigaBytes</AllocationUnits></Item></VirtualHardwareSection>`
	for name, c := range map[string]struct{ system, want string }{
		"no machine":  {``, "0 virtual machines"},
		"no hardware": {`<VirtualSystem id="a"><Info/></VirtualSystem>`, "no VirtualHardwareSection"},
		"no settings": {`<VirtualSystem id="a">` + items + `<vbox:Machine/></VirtualSystem>`, "it has no Hardware"},
		"no storage":  {`<VirtualSystem id="a">` + items + `<vbox:Machine><Hardware/></vbox:Machine></VirtualSystem>`, "no StorageControllers"},
		"enough":      {`<VirtualSystem id="a">` + items + `</VirtualSystem>`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, err := ovf.Read(strings.NewReader(fmt.Sprintf(bare, c.system)))
			if c.want == "" && (err != nil || d.Machine.MemoryMiB != 1024) {
				t.Errorf("got %+v, %v", d, err)
			}
			if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want something with %q", err, c.want)
			}
		})
	}
}

func TestReadLimits(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("<a>", 100) + strings.Repeat("</a>", 100)
	many := "<a>" + strings.Repeat("<a/>", 60_000) + "</a>"
	long := "<a>" + strings.Repeat(" ", ovf.MaxDescriptor) + "</a>"
	for name, text := range map[string]string{"inside each other": deep, "elements": many, "longer than": long} {
		if _, err := ovf.Read(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("got %v, want something with %q", err, name)
		}
	}
}

// TestReadForgives: what importers forgive is read, and told.
func TestReadForgives(t *testing.T) {
	t.Parallel()
	const cpu = "<rasd:ResourceType>3</rasd:ResourceType>\n        <rasd:VirtualQuantity>4</rasd:VirtualQuantity>"
	for name, c := range map[string]struct {
		change
		remark string
		is     func(hardware.Machine) bool
	}{
		"order": {
			change{cpu, "<rasd:VirtualQuantity>4</rasd:VirtualQuantity><rasd:ResourceType>3</rasd:ResourceType>"}, "alphabetical order",
			func(m hardware.Machine) bool { return m.CPUs == 4 },
		},
		"Info": {change{"<Info>Virtual disk information</Info>", ""}, "no Info", func(m hardware.Machine) bool { return len(m.Disks()) == 2 }},
		"card": {
			change{"<rasd:ResourceSubType>PCNet32", "<rasd:ResourceSubType>RTL8139"}, `"rtl8139" is not known`,
			func(m hardware.Machine) bool { return m.NICs[1].Model == hardware.E1000 },
		},
		"item": {
			change{"<Item ovf:required=\"false\">", "<Item ovf:required=\"false\"><rasd:InstanceID>90</rasd:InstanceID><rasd:ResourceType>99</rasd:ResourceType></Item><Item ovf:required=\"false\">"},
			"ResourceType 99 is left out", func(m hardware.Machine) bool { return len(m.Disks()) == 2 },
		},
		"medium": {
			change{"ovf:/file/file3", "ovf:/disk/iso7"}, `"/disk/iso7" is not in the package`,
			func(m hardware.Machine) bool {
				return m.Controllers[2].Drives[1] == hardware.Drive{Kind: hardware.CD, Port: 3}
			},
		},
		"older spelling": {
			change{"ovf:/disk/vmdisk2", "ovf://disk/vmdisk2"}, "", func(m hardware.Machine) bool { return len(m.Disks()) == 2 },
		},
		"section": {
			change{"<NetworkSection>", `<x:MysterySection xmlns:x="urn:x" ovf:required="false"><Info/></x:MysterySection><NetworkSection>`},
			"", func(m hardware.Machine) bool { return len(m.NICs) == 2 },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, err := ovf.Read(strings.NewReader(changed(t, ovf.VMware, c.change)))
			if err != nil {
				t.Fatal(err)
			}
			if !c.is(d.Machine) || !strings.Contains(fmt.Sprint(d.Remarks), c.remark) || (c.remark == "") != (len(d.Remarks) == 0) {
				t.Errorf("remarks %q, machine %+v", d.Remarks, d.Machine)
			}
		})
	}
}

// TestReadWithoutSettings reads what VirtualBox wrote as others do, who pass over its own settings.
func TestReadWithoutSettings(t *testing.T) {
	t.Parallel()
	text := vboxMachine.ReplaceAll(write(t, rich(), ovf.VirtualBox), nil)
	d, err := ovf.Read(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	want := canonical(rich(), ovf.VirtualBox)
	want.UUID, want.VideoMiB, want.RTCUTC, want.Boot, want.Firmware, want.USB = "", 0, false, nil, hardware.BIOS, hardware.USB1
	for i := range want.NICs {
		want.NICs[i].MAC, want.NICs[i].Unplugged = "", false
	}
	// Items come in VirtualBox's order of controllers and have no names.
	want.Controllers[0], want.Controllers[1] = want.Controllers[1], want.Controllers[0]
	for i := range want.Controllers {
		want.Controllers[i].Name = ""
	}
	if diff := cmp.Diff(want, d.Machine.Clone()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestReadOthers reads descriptors that others wrote: an appliance of VMware, one of Canonical, one in OVF 0.9, one in 2.0.
func TestReadOthers(t *testing.T) {
	t.Parallel()
	fixtures := filepath.Join(strings.TrimSpace(run(t, ".", "go", "list", "-m", "-f", "{{.Dir}}", "github.com/vmware/govmomi")), "ovf", "fixtures")
	disk := func(file string, size, capacity int64) []hardware.Drive {
		return []hardware.Drive{{Kind: hardware.Disk, File: file, Format: hardware.StreamVMDK, Size: size, Capacity: capacity}}
	}
	floppy := hardware.Controller{Bus: hardware.Floppy, Drives: []hardware.Drive{{Kind: hardware.FloppyDrive}}}
	for path, want := range map[string]ovf.Descriptor{
		filepath.Join(fixtures, "ttylinux.ovf"): {Flavour: ovf.VMware, Version: "1.0", SystemType: "vmx-09", Machine: hardware.Machine{
			Name: "ttylinux-pc_i486-16.1", Guest: "linux", CPUs: 1, MemoryMiB: 32, VMwareVersion: 9,
			Controllers: []hardware.Controller{{Bus: hardware.IDE, Drives: disk("ttylinux-pc_i486-16.1-disk1.vmdk", 10595840, 31457280)}},
			NICs:        []hardware.NIC{{Model: hardware.E1000, Connection: hardware.NAT}},
		}},
		filepath.Join(fixtures, "ubuntu24.10.ovf"): {Flavour: ovf.VMware, Version: "1.0", SystemType: "vmx-10", Machine: hardware.Machine{
			Name: "ubuntu-oracular-24.10-cloudimg-20241109", Guest: "ubuntu-64", CPUs: 2, MemoryMiB: 1024, VideoMiB: 4, VMwareVersion: 10,
			Controllers: []hardware.Controller{
				{Bus: hardware.PVSCSI, Drives: disk("ubuntu-oracular-24.10-cloudimg.vmdk", 595726336, 10737418240)},
				{Bus: hardware.IDE, Drives: []hardware.Drive{{Kind: hardware.CD, Port: 2}}},
				floppy,
			},
			NICs: []hardware.NIC{{Model: hardware.VMXNet3, Connection: hardware.Named, Network: "VM Network"}},
		}},
		filepath.Join("testdata", "others", "ovf-0.9.ovf"): {Flavour: ovf.VMware, Version: "0.9", SystemType: "vmx-6", Machine: hardware.Machine{
			Name: "old", Guest: "ubuntu", CPUs: 1, MemoryMiB: 384, VMwareVersion: 6,
			Controllers: []hardware.Controller{{Bus: hardware.IDE, Drives: []hardware.Drive{
				{Kind: hardware.Disk, File: "old.vmdk", Format: hardware.SparseVMDK, Size: 180114671, Capacity: 8589934592}, {Kind: hardware.CD, Port: 2},
			}}},
			NICs: []hardware.NIC{{Model: hardware.PCNet, Connection: hardware.NAT}},
		}},
		filepath.Join("testdata", "others", "ovf-2.0.ovf"): {Flavour: ovf.VirtualBox, Version: "2.0", SystemType: "virtualbox-2.2", Machine: hardware.Machine{
			Name: "new", Guest: "debian12-64", CPUs: 2, MemoryMiB: 1024,
			Controllers: []hardware.Controller{{Bus: hardware.SATA, Drives: disk("new-disk001.vmdk", 0, 8589934592)}},
			NICs:        []hardware.NIC{{Model: hardware.E1000, Connection: hardware.NAT}},
		}},
	} {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			f, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			got, err := ovf.Read(f)
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Files) != 1 {
				t.Errorf("files: %+v", got.Files)
			}
			got.Files, got.Remarks, got.Machine = nil, nil, got.Machine.Clone()
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// TestReadOptions: of several deployment options the default counts, and limits are no machine.
func TestReadOptions(t *testing.T) {
	t.Parallel()
	small := `<Item ovf:configuration="small"><rasd:InstanceID>1</rasd:InstanceID><rasd:ResourceType>3</rasd:ResourceType><rasd:VirtualQuantity>1</rasd:VirtualQuantity></Item>`
	limit := `<Item ovf:bound="min"><rasd:InstanceID>1</rasd:InstanceID><rasd:ResourceType>3</rasd:ResourceType><rasd:VirtualQuantity>9</rasd:VirtualQuantity></Item>`
	text := changed(t, ovf.VMware,
		change{"<Item>", small + limit + `<Item ovf:configuration="large">`},
		change{"<NetworkSection>", `<DeploymentOptionSection><Info/><Configuration ovf:id="small"/><Configuration ovf:id="large" ovf:default="true"/></DeploymentOptionSection><NetworkSection>`})
	d, err := ovf.Read(strings.NewReader(text))
	if err != nil || d.Machine.CPUs != 4 {
		t.Errorf("%d processors, want those of the default option, 4 (%v)", d.Machine.CPUs, err)
	}
}

func TestReadLicence(t *testing.T) {
	t.Parallel()
	text := changed(t, ovf.VMware, change{"<OperatingSystemSection", "<EulaSection><Info/><License>be nice</License></EulaSection><OperatingSystemSection"})
	if d, err := ovf.Read(strings.NewReader(text)); err != nil || d.Licence != "be nice" {
		t.Errorf("licence %q (%v)", d.Licence, err)
	}
}

func FuzzRead(f *testing.F) {
	for _, m := range []hardware.Machine{golden(), rich()} {
		for _, flavour := range flavours() {
			f.Add(write(f, m, flavour))
		}
	}
	for _, name := range []string{"virtualbox-7.0.ovf", "ovf-0.9.ovf", "ovf-2.0.ovf"} {
		text, err := os.ReadFile(filepath.Join("testdata", "others", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := ovf.Read(bytes.NewReader(text))
		if err != nil {
			return
		}
		for _, file := range d.Files {
			if !filepath.IsLocal(file.Name) {
				t.Errorf("the file %q is elsewhere", file.Name)
			}
		}
		if d.Machine.CPUs < 1 || d.Machine.MemoryMiB < 0 {
			t.Errorf("an impossible machine: %+v", d.Machine)
		}
		again, err := ovf.Read(bytes.NewReader(text))
		if err != nil || !cmp.Equal(d, again) {
			t.Errorf("it is read differently the second time: %v %s", err, cmp.Diff(d, again))
		}
	})
}

// TestGlance reads of a poor descriptor what there is.
func TestGlance(t *testing.T) {
	t.Parallel()
	got, err := ovf.Glance(strings.NewReader(`<Envelope><References><File ovf:href="a%20b.vmdk"/><File href="../c"/></References><DiskSection>` +
		`<Disk capacity="2" capacityAllocationUnits="GigaBytes"/><Disk capacity="x"/></DiskSection></Envelope>`))
	want := ovf.Contents{Files: []ovf.File{{Name: "a b.vmdk", Href: "a%20b.vmdk"}, {Name: "../c", Href: "../c"}}, Capacities: []int64{2 << 30}}
	if err != nil || !cmp.Equal(want, got) {
		t.Errorf("%v (-want +got)\n%s", err, cmp.Diff(want, got))
	}
	if _, err := ovf.Glance(strings.NewReader("<Envelope>")); err == nil || !strings.Contains(err.Error(), "cannot be read") {
		t.Errorf("got %v for half an element", err)
	}
}
