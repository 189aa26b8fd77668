package virtualbox

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/boxkiln/boxkiln/hypervisor"
)

// recordKey is the extra data of a machine in which its record is kept.
const recordKey = "boxkiln/machine"

// record is what is known of a machine of ours, kept with it.
type record struct {
	Name     string         `json:"name"` // as Spec has it; a borrowed machine has another one in VirtualBox
	Tag      hypervisor.Tag `json:"tag"`
	Dir      string         `json:"dir"`
	Arch     string         `json:"arch"`
	UEFI     bool           `json:"uefi,omitempty"`
	Forward  []int          `json:"forward,omitempty"`
	HTTPPort int            `json:"http_port,omitempty"`
	HTTPHost string         `json:"http_host,omitempty"`
	Settings settings       `json:"settings"`
	// Additions is the image of the guest additions on this host; empty for none.
	Additions string `json:"additions,omitempty"`
	Version   string `json:"version"` // of VirtualBox when the machine was made
	// CDs are the places of CDs and Controllers the controllers that are there for the build alone.
	CDs         []slot   `json:"cds,omitempty"`
	Controllers []string `json:"controllers,omitempty"`
	// Revert is the snapshot that a borrowed machine goes back to.
	Revert string `json:"revert,omitempty"`
	// Whole says that the machine was made to its end.
	Whole bool `json:"whole,omitempty"`
}

// slot is a place of a controller.
type slot struct {
	Controller string `json:"controller"`
	Port       int    `json:"port"`
	Device     int    `json:"device"`
}

// borrowed tells whether the machine belongs to the user.
func (r record) borrowed() bool { return r.Settings.Kind == kindVM }

// valuePrefix comes before extra data that is there. What is printed for none is translated in 7.x, so anything else is none.
const valuePrefix = "Value: "

// record reads the record of a machine; false for one without.
func (m *manager) record(ctx context.Context, machine string) (record, bool, error) {
	var r record
	out, err := m.run(ctx, "getextradata", machine, recordKey)
	if err != nil {
		return r, false, err
	}
	text, ok := strings.CutPrefix(strings.TrimSpace(out), valuePrefix)
	if !ok || !strings.HasPrefix(text, "{") {
		return r, false, nil
	}
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return r, false, fmt.Errorf("the record of the machine %q: %w", machine, err)
	}
	return r, true, nil
}

// keep writes the record of a machine.
func (m *manager) keep(ctx context.Context, machine string, r record) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	_, err = m.run(ctx, "setextradata", machine, recordKey, string(data))
	return err
}

// forget removes the record of a machine: it is nobody's any more.
func (m *manager) forget(ctx context.Context, machine string) error {
	_, err := m.run(ctx, "setextradata", machine, recordKey)
	return err
}
