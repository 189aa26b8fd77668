package cloud

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/boxkiln/boxkiln/test/sim/qemu"
)

// QEMU runs instances as real guests: the root disk is an NVMe drive, as on Nitro, and the network card is virtio's, as QEMU has no
// ENA. The program must call [qemu.Supervise] first of all.
//
// An image of a cloud has cloud-init, which fetches the key of its instance from the metadata service. Images here need not
// have it: the key is written into the file system, for every user with a home directory, before the guest boots.
type QEMU struct {
	Dir      string // of the machines; must exist
	MemoryMB int    // 512 unless set
	CPUs     int
	// Patience is how long a guest may take to power off when it is asked to. Default 2 minutes.
	Patience time.Duration
}

func (q QEMU) dir(id string) string { return filepath.Join(q.Dir, id) }

// Start implements Guests.
func (q QEMU) Start(ctx context.Context, g Guest) error {
	if err := personalise(ctx, g); err != nil {
		return err
	}
	spec := qemu.Spec{
		Name: g.ID, CPUs: max(q.CPUs, 1), MemoryMB: q.MemoryMB, Machine: "q35",
		Drives: []qemu.Drive{{ID: "root", Path: g.Disk, Format: "raw", Bus: qemu.NVMe, BootIndex: 1}},
		Serial: []string{filepath.Join(q.dir(g.ID), "console")},
	}
	if spec.MemoryMB == 0 {
		spec.MemoryMB = 512
	}
	if g.UEFI {
		spec.Firmware, spec.NVRAM = qemu.UEFI, filepath.Join(q.dir(g.ID), "vars.fd")
	}
	nic := qemu.NIC{Model: "virtio-net-pci", MAC: "0a:ff:c8:00:00:01"}
	if g.Reachable {
		nic.Forwards = []qemu.Forward{{Host: g.Address, HostPort: 22, GuestPort: 22}}
	}
	spec.NICs = []qemu.NIC{nic}
	if err := os.MkdirAll(q.dir(g.ID), 0o700); err != nil {
		return err
	}
	return qemu.Start(ctx, q.dir(g.ID), spec)
}

// Stop implements Guests.
func (q QEMU) Stop(ctx context.Context, id string) error {
	patience := q.Patience
	if patience == 0 {
		patience = 2 * time.Minute
	}
	polite, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if guest, err := qemu.Connect(polite, q.dir(id)); err == nil {
		err = guest.PowerButton(polite)
		guest.Close()
		if err == nil && qemu.WaitUnlocked(polite, q.dir(id)) == nil {
			return nil
		}
	}
	return q.Kill(ctx, id)
}

// Kill implements Guests.
func (q QEMU) Kill(ctx context.Context, id string) error {
	status, err := qemu.Look(q.dir(id))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if status.State.Alive() {
		guest, err := qemu.Connect(ctx, q.dir(id))
		if err != nil {
			return err
		}
		err = guest.Quit(ctx)
		guest.Close()
		if err != nil {
			return err
		}
	}
	return qemu.WaitUnlocked(ctx, q.dir(id))
}

// Wait implements Guests.
func (q QEMU) Wait(ctx context.Context, id string) error { return qemu.WaitEnd(ctx, q.dir(id)) }

// Console is what a guest has written to its first serial port; nothing if it never ran.
func (q QEMU) Console(id string) ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(q.dir(id), "console"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return text, err
}
