package build

import (
	"fmt"
	"strings"
	"time"

	"github.com/boxkiln/boxkiln/hypervisor"
)

// EventKind says what an Event tells.
type EventKind string

// The kinds of events.
const (
	EventSay      EventKind = "say"      // a headline of the log: "==> qemu.debian: Waiting for SSH ..."
	EventMessage  EventKind = "message"  // a line below it, such as the guest's output
	EventError    EventKind = "error"    // a headline in red
	EventStep     EventKind = "step"     // a step began or ended
	EventState    EventKind = "state"    // the build changed its state
	EventProgress EventKind = "progress" // bytes done of a total
	EventSeed     EventKind = "seed"     // the guest fetched something from the seed server
	EventArtifact EventKind = "artifact" // a line of the summary: what the build made
	EventQuestion EventKind = "question" // the build waits for an answer (on-error=ask, debug, breakpoint)
	EventMark     EventKind = "mark"     // a moment of the timeline that is no step: powered on, port open, login ...
)

// Mark names a moment of a build's timeline.
type Mark string

// The marks, in the order of a build that meets them all.
const (
	MarkMedia     Mark = "media ready"
	MarkPoweredOn Mark = "powered on"
	MarkThawed    Mark = "thawed" // a checkpoint runs on as this build's machine
	MarkTyped     Mark = "boot command typed"
	MarkAddress   Mark = "address known"
	MarkPortOpen  Mark = "port open"
	MarkBanner    Mark = "banner"
	MarkLogin     Mark = "login"
	MarkFrozen    Mark = "frozen" // a checkpoint was made
)

// Event is one thing that happened in a build. The log of a build is the list of its events.
type Event struct {
	Time time.Time `json:"time"`
	Kind EventKind `json:"kind"`
	// Label is the build as its user names it: "qemu.debian".
	Label string `json:"label"`
	Text  string `json:"text,omitempty"`
	// Mark names the moment of an EventMark.
	Mark Mark `json:"mark,omitempty"`
	// Step names the step that an EventStep or EventQuestion is about.
	Step  string    `json:"step,omitempty"`
	Phase StepPhase `json:"phase,omitempty"`
	// Seconds is how long a step took, when it ended.
	Seconds float64 `json:"seconds,omitempty"`
	// Done and Total are bytes of an EventProgress; Total 0 means unknown.
	Done  int64 `json:"done,omitempty"`
	Total int64 `json:"total,omitempty"`
	State State `json:"state,omitempty"`
	// Attempt is the run of the build that began, in the EventState that says Running; counted from 1.
	Attempt int `json:"attempt,omitempty"`
	// Request ("GET /ks.cfg"), Status (of HTTP) and Size (bytes sent) are of an EventSeed.
	Request string   `json:"request,omitempty"`
	Status  int      `json:"status,omitempty"`
	Size    int64    `json:"size,omitempty"`
	Choices []string `json:"choices,omitempty"`
	// Hold marks a question that only a person answers.
	Hold bool `json:"hold,omitempty"`
	// IDs are what an EventArtifact tells of, if it lies in a cloud.
	IDs []hypervisor.RemoteID `json:"ids,omitempty"`
}

// StepPhase is where a step is.
type StepPhase string

// The phases of a step.
const (
	StepBegan  StepPhase = "began"
	StepDone   StepPhase = "done"
	StepFailed StepPhase = "failed"
	// StepCached: it was not run, because what it makes was kept by an earlier build; the event's text says how old that is.
	StepCached StepPhase = "cached"
)

// Sink takes the events of one build, in order. Emit never blocks on a reader.
type Sink interface {
	Emit(e Event)
}

// Log writes events of one build in the words of Packer's interface.
type Log struct {
	Sink  Sink
	Label string
	Now   func() time.Time
}

func (l Log) emit(e Event) {
	e.Time, e.Label = l.Now(), l.Label
	l.Sink.Emit(e)
}

// Say tells a headline.
func (l Log) Say(format string, args ...any) {
	l.emit(Event{Kind: EventSay, Text: fmt.Sprintf(format, args...)})
}

// Message tells a detail below the last headline.
func (l Log) Message(format string, args ...any) {
	l.emit(Event{Kind: EventMessage, Text: fmt.Sprintf(format, args...)})
}

// Error tells a headline that is an error.
func (l Log) Error(format string, args ...any) {
	l.emit(Event{Kind: EventError, Text: fmt.Sprintf(format, args...)})
}

// Seed tells a request of the guest to the seed server.
func (l Log) Seed(text string) { l.emit(Event{Kind: EventSeed, Text: text}) }

// SeedRequest tells a request of the guest to the seed server and how it was answered, with bytes sent.
func (l Log) SeedRequest(method, path string, status int, bytes int64) {
	request := method + " /" + strings.TrimLeft(path, "/")
	l.emit(Event{Kind: EventSeed, Text: fmt.Sprintf("%s: %d, %d bytes", request, status, bytes), Request: request, Status: status, Size: bytes})
}

// Mark tells a moment of the timeline; detail may be empty.
func (l Log) Mark(m Mark, detail string) { l.emit(Event{Kind: EventMark, Mark: m, Text: detail}) }

// Artifact tells a line of the summary.
func (l Log) Artifact(text string) { l.emit(Event{Kind: EventArtifact, Text: text}) }

// Images tells of things that the build made in a cloud, in a line of the summary for all of them.
func (l Log) Images(ids []hypervisor.RemoteID) {
	l.emit(Event{Kind: EventArtifact, Text: hypervisor.DescribeIDs(ids), IDs: hypervisor.SortIDs(ids)})
}

// Progress tells that done of total bytes of what text names are through.
func (l Log) Progress(text string, done, total int64) {
	l.emit(Event{Kind: EventProgress, Text: text, Done: done, Total: total})
}

func (l Log) step(name string, phase StepPhase, took time.Duration, text string) {
	if phase == StepCached {
		l.Say("%s: %s", name, text)
	}
	l.emit(Event{Kind: EventStep, Step: name, Phase: phase, Seconds: took.Seconds(), Text: text})
}

// State tells that the build is in a new state.
func (l Log) State(s State, text string) { l.emit(Event{Kind: EventState, State: s, Text: text}) }

// Began tells that a run of the build has begun.
func (l Log) Began(attempt int) { l.emit(Event{Kind: EventState, State: Running, Attempt: attempt}) }

// Question tells that the build waits for an answer.
func (l Log) Question(q Question) {
	l.emit(Event{Kind: EventQuestion, Step: q.Step, Text: q.Text, Choices: q.Choices, Hold: q.Hold})
}

// lineLimit is where a line of guest output without an end is cut: a guest must not fill the memory of the daemon.
const lineLimit = 64 << 10

// Writer turns what is written into messages, one for each line. Close tells an unfinished last line.
func (l Log) Writer() *LineWriter { return &LineWriter{line: func(s string) { l.Message("%s", s) }} }

// LineWriter calls a function for each line written to it.
type LineWriter struct {
	line func(string)
	buf  []byte
}

func (w *LineWriter) Write(p []byte) (int, error) {
	for _, b := range p {
		switch {
		case b == '\n' || len(w.buf) >= lineLimit:
			w.flush()
			if b != '\n' {
				w.buf = append(w.buf, b)
			}
		default:
			w.buf = append(w.buf, b)
		}
	}
	return len(p), nil
}

func (w *LineWriter) flush() {
	for n := len(w.buf); n > 0 && w.buf[n-1] == '\r'; n = len(w.buf) {
		w.buf = w.buf[:n-1]
	}
	w.line(string(w.buf))
	w.buf = w.buf[:0]
}

// Close tells the last line, if it had no end.
func (w *LineWriter) Close() error {
	if len(w.buf) > 0 {
		w.flush()
	}
	return nil
}
