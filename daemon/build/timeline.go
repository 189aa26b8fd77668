package build

import (
	"slices"
	"strings"
	"time"

	"github.com/boxkiln/boxkiln/hypervisor"
)

// Moment is one thing on the timeline of a build: a step with how long it took, a mark, a request for a seed file, or a
// change of state.
type Moment struct {
	At time.Time `json:"at"` // when it began
	// Attempt is the run of the build that it belongs to, counted from 1; 0 before the first one began.
	Attempt int `json:"attempt"`
	// Kind is EventStep, EventMark, EventSeed or EventState.
	Kind EventKind `json:"kind"`
	// Name is that of the step, the mark, the request ("GET /ks.cfg") or the state.
	Name   string `json:"name"`
	Detail string `json:"detail,omitempty"`
	// Phase is where a step is, or where a state is that lasts: running.
	Phase StepPhase `json:"phase,omitempty"`
	// Seconds is how long it took, once it has ended.
	Seconds float64 `json:"seconds,omitempty"`
	// Status (of HTTP) and Size (bytes sent) are of a request.
	Status int   `json:"status,omitempty"`
	Size   int64 `json:"size,omitempty"`
}

// momentLimit bounds the moments of an attempt: a guest may ask for seed files without end.
const momentLimit = 2000

// Made is a line of the summary of a build: what it made.
type Made struct {
	Text string `json:"text"`
	// IDs are of what lies in a cloud.
	IDs []hypervisor.RemoteID `json:"ids,omitempty"`
}

// Timeline is a fold over the events of a build, in order. The zero value is ready. It is not safe for concurrent use.
type Timeline struct {
	moments []Moment
	attempt int
	began   bool // the attempt has begun and not ended
	first   int  // where the moments of the attempt begin
	made    []Made
}

// Made returns what the last attempt told that it made, in its order.
func (t *Timeline) Made() []Made { return slices.Clone(t.made) }

// Add takes the next event of the build's log. Most kinds of events leave no moment.
func (t *Timeline) Add(e Event) {
	switch e.Kind {
	case EventState:
		t.state(e)
	case EventStep:
		t.step(e)
	case EventArtifact:
		t.made = append(t.made, Made{e.Text, e.IDs})
	case EventMark:
		t.add(e, Moment{Name: string(e.Mark), Detail: e.Text})
	case EventSeed:
		name, detail := e.Request, ""
		if name == "" { // of a log from before requests had fields
			name, detail, _ = strings.Cut(e.Text, ": ")
		}
		t.add(e, Moment{Name: name, Detail: detail, Status: e.Status, Size: e.Size})
	}
}

// add puts a moment at the end. What is too much is left out, and the last moment says so.
func (t *Timeline) add(e Event, m Moment) {
	m.At, m.Kind, m.Attempt = e.Time, e.Kind, t.attempt
	switch n := len(t.moments) - t.first; {
	case n < momentLimit || e.Kind == EventStep || e.Kind == EventState:
		t.moments = append(t.moments, m)
	case n == momentLimit:
		t.moments = append(t.moments, Moment{At: e.Time, Attempt: t.attempt, Kind: e.Kind, Name: "...", Detail: "what follows is left out: the timeline is full"})
	}
}

// state begins and ends attempts. One that ends without having begun, such as a build that was refused, is one too.
func (t *Timeline) state(e Event) {
	switch {
	case e.State == Running:
		t.attempt = max(t.attempt+1, e.Attempt)
		t.began, t.first, t.made = true, len(t.moments), nil
		t.add(e, Moment{Name: string(e.State), Phase: StepBegan})
		return
	case e.State.Final() && t.began:
		t.end(e)
	}
	t.add(e, Moment{Name: string(e.State), Detail: firstLine(e.Text)})
}

// end closes what is still open in the attempt: after a crash there are steps that nobody ended.
func (t *Timeline) end(e Event) {
	t.began = false
	for i := range t.moments[t.first:] {
		m := &t.moments[t.first+i]
		if m.Phase != StepBegan {
			continue
		}
		m.Phase, m.Seconds = StepFailed, max(0, e.Time.Sub(m.At).Seconds())
		if e.State == Succeeded {
			m.Phase = StepDone
		}
	}
}

// step adds a step that began or was cached, and completes one that ended.
func (t *Timeline) step(e Event) {
	open := -1
	for i := len(t.moments) - 1; i >= t.first && open < 0; i-- {
		if m := &t.moments[i]; m.Kind == EventStep && m.Name == e.Step && m.Phase == StepBegan {
			open = i
		}
	}
	if e.Phase == StepBegan || open < 0 {
		t.add(e, Moment{Name: e.Step, Phase: e.Phase, Seconds: e.Seconds, Detail: firstLine(e.Text)})
		return
	}
	m := &t.moments[open]
	m.Phase, m.Seconds, m.Detail = e.Phase, e.Seconds, firstLine(e.Text)
}

// firstLine is an error without the evidence below it.
func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// Moments returns the moments of all attempts so far, in the order in which they began.
func (t *Timeline) Moments() []Moment { return slices.Clone(t.moments) }

// LastAttempt returns the moments of the newest attempt.
func (t *Timeline) LastAttempt() []Moment { return slices.Clone(t.moments[t.first:]) }
