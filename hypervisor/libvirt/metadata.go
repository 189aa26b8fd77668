package libvirt

import (
	"encoding/xml"
	"fmt"

	"github.com/boxkiln/boxkiln/hypervisor"
)

// metadataURI is the namespace of the element by which the driver knows its own machines.
const (
	metadataURI    = "https://boxkiln.org/xmlns/libvirt/machine/1"
	metadataPrefix = "boxkiln"
)

// metadata is kept with the domain in libvirt. It marks the machine as ours and says what Destroy and Export need to
// know, so that a machine can be found and cleaned up with nothing but libvirt at hand.
type metadata struct {
	// libvirt hands the element back without its prefix and namespace.
	XMLName xml.Name   `xml:"machine"`
	Install string     `xml:"install,attr"`
	Build   string     `xml:"build,attr"`
	Attempt int        `xml:"attempt,attr"`
	Dir     string     `xml:"dir,attr"`
	Arch    string     `xml:"arch,attr"`
	UEFI    bool       `xml:"uefi,attr"`
	Accel   string     `xml:"accelerator,attr"`
	Reason  string     `xml:"reason,attr,omitempty"` // for that accelerator
	Network string     `xml:"network,attr"`          // user, lease, arp, agent or none
	Serial  string     `xml:"serial,attr,omitempty"`
	Vars    string     `xml:"vars,attr,omitempty"` // UEFI variables to export
	CPU     string     `xml:"cpu,attr,omitempty"`  // as the guest sees it
	MAC     string     `xml:"mac,attr,omitempty"`  // of the card under user networking
	Disks   []diskMeta `xml:"disk"`
	Convert []string   `xml:"convert"` // further switches for qemu-img convert
}

// diskMeta is a disk as it is now: a freeze puts overlays on it.
type diskMeta struct {
	Path    string  `xml:"path,attr"`
	Format  string  `xml:"format,attr"`
	Backing []layer `xml:"backing"` // what it is an overlay of, from the top down
}

// Ways to the guest, as metadata.Network names them.
const (
	networkUser = "user"
	networkNone = "none" // the guest's ports are this host's (skip_nat_mapping)
)

func (hw *hardware) metadata() metadata {
	m := metadata{
		Install: hw.spec.Tag.Install, Build: hw.spec.Tag.Build, Attempt: hw.spec.Tag.Attempt,
		Dir: hw.spec.Dir, Arch: hw.spec.Arch, UEFI: hw.spec.Firmware.UEFI, Accel: "tcg",
		Network: hw.set.Net.AddressSource, Convert: hw.set.Images.Convert, CPU: hw.cpuName(),
	}
	if m.Network == "" {
		m.Network = "lease"
	}
	if hw.kvm {
		m.Accel = "kvm"
	}
	m.Reason = hw.host.reason
	if hw.host.kvm != hw.kvm {
		m.Reason = "qemuargs ask for it"
	}
	if hw.spec.Network.Name == "" && hw.set.Net.Bridge == "" {
		m.Network = networkUser
		if hw.set.Net.SkipNAT {
			m.Network = networkNone
		}
		m.MAC = hw.mac()
	}
	if hw.serial {
		m.Serial = serialFile
	}
	if m.UEFI && !hw.set.Firmware.DropVars {
		m.Vars = varsFile
	}
	for i, d := range hw.spec.Disks {
		m.Disks = append(m.Disks, diskMeta{diskPath(hw.spec, hw.set, i), d.Format, hw.chain(i)})
	}
	return m
}

func (m metadata) tag() hypervisor.Tag {
	return hypervisor.Tag{Install: m.Install, Build: m.Build, Attempt: m.Attempt}
}

// encode writes the element with a prefix, which libvirt's metadata calls insist on.
func (m metadata) encode() (string, error) {
	type plain metadata // without XMLName's namespace, which encoding/xml would write as a default one
	out, err := xml.Marshal(struct {
		XMLName xml.Name `xml:"boxkiln:machine"`
		NS      string   `xml:"xmlns:boxkiln,attr"`
		plain
	}{NS: metadataURI, plain: plain(m)})
	if err != nil {
		return "", fmt.Errorf("describe the machine: %w", err)
	}
	return string(out), nil
}

// plain writes the element without its prefix, as virDomainSetMetadata wants it.
func (m metadata) plain() (string, error) {
	m.XMLName = xml.Name{Local: "machine"}
	out, err := xml.Marshal(m)
	if err != nil {
		return "", fmt.Errorf("describe the machine: %w", err)
	}
	return string(out), nil
}

func decodeMetadata(text string) (metadata, error) {
	var m metadata
	if err := xml.Unmarshal([]byte(text), &m); err != nil {
		return m, fmt.Errorf("the metadata of the domain cannot be read: %w", err)
	}
	return m, nil
}
