package build_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/daemon/build"
)

// told collects events, one a second.
type told struct {
	events []build.Event
	at     time.Time
}

func (l *told) Emit(e build.Event) { l.events = append(l.events, e) }

func (l *told) log() build.Log {
	return build.Log{Sink: l, Label: "x", Now: func() time.Time { l.at = l.at.Add(time.Second); return l.at }}
}

func (l *told) step(name string, phase build.StepPhase, seconds float64, text string) {
	l.at = l.at.Add(time.Second)
	l.Emit(build.Event{Time: l.at, Kind: build.EventStep, Step: name, Phase: phase, Seconds: seconds, Text: text})
}

func (l *told) timeline() *build.Timeline {
	var t build.Timeline
	for _, e := range l.events {
		t.Add(e)
	}
	return &t
}

// brief writes a moment on a line: seconds since the first event, attempt and what it is.
func brief(moments []build.Moment) []string {
	var lines []string
	for _, m := range moments {
		lines = append(lines, fmt.Sprintf("%d #%d %s %q %s %g %d %d %q", m.At.Unix(), m.Attempt, m.Kind, m.Name, m.Phase, m.Seconds, m.Status, m.Size, m.Detail))
	}
	return lines
}

func TestTimelineOfTwoAttempts(t *testing.T) {
	t.Parallel()
	l := &told{at: time.Unix(0, 0)}
	log := l.log()
	log.State(build.Queued, "")
	log.Began(1)
	l.step("serve-seed", build.StepBegan, 0, "")
	log.Message("noise")
	log.SeedRequest("GET", "ks.cfg", 200, 18)
	l.step("serve-seed", build.StepDone, 2, "")
	log.Mark(build.MarkPoweredOn, "by hand")
	l.step("provision[1] shell", build.StepBegan, 0, "")
	l.step("provision[1] shell", build.StepFailed, 1, "exit 3\nlast screen: x")
	log.State(build.Failed, "exit 3\nlast screen: x")
	log.State(build.Queued, "")
	log.Began(3) // one was refused before it began
	l.step("serve-seed", build.StepCached, 0, "made 3 h ago")
	l.step("export", build.StepBegan, 0, "")
	log.State(build.Interrupted, "the daemon died")
	want := []string{
		`1 #0 state "queued"  0 0 0 ""`,
		`2 #1 state "running" failed 8 0 0 ""`,
		`3 #1 step "serve-seed" done 2 0 0 ""`,
		`5 #1 seed "GET /ks.cfg"  0 200 18 ""`,
		`7 #1 mark "powered on"  0 0 0 "by hand"`,
		`8 #1 step "provision[1] shell" failed 1 0 0 "exit 3"`,
		`10 #1 state "failed"  0 0 0 "exit 3"`,
		`11 #1 state "queued"  0 0 0 ""`,
		`12 #3 state "running" failed 3 0 0 ""`,
		`13 #3 step "serve-seed" cached 0 0 0 "made 3 h ago"`,
		`14 #3 step "export" failed 1 0 0 ""`,
		`15 #3 state "interrupted"  0 0 0 "the daemon died"`,
	}
	line := l.timeline()
	if diff := cmp.Diff(want, brief(line.Moments())); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(want[8:], brief(line.LastAttempt())); diff != "" {
		t.Error(diff)
	}
}

// A step that is tried again is another moment; logs without fields for requests are read too.
func TestTimelineOfRetriesAndOldLogs(t *testing.T) {
	t.Parallel()
	l := &told{at: time.Unix(0, 0)}
	log := l.log()
	log.Began(0)
	for range 2 {
		l.step("a", build.StepBegan, 0, "")
		l.step("a", build.StepFailed, 1, "no")
	}
	l.step("a", build.StepBegan, 0, "")
	log.Seed("GET /x: 404, 0 bytes")
	log.State(build.Succeeded, "")
	want := []string{
		`1 #1 state "running" done 7 0 0 ""`,
		`2 #1 step "a" failed 1 0 0 "no"`,
		`4 #1 step "a" failed 1 0 0 "no"`,
		`6 #1 step "a" done 2 0 0 ""`,
		`7 #1 seed "GET /x"  0 0 0 "404, 0 bytes"`,
		`8 #1 state "succeeded"  0 0 0 ""`,
	}
	if diff := cmp.Diff(want, brief(l.timeline().Moments())); diff != "" {
		t.Error(diff)
	}
}

// A guest that asks for ever does not fill the memory, and hides no step.
func TestTimelineIsBounded(t *testing.T) {
	t.Parallel()
	l := &told{at: time.Unix(0, 0)}
	log := l.log()
	log.Began(1)
	for i := range 10_000 {
		log.SeedRequest("GET", fmt.Sprint(i), 404, 0)
	}
	l.step("late", build.StepBegan, 0, "")
	l.step("late", build.StepDone, 1, "")
	moments := l.timeline().Moments()
	last := moments[len(moments)-1]
	if len(moments) > 3000 || last.Name != "late" || last.Phase != build.StepDone || moments[len(moments)-2].Name != "..." {
		t.Errorf("%d moments, and the last is %+v", len(moments), last)
	}
}
