package virtualbox

import (
	"context"
	"errors"
	"strings"
)

// medium is a hard disk in VirtualBox's register.
type medium struct{ uuid, location string }

// parseMedia reads `VBoxManage list hdds`: blocks of "Name:   value" lines, with a blank line between.
func parseMedia(out string) []medium {
	var all []medium
	for block := range strings.SplitSeq(out, "\n\n") {
		var m medium
		for line := range strings.Lines(block) {
			name, value, _ := strings.Cut(line, ":")
			switch value = strings.TrimSpace(value); name {
			case "UUID":
				m.uuid = value
			case "Location":
				m.location = value
			}
		}
		if m.uuid != "" && m.location != "" {
			all = append(all, m)
		}
	}
	return all
}

// removeMedia takes away the CDs, the floppy and the controllers that are there for the build alone.
func (m *Machine) removeMedia(ctx context.Context, in info) error {
	var errs []error
	for _, s := range m.record.CDs {
		if in.taken(s.Controller, s.Port, s.Device) {
			errs = append(errs, m.driver.detach(ctx, m.uuid, attachment{controller: s.Controller, port: s.Port, device: s.Device}))
		}
	}
	for _, name := range m.record.Controllers {
		if in.controllerNamed(name) {
			_, err := m.driver.vbox.run(ctx, "storagectl", m.uuid, "--name", name, "--remove")
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
