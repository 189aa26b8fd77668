package steps

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/checkpoint"
	"github.com/boxkiln/boxkiln/hypervisor"
)

// freezeStep makes the step that keeps the machine as stage i left it.
func (k *kept) freezeStep(i int, stage string) build.Step {
	return build.Step{
		Name: "freeze " + stage,
		Needed: func(*build.Session) bool {
			return i >= k.done && i < len(k.stages) && k.stages[i].Never == "" && !k.stopped()
		},
		Do: func(ctx context.Context, s *build.Session) error { return k.freeze(ctx, s, i) },
	}
}

// freeze keeps the machine after stage i. A checkpoint that cannot be made is no reason to end a build.
func (k *kept) freeze(ctx context.Context, s *build.Session, i int) error {
	k.ran = append(k.ran[:min(i, len(k.ran))], build.Stamp(k.set.Now()))
	if k.stopped() {
		return nil
	}
	if how := s.Touched(); how != "" {
		k.stop(s, "%s", how)
		return nil
	}
	freezer, ok := s.Machine.(hypervisor.Freezer)
	if !ok {
		return nil // the artifact can still be kept
	}
	k.set.putKeyBack(ctx, s)
	switch err := freezer.Freezable(ctx); {
	case err == nil:
		return k.keep(ctx, s, i, freezer, checkpoint.KindMemory)
	case !errors.Is(err, hypervisor.ErrUnsupported):
		k.stop(s, "%v", err)
		return nil
	default:
		return k.freezeOff(ctx, s, i, freezer, err)
	}
}

// keep freezes the machine as it is, running or off, and has the checkpoint written while the build goes on.
func (k *kept) keep(ctx context.Context, s *build.Session, i int, freezer hypervisor.Freezer, kind checkpoint.Kind) error {
	draft, err := k.set.Checkpoints.Draft(ctx, s.Build, k.base)
	if err != nil {
		k.stop(s, "%v", err)
		return nil
	}
	began := k.set.Now()
	frozen, err := freezer.Freeze(ctx, draft.Dir)
	if err != nil {
		err = errors.Join(err, draft.Close(context.WithoutCancel(ctx)))
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, hypervisor.ErrCrashed):
			return build.OurFault(err)
		}
		k.stop(s, "%v", err)
		return nil
	}
	k.last = k.set.Now()
	s.Log.Mark(build.MarkFrozen, fmt.Sprintf("%s in %.1f s", k.stages[i].Name, k.last.Sub(began).Seconds()))
	k.base = draft.ID
	k.commit(ctx, s, draft, k.meta(s, i, kind, func(m *checkpoint.Meta) { m.Machine = &frozen }))
	return nil
}

// meta describes the checkpoint of stage i.
func (k *kept) meta(s *build.Session, i int, kind checkpoint.Kind, fill func(*checkpoint.Meta)) checkpoint.Meta {
	stage := k.stages[i]
	m := checkpoint.Meta{
		Fingerprint: stage.Fingerprint, Kind: kind, Stage: stage.Name, Index: i, Reads: stage.Reads,
		Label: s.Plan.Label, Template: s.Plan.Template, Build: s.Build, HostKey: hostKey(s),
		Took: k.took + k.set.Now().Sub(k.began), Ran: append([]build.Stamp(nil), k.ran...),
	}
	fill(&m)
	return m
}

// hostKey is the key that the guest shows now: it may have come back with another one after a reboot.
func hostKey(s *build.Session) string {
	if g, ok := s.Guest.(interface{ HostKey() string }); ok {
		return g.HostKey()
	}
	return s.HostKey
}

const (
	// offTimeout bounds how long a guest may take to power itself off for a disk checkpoint, if the template's
	// shutdown_timeout is not shorter.
	offTimeout = 2 * time.Minute
	// restartShare is how many times longer than a power cycle the work since the last checkpoint must have taken for a
	// disk checkpoint to be worth its while.
	restartShare = 2
)

// freezeOff keeps the disks alone: the guest is shut down for it and started again.
func (k *kept) freezeOff(ctx context.Context, s *build.Session, i int, freezer hypervisor.Freezer, why error) error {
	if k.restart > 0 && k.set.Now().Sub(k.last) < restartShare*k.restart {
		s.Log.Message("%s is not kept: %v, and shutting down for a disk checkpoint takes longer than it saves", k.stages[i].Name, why)
		return nil
	}
	s.Log.Say("Shutting the guest down to keep its disks: its memory cannot be frozen (%v)", why)
	began := k.set.Now()
	off, err := k.powerOff(ctx, s)
	if err != nil || !off {
		return err
	}
	if err := k.keep(ctx, s, i, freezer, checkpoint.KindDisk); err != nil {
		return err
	}
	s.ExpectOn()
	s.HostKey = "" // a script may have removed the host keys, for the boot to make new ones
	if k.watch, err = startMachine(ctx, s); err != nil {
		return err
	}
	if err := k.set.waitGuest(ctx, s); err != nil {
		return err
	}
	k.restart = k.set.Now().Sub(began)
	return nil
}

// powerOff asks the guest to power itself off, and tells whether it did.
func (k *kept) powerOff(ctx context.Context, s *build.Session) (off bool, err error) {
	s.ExpectOff()
	timeout := min(offTimeout, s.Plan.Shutdown.ShutdownTimeout.Or(defaultShutdownTimeout))
	waitCtx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err = s.Machine.Shutdown(waitCtx); err == nil {
		err = s.Machine.Wait(waitCtx)
	}
	switch {
	case err == nil:
		return true, k.watch.Close()
	case ctx.Err() != nil:
		return false, context.Cause(ctx)
	case errors.Is(err, hypervisor.ErrUnsupported): // no power button reaches this guest; the build goes on
		s.ExpectOn()
		k.stop(s, "%v", err)
		return false, nil
	case waitCtx.Err() != nil:
		s.ExpectOn()
		k.stop(s, "the guest does not power itself off by ACPI within %s", timeout)
		return false, nil
	}
	return false, build.OurFault(fmt.Errorf("shut down for a disk checkpoint: %w", err))
}
