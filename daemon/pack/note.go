package pack

import (
	"encoding/json"
	"reflect"
)

// note is what a box says of the machine that it was made of, in its metadata: what another hypervisor would have to know and
// no plug-in of Vagrant reads.
type note struct {
	Machine hardwareNote `json:"machine,omitzero"`
	Guest   Guest        `json:"guest,omitzero"`
}

type hardwareNote struct {
	CPUs      int    `json:"cpus,omitempty"`
	MemoryMiB int    `json:"memory_mib,omitempty"`
	UEFI      bool   `json:"uefi,omitempty"`
	Type      string `json:"type,omitempty"`
	DiskBus   string `json:"disk_bus,omitempty"`
	NIC       string `json:"nic,omitempty"`
	GuestOS   string `json:"guest_os,omitempty"`
}

// note is that of this machine; nil if there is nothing to say.
func (j *job) note() (json.RawMessage, error) {
	h := j.Hardware
	n := note{hardwareNote{h.CPUs, h.MemoryMiB, j.artifact.UEFI, h.Machine, h.DiskBus, h.NIC, j.GuestOS}, j.Guest}
	if reflect.ValueOf(n).IsZero() {
		return nil, nil
	}
	return json.Marshal(n)
}

// readNote takes what a box says where nobody said otherwise. A note that cannot be read says nothing: it is of a stranger.
func (s *Source) readNote(text json.RawMessage) {
	var n note
	if len(text) == 0 || json.Unmarshal(text, &n) != nil {
		return
	}
	m := n.Machine
	s.Artifact.UEFI = m.UEFI
	s.Hardware = Hardware{CPUs: m.CPUs, MemoryMiB: m.MemoryMiB, Machine: m.Type, DiskBus: m.DiskBus, NIC: m.NIC}
	s.Guest, s.GuestOS = n.Guest, m.GuestOS
}
