package daemon

import (
	"context"
	"slices"
	"time"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/wire"
)

// unanswered is how long a build waits for an answer before it takes the default: a forgotten terminal must not hold a
// machine for ever.
const unanswered = 30 * time.Minute

// held is how long a build that was asked to wait (--keep) waits.
const held = 24 * time.Hour

// asker asks the user of one build.
type asker struct {
	builds *Builds
	id     build.ID
}

// Ask implements build.Asker. The first choice is the default.
func (a asker) Ask(ctx context.Context, q build.Question) (string, error) {
	answers := make(chan string, 1)
	a.builds.ask(a.id, answers)
	defer a.builds.ask(a.id, nil)
	a.builds.eventLog(a.id).Question(q)
	patience := unanswered
	if q.Hold {
		patience = held
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		select {
		case answer := <-answers:
			if slices.Contains(q.Choices, answer) {
				return answer, nil
			}
			a.builds.eventLog(a.id).Question(q)
		case <-timer.C:
			return q.Choices[0], nil
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
}

func (b *Builds) ask(id build.ID, answers chan string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if l := b.live[id]; l != nil {
		l.question = answers
	}
}

// Answer implements api.Builds.
func (b *Builds) Answer(ctx context.Context, id build.ID, answer string) error {
	if _, err := b.store.Get(ctx, id); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.live[id]
	if l == nil || l.question == nil {
		return wire.Errorf(wire.CodeConflict, "build %s asks nothing", id)
	}
	select {
	case l.question <- answer:
		return nil
	default:
		return wire.Errorf(wire.CodeConflict, "build %s has its answer already", id)
	}
}
