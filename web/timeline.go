package web

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/boxkiln/boxkiln/daemon/build"
)

// maxMoments is how many moments a page shows: a guest may ask for the same file ten thousand times.
const maxMoments = 200

// timelineView is a chart of what happened when.
type timelineView struct {
	Rows  []momentView
	Total string // how long all of it took
	Left  int    // moments that are left out in the middle, before row LeftAt
	// LeftAt is the row before which Left moments are missing.
	LeftAt int
}

// momentView is a row of the chart. A step is a bar; marks, requests, states and what took no time are points.
type momentView struct {
	Name, Detail string
	Kind         build.EventKind
	State        string // of a step: running, done, cached, failed
	At           string // since the beginning: "2:05"
	Took         string // empty for points
	X, Width     string // percent of the whole, as SVG writes it; Width is empty for points
}

// newTimeline places the moments of a build that ended, or is now, at end. That it runs is what the whole chart is about.
func newTimeline(moments []build.Moment, end time.Time) timelineView {
	moments = slices.DeleteFunc(slices.Clone(moments), func(m build.Moment) bool {
		return m.Kind == build.EventState && m.Name == string(build.Running)
	})
	if len(moments) == 0 {
		return timelineView{}
	}
	start := moments[0].At
	for _, m := range moments {
		if m.At.Before(start) {
			start = m.At
		}
		if last := m.At.Add(took(m)); last.After(end) {
			end = last
		}
	}
	v := timelineView{Total: duration(end.Sub(start))}
	moments, v.LeftAt, v.Left = shorten(moments)
	for _, m := range moments {
		v.Rows = append(v.Rows, newMoment(m, start, end))
	}
	return v
}

// shorten leaves out the middle of too many moments.
func shorten(moments []build.Moment) (kept []build.Moment, at, left int) {
	left = len(moments) - maxMoments
	if left <= 0 {
		return moments, 0, 0
	}
	at = maxMoments / 2
	return append(append([]build.Moment{}, moments[:at]...), moments[at+left:]...), at, left
}

func took(m build.Moment) time.Duration { return time.Duration(m.Seconds * float64(time.Second)) }

// phases are the names of steps' phases.
var phases = map[build.StepPhase]string{build.StepBegan: "running", build.StepDone: "done", build.StepFailed: "failed", build.StepCached: "cached"}

func newMoment(m build.Moment, start, end time.Time) momentView {
	at, whole := m.At.Sub(start), max(end.Sub(start).Seconds(), 1e-9)
	v := momentView{Name: clean(m.Name), Detail: clean(m.Detail), Kind: m.Kind, At: clock(at), State: phases[m.Phase], X: percent(at.Seconds() / whole)}
	if m.Kind == build.EventSeed {
		v.Detail = answer(m)
	}
	lasted := took(m)
	switch m.Phase {
	case "", build.StepCached:
		return v // it took no time: a point
	case build.StepBegan:
		lasted = max(0, end.Sub(m.At))
	}
	v.Took = duration(lasted)
	v.Width = percent(max(0.004, lasted.Seconds()/whole)) // a step of no time is still seen
	return v
}

// answer is what a request of the guest got.
func answer(m build.Moment) string {
	if m.Status == 0 {
		return clean(m.Detail)
	}
	return strings.TrimSpace(fmt.Sprintf("%d, %s %s", m.Status, formatBytes(m.Size), clean(m.Detail)))
}

// clock writes a time since the beginning as minutes and seconds.
func clock(d time.Duration) string {
	seconds := int(d.Seconds())
	if seconds < 3600 {
		return fmt.Sprintf("%d:%02d", seconds/60, seconds%60)
	}
	return fmt.Sprintf("%d:%02d:%02d", seconds/3600, seconds/60%60, seconds%60)
}

func percent(share float64) string { return fmt.Sprintf("%.1f%%", 100*min(1, max(0, share))) }
