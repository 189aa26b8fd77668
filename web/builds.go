package web

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
)

const (
	buildsPerPage = 50
	followSeconds = 5
)

// buildsView is the list of builds.
type buildsView struct {
	Total  int
	Builds []buildView
	Pager  pager
}

func (buildsView) isView() {}

// buildView is one build with what the templates would have to compute.
type buildView struct {
	Build
	Took    string // how long it ran, or has run
	Waiting bool   // it is still queued
	Live    bool   // it has not ended
	BoxPath string // empty when it publishes nothing
	Steps   []stepView
	Follow  bool // the page loads itself again
	Log     logView
}

func (buildView) isView() {}

// stepView is one step and its place in the time of the whole build, for a bar.
type stepView struct {
	Step
	Took        string
	Start, Size string // percent of the build's time, as SVG writes it; empty without a bar
}

func (s *Site) buildList(c *gin.Context) {
	number := pageNumber(c)
	builds, total, err := s.builds.List(c.Request.Context(), buildsPerPage, (number-1)*buildsPerPage)
	if err != nil {
		s.fail(c, err)
		return
	}
	link := func(page int) string { return "/builds?page=" + strconv.Itoa(page) }
	s.render(c, http.StatusOK, "builds.html", page{Title: "Builds", Section: "builds", Body: buildsView{
		Total: total, Builds: s.buildViews(builds), Pager: newPager(number, total, buildsPerPage, link),
	}})
}

// build shows one build. With ?follow it loads itself again while the build runs: only when asked to, because a page
// that moves by itself is a nuisance to those who read slowly.
func (s *Site) build(c *gin.Context) {
	b, err := s.builds.Build(c.Request.Context(), c.Param("id"))
	if err != nil {
		s.fail(c, err)
		return
	}
	v := s.newBuildView(b)
	if v.Log, err = s.logTail(c.Request.Context(), b.ID); err != nil {
		s.fail(c, err)
		return
	}
	p := page{Title: "Build " + b.ID, Section: "builds"}
	if _, follow := c.GetQuery("follow"); follow && v.Live {
		v.Follow, p.Reload = true, followSeconds
	}
	p.Body = v
	s.render(c, http.StatusOK, "build.html", p)
}

func (s *Site) buildViews(builds []Build) []buildView {
	out := make([]buildView, len(builds))
	for i, b := range builds {
		out[i] = s.newBuildView(b)
	}
	return out
}

func (s *Site) newBuildView(b Build) buildView {
	v := buildView{Build: b, Waiting: b.Started.IsZero() && b.Finished.IsZero(), Live: b.Finished.IsZero()}
	if strings.Count(b.Box, "/") == 1 {
		v.BoxPath = "/" + b.Box
	}
	end := b.Finished
	if v.Live {
		end = s.now()
	}
	if b.Started.IsZero() {
		return v
	}
	v.Took = duration(end.Sub(b.Started))
	for _, step := range b.Steps {
		v.Steps = append(v.Steps, newStepView(step, b.Started, end))
	}
	return v
}

// newStepView places a step between the start and the end of its build.
func newStepView(step Step, start, end time.Time) stepView {
	v := stepView{Step: step}
	if step.Started.IsZero() {
		return v
	}
	stepEnd := step.Finished
	if stepEnd.IsZero() {
		stepEnd = end
	}
	v.Took = duration(stepEnd.Sub(step.Started))
	whole := end.Sub(start).Seconds()
	if whole <= 0 || step.Started.Before(start) {
		return v
	}
	v.Start = percent(step.Started.Sub(start).Seconds() / whole)
	v.Size = percent(max(0.004, stepEnd.Sub(step.Started).Seconds()/whole)) // a step of no time is still seen
	return v
}

func percent(share float64) string { return fmt.Sprintf("%.1f%%", 100*min(1, max(0, share))) }
