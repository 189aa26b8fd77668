package main

import (
	"encoding/xml"
	"slices"
)

// envelope is an OVF file. Names of attributes are compared without their namespace.
type envelope struct {
	XMLName xml.Name
	Files   []struct {
		ID          string `xml:"id,attr"`
		Href        string `xml:"href,attr"`
		Compression string `xml:"compression,attr"`
		ChunkSize   string `xml:"chunkSize,attr"`
	} `xml:"References>File"`
	Disks []struct {
		ID       string `xml:"diskId,attr"`
		FileRef  string `xml:"fileRef,attr"`
		Format   string `xml:"format,attr"`
		Capacity string `xml:"capacity,attr"`
		Units    string `xml:"capacityAllocationUnits,attr"`
		UUID     string `xml:"uuid,attr"`
	} `xml:"DiskSection>Disk"`
	Systems    []virtualSystem `xml:"VirtualSystem"`
	Collection []virtualSystem `xml:"VirtualSystemCollection>VirtualSystem"`
}

type virtualSystem struct {
	ID   string `xml:"id,attr"`
	Name string `xml:"Name"`
	OS   struct {
		Number int    `xml:"id,attr"`
		Type   string `xml:"http://www.virtualbox.org/ovf/machine OSType"`
	} `xml:"OperatingSystemSection"`
	License    string       `xml:"EulaSection>License"`
	Annotation string       `xml:"AnnotationSection>Annotation"`
	Product    string       `xml:"ProductSection>Product"`
	Items      []rasd       `xml:"VirtualHardwareSection>Item"`
	Storage    []rasd       `xml:"VirtualHardwareSection>StorageItem"`
	Ethernet   []rasd       `xml:"VirtualHardwareSection>EthernetPortItem"`
	Machine    *vboxMachine `xml:"http://www.virtualbox.org/ovf/machine Machine"`
}

// rasd is a hardware item.
type rasd struct {
	Required        string `xml:"required,attr"`
	InstanceID      string `xml:"InstanceID"`
	InstanceId      string `xml:"InstanceId"` // OVF 0.9
	ResourceType    string `xml:"ResourceType"`
	ResourceSubType string `xml:"ResourceSubType"`
	AllocationUnits string `xml:"AllocationUnits"`
	VirtualQuantity string `xml:"VirtualQuantity"`
	Parent          string `xml:"Parent"`
	AddressOnParent string `xml:"AddressOnParent"`
	Address         string `xml:"Address"`
	HostResource    string `xml:"HostResource"`
	Connection      string `xml:"Connection"`
}

// vboxMachine is what VirtualBox says in its own format.
type vboxMachine struct {
	Name     string `xml:"name,attr"`
	OSType   string `xml:"OSType,attr"`
	Hardware struct {
		CPU struct {
			Count string `xml:"count,attr"`
			PAE   struct {
				Enabled string `xml:"enabled,attr"`
			}
		}
		Memory struct {
			Size string `xml:"RAMSize,attr"`
		}
		Firmware struct {
			Type string `xml:"type,attr"`
		}
		Chipset struct {
			Type string `xml:"type,attr"`
		}
		Boot []struct {
			Position int    `xml:"position,attr"`
			Device   string `xml:"device,attr"`
		} `xml:"Boot>Order"`
		Display struct {
			Controller string `xml:"controller,attr"`
			VRAM       string `xml:"VRAMSize,attr"`
		}
		Adapters []vboxAdapter `xml:"Network>Adapter"`
		RTC      struct {
			LocalOrUTC string `xml:"localOrUTC,attr"`
		}
		Controllers []vboxController `xml:"StorageControllers>StorageController"`
	}
	// Controllers are here up to 6.1 and in exports, and inside Hardware in newer settings files.
	Controllers []vboxController `xml:"StorageControllers>StorageController"`
}

func (m *vboxMachine) controllers() []vboxController {
	return slices.Concat(m.Controllers, m.Hardware.Controllers)
}

type vboxController struct {
	Name      string `xml:"name,attr"`
	Type      string `xml:"type,attr"`
	PortCount int    `xml:"PortCount,attr"`
	Bootable  string `xml:"Bootable,attr"`
	Devices   []struct {
		Type   string `xml:"type,attr"`
		Port   int    `xml:"port,attr"`
		Device int    `xml:"device,attr"`
		Image  *struct {
			UUID string `xml:"uuid,attr"`
		}
	} `xml:"AttachedDevice"`
}

type vboxAdapter struct {
	Slot    int    `xml:"slot,attr"`
	Enabled string `xml:"enabled,attr"`
	MAC     string `xml:"MACAddress,attr"`
	Cable   string `xml:"cable,attr"`
	Type    string `xml:"type,attr"`
	NAT     *struct {
		Reachable string `xml:"localhost-reachable,attr"`
		Forwards  []struct {
			Name      string `xml:"name,attr"`
			Proto     int    `xml:"proto,attr"`
			HostIP    string `xml:"hostip,attr"`
			HostPort  int    `xml:"hostport,attr"`
			GuestIP   string `xml:"guestip,attr"`
			GuestPort int    `xml:"guestport,attr"`
		} `xml:"Forwarding"`
	}
	Bridged  *namedNetwork `xml:"BridgedInterface"`
	HostOnly *namedNetwork `xml:"HostOnlyInterface"`
	Internal *namedNetwork `xml:"InternalNetwork"`
}

type namedNetwork struct {
	Name string `xml:"name,attr"`
}
