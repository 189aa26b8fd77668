//go:build !nolibvirt

package libvirt

import (
	"context"
	"fmt"
	"os"
	"strings"

	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/boxkiln/boxkiln/hypervisor"
)

// Freezable tells what keeps the memory from being kept: devices that QEMU cannot save, drives that are not the machine's
// own, a network on which copies would meet.
func (m *Machine) Freezable(ctx context.Context) error {
	facts, err := m.driver.host(ctx, m.uri, m.meta.Arch)
	if err != nil {
		return err
	}
	meta, err := m.current(ctx)
	if err != nil {
		return err
	}
	_, err = m.freezable(ctx, facts, meta)
	return err
}

// freezable is Freezable, and gives the description of the running machine.
func (m *Machine) freezable(ctx context.Context, facts hostFacts, meta metadata) (string, error) {
	type answer struct {
		text     string
		blockers []string
	}
	a, err := askDomain(ctx, m, func(_ *libvirt.Connect, dom *libvirt.Domain) (answer, error) {
		text, err := dom.GetXMLDesc(libvirt.DOMAIN_XML_MIGRATABLE)
		if err != nil {
			return answer{}, err
		}
		status, err := query[struct {
			Blocked []string `json:"blocked-reasons"` // QEMU 6.0 and later
		}](dom, "query-migrate")
		return answer{text, status.Blocked}, err
	})
	if err != nil {
		return "", fmt.Errorf("ask whether the memory of %q can be kept: %w", m.name, err)
	}
	var x libvirtxml.Domain
	if err := x.Unmarshal(a.text); err != nil {
		return "", fmt.Errorf("the description of %q cannot be read: %w", m.name, err)
	}
	why := append(obstacles(&x, meta), a.blockers...)
	if facts.qemu != nil && os.Getuid() != 0 {
		why = append(why, "libvirt's system daemon, which writes the memory for root alone (run boxkiln as root or use qemu:///session)")
	}
	if len(why) > 0 {
		return "", fmt.Errorf("the memory of %q cannot be kept: %w: in the way is %s", m.name, hypervisor.ErrUnsupported, strings.Join(why, "; "))
	}
	return a.text, nil
}

// notMigratable recognises the devices that QEMU names only when it meets them.
func notMigratable(err error) error {
	for _, words := range []string{"non-migratable device", "migration is blocked", "does not support migration"} {
		if strings.Contains(strings.ToLower(err.Error()), words) {
			return fmt.Errorf("%w: %w", hypervisor.ErrUnsupported, err)
		}
	}
	return err
}
