package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/google/uuid"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/wire"
	"github.com/boxkiln/boxkiln/internal/auth"
)

// Names implements api.Resumer.
func (b *Builds) Names(ctx context.Context, id build.ID) (wire.NamesReply, error) {
	reply, err := b.get(ctx, id)
	if err != nil {
		return wire.NamesReply{}, err
	}
	if err := resumable(reply.State, id); err != nil {
		return wire.NamesReply{}, err
	}
	p, err := b.keptPlan(id)
	if err != nil {
		return wire.NamesReply{}, err
	}
	names, err := build.InputNames(p, b.parts)
	return wire.NamesReply{Cwd: p.Cwd, Names: names}, err
}

// Resume implements api.Resumer: a new attempt of the same build. It begins at the newest checkpoint that still holds, as
// every attempt does.
func (b *Builds) Resume(ctx context.Context, who auth.Principal, id build.ID, req wire.ResumeRequest) (wire.ResumeReply, error) {
	reply, err := b.get(ctx, id)
	if err != nil {
		return wire.ResumeReply{}, err
	}
	if err := resumable(reply.State, id); err != nil {
		return wire.ResumeReply{}, err
	}
	p, err := b.keptPlan(id)
	if err != nil {
		return wire.ResumeReply{}, err
	}
	if req.Inputs != nil {
		p.Inputs = req.Inputs
	}
	if req.OnError != "" {
		p.Options.OnError = req.OnError
	}
	p.Options.Keep = p.Options.Keep || req.Keep
	if err := b.check(p, who); err != nil {
		return wire.ResumeReply{}, err
	}
	b.submitting.RLock()
	defer b.submitting.RUnlock()
	if b.retired {
		return wire.ResumeReply{}, wire.Errorf(wire.CodeStopping, "this daemon is ending; try again")
	}
	return b.requeue(ctx, reply.Record, p)
}

// requeue makes the build wait again. The log is open before the queue can see it.
func (b *Builds) requeue(ctx context.Context, r build.Record, p *build.Plan) (wire.ResumeReply, error) {
	if !b.reopenFor(r.ID) {
		return wire.ResumeReply{}, wire.Errorf(wire.CodeConflict, "build %s is just ending, or being resumed: try again", r.ID)
	}
	defer b.resumed(r.ID)
	dir, err := b.layout.Build(string(r.ID))
	if err != nil {
		return wire.ResumeReply{}, err
	}
	if err := b.keepPlan(dir, p); err != nil {
		return wire.ResumeReply{}, fmt.Errorf("keep the plan: %w", err)
	}
	offset := int64(0)
	if info, err := os.Stat(dir.Log()); err == nil {
		offset = info.Size()
	} else if !errors.Is(err, fs.ErrNotExist) {
		return wire.ResumeReply{}, err
	}
	if err := b.open(r.ID, r.Label); err != nil {
		return wire.ResumeReply{}, err
	}
	b.eventLog(r.ID).State(build.Queued, "resumed")
	if state, err := b.store.Resume(ctx, r.ID); err != nil {
		b.close(r.ID)
		if errors.Is(err, build.ErrNotResumable) {
			err = resumable(state, r.ID)
		}
		return wire.ResumeReply{}, err
	}
	b.queue.Wake()
	r, err = b.store.Get(ctx, r.ID)
	return wire.ResumeReply{Build: r, Offset: offset}, err
}

// resumable refuses a build in a state that permits no further attempt.
func resumable(state build.State, id build.ID) error {
	if state.MayBecome(build.Queued) {
		return nil
	}
	return wire.Errorf(wire.CodeConflict, "build %s is %s: %w", id, state, build.ErrNotResumable)
}

// reopenFor makes sure that a build is resumed once: two requests at the same time would write one log. It is false while
// another request is at it, and while an attempt that has ended is still writing its last lines.
func (b *Builds) reopenFor(id build.ID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.live[id] != nil || b.resuming[id] {
		return false
	}
	b.resuming[id] = true
	return true
}

func (b *Builds) resumed(id build.ID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.resuming, id)
}

// Retry implements api.Resumer: a new build with the plan of another one, whatever became of that.
func (b *Builds) Retry(ctx context.Context, who auth.Principal, id build.ID) (build.Record, error) {
	if _, err := b.get(ctx, id); err != nil {
		return build.Record{}, err
	}
	p, err := b.keptPlan(id)
	if err != nil {
		return build.Record{}, err
	}
	p.RunUUID = uuid.NewString()
	records, err := b.Submit(ctx, who, wire.SubmitRequest{Plans: []build.Plan{*p}})
	if err != nil {
		return build.Record{}, err
	}
	return records[0], nil
}

// keptPlan is the plan of a build as it was queued. That of one that succeeded is without its secrets, which nobody needs
// to keep any longer.
func (b *Builds) keptPlan(id build.ID) (*build.Plan, error) {
	p, err := b.loadPlan(id)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, wire.Errorf(wire.CodeConflict, "the plan of build %s, or the secrets in it, are not kept any more: build the template again", id)
	}
	return p, err
}

// forgetSecrets removes the sealed secrets of a build that needs no further attempt. A plan without any can be run again.
func (b *Builds) forgetSecrets(id build.ID) {
	dir, err := b.layout.Build(string(id))
	if err != nil {
		return
	}
	values, err := b.vault.read(dir.Secrets())
	if err == nil && len(values) > 0 {
		err = os.Remove(dir.Secrets())
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		b.log.Warn("the secrets of a build could not be removed", "build", id, "err", err)
	}
}
