package steps

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/hypervisor"
)

// createMachine makes the machine, starts it and has it watched: when it ends although nobody wanted it to, the build ends
// with build.ErrMachineGone.
func (t *Set) createMachine(ctx context.Context, s *build.Session) error {
	spec := t.spec(s)
	handle := hypervisor.Handle{Driver: s.Driver.Name(), Name: spec.Name, Tag: spec.Tag, Dir: spec.Dir, URI: handleURI(spec)}
	row := s.Resource(build.KindMachine, spec.Name)
	var err error
	if row.Data, err = json.Marshal(handle); err != nil {
		return err
	}
	if err := s.Ledger.Intend(ctx, row); err != nil {
		return build.OurFault(fmt.Errorf("write the ledger: %w", err))
	}
	s.Log.Say("Creating the machine %s (%d CPUs, %d MiB, %s)", spec.Name, spec.CPUs, spec.MemoryMiB, firmwareName(spec))
	machine, err := s.Driver.Create(ctx, spec)
	if errors.Is(err, hypervisor.ErrUnreachable) { // nothing was made, and the reaper could not ask either
		err = errors.Join(err, s.Ledger.Release(ctx, row))
	}
	if err != nil {
		return build.OurFault(err)
	}
	s.SetMachine(machine)
	if err := machine.Start(ctx); err != nil {
		return build.OurFault(fmt.Errorf("start the machine: %w", err))
	}
	if note, ok := machine.(interface{ Note() string }); ok && note.Note() != "" {
		s.Log.Message("%s", note.Note())
	}
	watchCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.CloseAtEnd(closer(stop))
	go watch(watchCtx, s, machine)
	return nil
}

// closer is what ends with the session.
type closer context.CancelFunc

func (c closer) Close() error { c(); return nil }

// watch waits for the machine's end, or for that of the session: a machine may be left to the user.
func watch(ctx context.Context, s *build.Session, m hypervisor.Machine) {
	err := m.Wait(ctx)
	// A guest that nobody logs in to ends when its work is done, however soon that is.
	done := err == nil && s.Plan.Communicator.Kind() == build.CommunicatorNone
	if done || s.OffExpected() {
		return
	}
	if err == nil {
		s.Abort(fmt.Errorf("%w: the guest powered itself off", build.ErrMachineGone))
		return
	}
	s.Abort(build.OurFault(fmt.Errorf("%w: %w", build.ErrMachineGone, err)))
}

// spec completes the plan's machine with what only this attempt knows.
func (t *Set) spec(s *build.Session) hypervisor.Spec {
	spec := s.Plan.Machine
	spec.Name = "boxkiln-" + string(s.Build) + "-" + fmt.Sprint(s.Attempt)
	spec.Tag, spec.Dir, spec.Floppy = s.Tag, s.Dirs.Machine, s.Floppy
	spec.Disks = append([]hypervisor.Disk(nil), spec.Disks...)
	if s.Media.Path != "" {
		if s.Plan.DiskImage && len(spec.Disks) > 0 {
			spec.Disks[0].Image = s.Media.Path
		} else {
			spec.CDs = append(spec.CDs, s.Media.Path)
		}
	}
	spec.CDs = append(spec.CDs, s.CDs...)
	if s.Seed != nil {
		spec.HTTPPort, spec.Network.HostAddress = s.Seed.Port(), s.Seed.Seen()
	}
	if port := s.Plan.Communicator.SSH.Port; len(spec.Network.Forward) == 0 && spec.Network.Name == "" && s.Plan.Communicator.Kind() == "ssh" {
		spec.Network.Forward = []int{guestPort(port)}
	}
	return spec
}

func guestPort(port int) int {
	if port == 0 {
		return 22
	}
	return port
}

// handleURI reads the connection out of the driver's own arguments, for drivers that have several.
func handleURI(spec hypervisor.Spec) string {
	var o struct {
		URI string `json:"uri"`
	}
	_ = json.Unmarshal(spec.Options, &o) // options of other drivers have no such key
	return o.URI
}

func firmwareName(spec hypervisor.Spec) string {
	if spec.Firmware.UEFI {
		return "UEFI"
	}
	return "BIOS"
}
