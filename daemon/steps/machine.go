package steps

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/hypervisor"
)

// maker brings a machine into being: Driver.Create, or Thaw of a checkpoint.
type maker func(ctx context.Context, spec hypervisor.Spec) (hypervisor.Machine, error)

// makeMachine has make make the machine, after the ledger knows of it, starts it and has it watched.
func (t *Set) makeMachine(ctx context.Context, s *build.Session, make maker) (*watch, error) {
	spec := t.spec(s)
	row, err := intend(ctx, s, build.KindMachine, spec.Name, handleOf(s, spec))
	if err != nil {
		return nil, err
	}
	machine, err := make(ctx, spec)
	if errors.Is(err, hypervisor.ErrUnreachable) { // nothing was made, and the reaper could not ask either
		err = errors.Join(err, s.Ledger.Release(ctx, row))
	}
	if err != nil {
		return nil, build.OurFault(err)
	}
	s.SetMachine(machine)
	return startMachine(ctx, s)
}

// intend writes a row of the ledger, before what it tells of is made. How a driver is reached may be secret, so handle is sealed.
func intend(ctx context.Context, s *build.Session, kind build.ResourceKind, name string, handle any) (build.Resource, error) {
	row := s.Resource(kind, name)
	data, err := json.Marshal(handle)
	if err == nil {
		row.Data, err = s.Plan.SealData(data)
	}
	if err != nil {
		return row, err
	}
	if err := s.Ledger.Intend(ctx, row); err != nil {
		return row, build.OurFault(fmt.Errorf("write the ledger: %w", err))
	}
	return row, nil
}

// handleOf is the handle of a machine that may not exist yet.
func handleOf(s *build.Session, spec hypervisor.Spec) hypervisor.Handle {
	return hypervisor.Handle{Driver: s.Driver.Name(), Name: spec.Name, Tag: spec.Tag, Dir: spec.Dir, URI: handleURI(spec)}
}

// startMachine powers the session's machine on, if it is off, and has it watched.
func startMachine(ctx context.Context, s *build.Session) (*watch, error) {
	if err := s.Machine.Start(ctx); err != nil {
		return nil, build.OurFault(fmt.Errorf("start the machine: %w", err))
	}
	w := newWatch(ctx, s)
	s.CloseAtEnd(w)
	return w, nil
}

// watch waits for the end of a machine: when it ends although nobody wanted it to, the build ends with
// build.ErrMachineGone.
type watch struct {
	stop context.CancelFunc
	done chan struct{}
}

func newWatch(ctx context.Context, s *build.Session) *watch {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	w := &watch{stop: stop, done: make(chan struct{})}
	machine := s.Machine
	go func() {
		defer close(w.done)
		err := machine.Wait(ctx)
		if ctx.Err() == nil {
			machineEnded(s, err)
		}
	}()
	return w
}

// Close ends the watch, whatever becomes of the machine: it may be left to the user.
func (w *watch) Close() error {
	w.stop()
	<-w.done
	return nil
}

func machineEnded(s *build.Session, err error) {
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

// spec completes the plan's machine with what only this attempt knows. It names the seed media before they are made: whether
// a checkpoint fits is asked before, and depends on what drives there are.
func (t *Set) spec(s *build.Session) hypervisor.Spec {
	spec := s.Plan.Machine
	spec.Name = "boxkiln-" + string(s.Build) + "-" + fmt.Sprint(s.Attempt)
	spec.Tag, spec.Dir, spec.Floppy = s.Tag, s.Dirs.Machine, seedFloppy(s)
	spec.Disks = append([]hypervisor.Disk(nil), spec.Disks...)
	if s.Media.Path != "" {
		if s.Plan.DiskImage && len(spec.Disks) > 0 {
			spec.Disks[0].Image = s.Media.Path
		} else {
			spec.CDs = append(spec.CDs, s.Media.Path)
		}
	}
	if cd := seedCD(s); cd != "" {
		spec.CDs = append(spec.CDs, cd)
	}
	if s.Source.Path != "" {
		spec.Source = s.Source.Path
	}
	spec.Fetched, spec.Force = s.Fetched, s.Plan.Options.Force
	if spec.Remote {
		spec.AuthorizedKey = s.Key.Authorized
	}
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

// summaryOf says what a machine is: its size, unless it brings its own.
func summaryOf(spec hypervisor.Spec) string {
	if spec.Source != "" {
		return "from " + filepath.Base(spec.Source)
	}
	if spec.Remote {
		return "in the cloud"
	}
	firmware := "BIOS"
	if spec.Firmware.UEFI {
		firmware = "UEFI"
	}
	return fmt.Sprintf("%d CPUs, %d MiB, %s", spec.CPUs, spec.MemoryMiB, firmware)
}
