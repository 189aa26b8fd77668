package imports

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/boxkiln/boxkiln/boxregistry/upstream"
	"github.com/boxkiln/boxkiln/daemon/wire"
)

// maxEvents bounds what is remembered of one import. Beyond it single files are no longer told, only that there are more;
// the summary has all that was passed over.
const maxEvents = 100_000

// job is one import and what it told. Progress is not kept: a reader gets the newest of each file, as often as it can
// take it.
type job struct {
	cancel context.CancelCauseFunc

	mu       sync.Mutex
	state    wire.Import
	events   []upstream.Event
	progress map[string]progress // by file
	moved    int                 // how often progress changed
	changed  chan struct{}       // closed and replaced by every change
}

// progress is the newest of a file, and when it came, in terms of moved.
type progress struct {
	upstream.Event
	moved int
}

func newJob(state wire.Import, cancel context.CancelCauseFunc) *job {
	return &job{cancel: cancel, state: state, progress: map[string]progress{}, changed: make(chan struct{})}
}

func (j *job) status() wire.Import {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.state
}

// tell remembers an event.
func (j *job) tell(e upstream.Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case e.Kind == upstream.EventProgress:
		j.moved++
		j.progress[e.What] = progress{e, j.moved}
	case len(j.events) < maxEvents:
		delete(j.progress, e.What)
		j.events = append(j.events, e)
	case len(j.events) == maxEvents:
		j.events = append(j.events, upstream.Event{Time: e.Time, Kind: upstream.EventMessage, Text: "from here on only the summary is told"})
	}
	j.wake()
}

func (j *job) wake() {
	close(j.changed)
	j.changed = make(chan struct{})
}

// end notes how the import ended. Every one has a summary as its last event.
func (j *job) end(state wire.ImportState, text string, sum *upstream.Summary, now time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.state.State, j.state.Error, j.state.Summary, j.state.Finished = state, text, sum, now
	clear(j.progress)
	last := len(j.events) - 1
	if sum != nil && (last < 0 || j.events[last].Kind != upstream.EventSummary) {
		j.events = append(j.events, upstream.Event{Time: now, Kind: upstream.EventSummary, Summary: sum})
	}
	j.wake()
}

// progressEvery is the shortest time between two reports of progress to one reader.
const progressEvery = 250 * time.Millisecond

// follow tells the events from the given place on, and how far files are in between, until the import has ended. next is
// the place after an event.
func (j *job) follow(ctx context.Context, place int64, fn func(next int64, e upstream.Event) error) error {
	seen := 0
	for {
		events, moves, moved, ended, changed := j.since(place, seen)
		for _, e := range events {
			place++
			if err := fn(place, e); err != nil {
				return err
			}
		}
		for _, e := range moves {
			if err := fn(place, e); err != nil {
				return err
			}
		}
		if ended && len(events) == 0 {
			return nil
		}
		if len(events) > 0 {
			continue
		}
		seen = moved
		if err := rest(ctx, changed, len(moves) > 0); err != nil {
			return err
		}
	}
}

// rest waits for the next change, and a while before it after progress, so that a fast import does not drown its reader.
func rest(ctx context.Context, changed <-chan struct{}, paced bool) error {
	var pace <-chan time.Time
	if paced {
		pace = time.After(progressEvery)
		changed = nil
	}
	select {
	case <-pace:
	case <-changed:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

func (j *job) since(place int64, seen int) (events, moves []upstream.Event, moved int, ended bool, changed <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if place < int64(len(j.events)) {
		events = slices.Clone(j.events[place:])
	}
	for _, p := range j.progress {
		if p.moved > seen {
			moves = append(moves, p.Event)
		}
	}
	slices.SortFunc(moves, func(a, b upstream.Event) int { return a.Time.Compare(b.Time) })
	return events, moves, j.moved, j.state.State != wire.ImportRunning, j.changed
}
