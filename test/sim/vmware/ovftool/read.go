package ovftool

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/boxkiln/boxkiln/test/sim/vmware/vmdk"
)

// The name spaces of OVF 1.
const (
	nsOVF  = "http://schemas.dmtf.org/ovf/envelope/1"
	nsRASD = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"
)

// document is what is read of a descriptor.
type document struct {
	XMLName xml.Name
	Files   []struct {
		ID        string `xml:"http://schemas.dmtf.org/ovf/envelope/1 id,attr"`
		Href      string `xml:"http://schemas.dmtf.org/ovf/envelope/1 href,attr"`
		ChunkSize string `xml:"http://schemas.dmtf.org/ovf/envelope/1 chunkSize,attr"`
	} `xml:"http://schemas.dmtf.org/ovf/envelope/1 References>File"`
	Disks []struct {
		ID       string `xml:"http://schemas.dmtf.org/ovf/envelope/1 diskId,attr"`
		FileRef  string `xml:"http://schemas.dmtf.org/ovf/envelope/1 fileRef,attr"`
		Format   string `xml:"http://schemas.dmtf.org/ovf/envelope/1 format,attr"`
		Capacity string `xml:"http://schemas.dmtf.org/ovf/envelope/1 capacity,attr"`
	} `xml:"http://schemas.dmtf.org/ovf/envelope/1 DiskSection>Disk"`
	System *struct {
		ID   string `xml:"http://schemas.dmtf.org/ovf/envelope/1 id,attr"`
		Name string `xml:"http://schemas.dmtf.org/ovf/envelope/1 Name"`
		OS   struct {
			Type string `xml:"http://www.vmware.com/schema/ovf osType,attr"`
		} `xml:"http://schemas.dmtf.org/ovf/envelope/1 OperatingSystemSection"`
		Hardware struct {
			Type   string    `xml:"System>VirtualSystemType"`
			Items  []xmlItem `xml:"http://schemas.dmtf.org/ovf/envelope/1 Item"`
			Config []setting `xml:"http://www.vmware.com/schema/ovf Config"`
			Extra  []setting `xml:"http://www.vmware.com/schema/ovf ExtraConfig"`
		} `xml:"http://schemas.dmtf.org/ovf/envelope/1 VirtualHardwareSection"`
	} `xml:"http://schemas.dmtf.org/ovf/envelope/1 VirtualSystem"`
}

type xmlItem struct {
	Required        string `xml:"http://schemas.dmtf.org/ovf/envelope/1 required,attr"`
	Address         string
	AddressOnParent string
	AllocationUnits string
	Connection      string
	ElementName     string
	HostResource    string
	InstanceID      string
	Parent          string
	ResourceSubType string
	ResourceType    int
	VirtualQuantity int
}

type setting struct {
	Key   string `xml:"http://www.vmware.com/schema/ovf key,attr"`
	Value string `xml:"http://www.vmware.com/schema/ovf value,attr"`
}

// unpack makes a machine of a package.
func (j job) unpack(ctx context.Context) error {
	j.begin()
	if j.full {
		return errFull
	}
	path := j.source
	if strings.EqualFold(filepath.Ext(path), ".ova") {
		dir, err := os.MkdirTemp(filepath.Dir(j.target), ".ovftool-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		if path, err = openOVA(path, dir); err != nil {
			return err
		}
	}
	if !j.skipManifest {
		if err := checkManifest(path); err != nil {
			return err
		}
	}
	m, err := j.read(path)
	if err != nil {
		return err
	}
	if err := j.place(ctx, &m); err != nil {
		return err
	}
	if err := m.toVMX().Write(j.target); err != nil {
		return err
	}
	j.progress()
	return nil
}

// place puts the disks and the firmware's variables beside the new VMX, ready to run.
func (j job) place(ctx context.Context, m *machine) error {
	dir, count := filepath.Dir(j.target), 0
	for i := range m.Drives {
		d := &m.Drives[i]
		if d.CD {
			continue
		}
		count++
		to := filepath.Join(dir, fmt.Sprintf("%s-disk%d.vmdk", j.stem(), count))
		if _, err := os.Lstat(to); err == nil && !j.overwrite {
			return refuse("File already exists: %s", to)
		}
		if _, err := vmdk.Inspect(ctx, d.File); err != nil {
			return refuse("Failed to open disk: %s", filepath.Base(d.File)) // unverified
		}
		if err := vmdk.Convert(ctx, d.File, to, vmdk.Sparse, vmdk.Adapter(d.File)); err != nil {
			return err
		}
		d.File = to
	}
	if m.NVRAM == "" {
		return nil
	}
	data, err := os.ReadFile(m.NVRAM)
	if err != nil {
		return refuse("File (%s) could not be opened", filepath.Base(m.NVRAM))
	}
	m.NVRAM = filepath.Join(dir, j.stem()+".nvram")
	return os.WriteFile(m.NVRAM, data, 0o644)
}

var manifestLine = regexp.MustCompile(`^(SHA1|SHA256|SHA512)\s*\((.+)\)\s*=\s*([0-9a-fA-F]+)\s*$`)

// checkManifest compares the files beside a descriptor with its manifest, if it has one.
func checkManifest(path string) error {
	mf := strings.TrimSuffix(path, filepath.Ext(path)) + ".mf"
	data, err := os.ReadFile(mf)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	for line := range strings.Lines(string(data)) {
		m := manifestLine.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			if strings.TrimSpace(line) == "" {
				continue
			}
			return refuse("Invalid manifest file (line: %s)", strings.TrimSpace(line)) // unverified
		}
		sum, err := digest(m[1], filepath.Join(filepath.Dir(path), filepath.Base(m[2])))
		if errors.Is(err, fs.ErrNotExist) {
			return refuse("File (%s) could not be opened", m[2])
		} else if err != nil {
			return err
		}
		if !strings.EqualFold(sum, m[3]) {
			return refuse("%s digest of file %s does not match manifest", m[1], m[2])
		}
	}
	return nil
}

// read reads a descriptor.
func (j job) read(path string) (machine, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return machine{}, err
	}
	var d document
	if err := xml.Unmarshal(text, &d); err != nil {
		return machine{}, refuse("Failed to parse OVF descriptor: %v", err) // unverified
	}
	if d.XMLName != (xml.Name{Space: nsOVF, Local: "Envelope"}) || d.System == nil {
		return machine{}, refuse("Invalid OVF descriptor: not an envelope of OVF 1 with one virtual system") // unverified
	}
	m := machine{Name: d.System.Name, OSType: "other", CPUs: 1, MemoryMB: 512}
	if m.Name == "" {
		m.Name = d.System.ID
	}
	if d.System.OS.Type != "" {
		m.OSType = guestOS(d.System.OS.Type)
	}
	if m.Hardware, err = j.hardware(d.System.Hardware.Type, text); err != nil {
		return m, err
	}
	for _, c := range d.System.Hardware.Config {
		m.EFI = m.EFI || c.Key == "firmware" && c.Value == "efi"
	}
	files, err := d.files(filepath.Dir(path))
	if err != nil {
		return m, err
	}
	for _, c := range d.System.Hardware.Extra {
		if id, ok := strings.CutPrefix(c.Value, "ovf:/file/"); ok && c.Key == "nvram" {
			m.NVRAM = files[id]
		}
	}
	return m, d.build(&m, files)
}

var family = regexp.MustCompile(`\bvmx-([0-9]+)\b`)

// hardware is the newest version of VMware's hardware that a machine was made for.
func (j job) hardware(types string, text []byte) (int, error) {
	newest := 0
	for _, m := range family.FindAllStringSubmatch(types, -1) {
		n, err := strconv.Atoi(m[1])
		if err == nil {
			newest = max(newest, n)
		}
	}
	if newest == 0 && !j.lax {
		line := 1 + bytes.Count(text[:max(0, bytes.Index(text, []byte(types)))], []byte("\n"))
		return 0, refuse("\n - Line %d: Unsupported hardware family '%s'.", line, types)
	}
	if newest == 0 {
		newest = 9
	}
	return newest, nil
}

// files are the paths of the files that a descriptor refers to, by their ids.
func (d document) files(dir string) (map[string]string, error) {
	files := map[string]string{}
	for _, f := range d.Files {
		if f.ChunkSize != "" || f.Href != filepath.Base(f.Href) {
			return nil, refuse("Unsupported file reference '%s'", f.Href) // unverified
		}
		if _, err := os.Stat(filepath.Join(dir, f.Href)); err != nil {
			return nil, refuse("File (%s) could not be opened", f.Href)
		}
		files[f.ID] = filepath.Join(dir, f.Href)
	}
	return files, nil
}

// build puts a machine together from its items.
func (d document) build(m *machine, files map[string]string) error {
	controllers := map[string]int{} // by InstanceID
	seen := map[string]bool{}
	items := slices.Clone(d.System.Hardware.Items)
	slices.SortStableFunc(items, func(a, b xmlItem) int { return stage(a) - stage(b) })
	for _, i := range items {
		if i.InstanceID == "" || seen[i.InstanceID] {
			return refuse("Duplicate or missing InstanceID '%s'", i.InstanceID) // unverified
		}
		seen[i.InstanceID] = true
		if err := d.add(m, i, controllers, files); err != nil {
			return err
		}
	}
	return nil
}

// add puts one item into the machine.
func (d document) add(m *machine, i xmlItem, controllers map[string]int, files map[string]string) error {
	switch i.ResourceType {
	case typeCPU:
		m.CPUs = i.VirtualQuantity
	case typeMemory:
		if i.AllocationUnits != "byte * 2^20" && i.AllocationUnits != "MegaBytes" {
			return refuse("Unsupported unit '%s' of memory", i.AllocationUnits) // unverified
		}
		m.MemoryMB = i.VirtualQuantity
	case typeIDE, typeSCSI, typeStorage:
		c, err := i.controller()
		if err != nil {
			return err
		}
		controllers[i.InstanceID] = len(m.Controllers)
		m.Controllers = append(m.Controllers, c)
	case typeDisk, typeCD, typeDVD:
		return d.attach(m, i, controllers, files)
	case typeEthernet:
		model, ok := keyOf(cardModels, i.ResourceSubType)
		if !ok {
			return i.unsupported()
		}
		m.NICs = append(m.NICs, nic{network(i.Connection), model})
	case typeFloppy:
	default:
		if i.Required != "false" {
			return i.unsupported()
		}
	}
	return nil
}

// stage sorts controllers before what hangs on them.
func stage(i xmlItem) int {
	switch i.ResourceType {
	case typeDisk, typeCD, typeDVD:
		return 1
	}
	return 0
}

// network is the kind of a network by its name in the package.
func network(name string) string {
	switch name = strings.ToLower(name); name {
	case "bridged", "hostonly":
		return name
	}
	return "nat"
}

func (i xmlItem) unsupported() error {
	return refuse("\n - OVF hardware element 'ResourceType' with instance ID '%s': No support for the virtual hardware device type '%d'.", i.InstanceID, i.ResourceType)
}

func (i xmlItem) controller() (controller, error) {
	n, err := strconv.Atoi(i.Address)
	if err != nil {
		n = 0
	}
	switch i.ResourceType {
	case typeIDE:
		return controller{Bus: "ide", Number: n}, nil
	case typeSCSI:
		model, ok := "lsilogic", true
		if i.ResourceSubType != "" {
			model, ok = keyOf(scsiModels, i.ResourceSubType)
		}
		if !ok {
			return controller{}, i.unsupported()
		}
		return controller{Bus: "scsi", Number: n, Model: model}, nil
	}
	bus, ok := keyOf(storageModels, i.ResourceSubType)
	if !ok { // such as VirtualBox's AHCI
		return controller{}, i.unsupported()
	}
	return controller{Bus: bus, Number: n}, nil
}

// attach hangs a drive on its controller.
func (d document) attach(m *machine, i xmlItem, controllers map[string]int, files map[string]string) error {
	c, ok := controllers[i.Parent]
	if !ok {
		return refuse("Invalid Parent '%s' of element with instance ID '%s'", i.Parent, i.InstanceID) // unverified
	}
	unit, err := strconv.Atoi(i.AddressOnParent)
	if err != nil {
		unit = 0
	}
	if i.ResourceType != typeDisk {
		m.Drives = append(m.Drives, drive{Controller: c, Unit: unit, CD: true})
		return nil
	}
	id := strings.TrimPrefix(strings.TrimPrefix(i.HostResource, "ovf:"), "/disk/")
	for _, disk := range d.Disks {
		if disk.ID != id {
			continue
		}
		if !strings.Contains(disk.Format, "vmdk.html") {
			return refuse("Unsupported disk format '%s'", disk.Format) // unverified
		}
		if files[disk.FileRef] == "" {
			return refuse("Disk '%s' refers to no file", disk.ID) // unverified
		}
		m.Drives = append(m.Drives, drive{Controller: c, Unit: unit, File: files[disk.FileRef]})
		return nil
	}
	return refuse("Invalid HostResource '%s' of element with instance ID '%s'", i.HostResource, i.InstanceID) // unverified
}
