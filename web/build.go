package web

import (
	"context"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/boxkiln/boxkiln/daemon/build"
)

// buildView is one build with what the templates would have to compute.
type buildView struct {
	Build
	Took    string // how long it ran, or has run
	Waiting bool   // it is still queued
	Live    bool   // it has not ended
	BoxPath string // empty when it publishes nothing
	Actions actions
}

// buildPage is the page of one build.
type buildPage struct {
	buildView
	Chart  timelineView
	Log    logView
	Screen *Frame // nil without a picture
	Serial serialView
	Keys   []keyRow // buttons that press keys; none for those who may not
}

func (buildPage) isView() {}

// actions are what the visitor may ask of a build now.
type actions struct {
	ID                    string
	Next                  string // the page to come back to
	May                   bool   // the visitor may change something
	Cancel, Retry, Resume bool
}

// Any tells whether there is a button to show.
func (a actions) Any() bool { return a.May && (a.Cancel || a.Retry || a.Resume) }

// build shows one build, with all that is known of it now. A module makes it live.
func (s *Site) build(c *gin.Context) {
	v, err := s.newBuildPage(c)
	if err == nil {
		v.Log, err = s.logTail(c.Request.Context(), v.ID)
	}
	if err == nil {
		err = s.look(c.Request.Context(), &v)
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	s.render(c, http.StatusOK, "build.html", page{Title: "Build " + v.ID, Section: "builds", Script: "build.js", Wide: true, Body: v})
}

// status is the parts of a build's page that change as a whole, for the module to put in the place of the old ones.
func (s *Site) status(c *gin.Context) {
	v, err := s.newBuildPage(c)
	if err != nil {
		s.fail(c, err)
		return
	}
	s.execute(c, http.StatusOK, s.pages["build.html"], "status", v)
}

func (s *Site) newBuildPage(c *gin.Context) (buildPage, error) {
	b, err := s.Builds.Build(c.Request.Context(), c.Param("id"))
	if err != nil {
		return buildPage{}, err
	}
	v := buildPage{buildView: s.newBuildView(b, s.visitor(c))}
	end := b.Finished
	if v.Live {
		end = s.now()
	}
	v.Chart = newTimeline(b.Timeline, end)
	if v.Live && v.Actions.May {
		v.Keys = keyRows()
	}
	v.Actions.Next = buildPath(b.ID)
	return v, nil
}

// look adds what is seen of the machine.
func (s *Site) look(ctx context.Context, v *buildPage) error {
	frame, err := s.Window.Screen(ctx, v.ID)
	switch {
	case err == nil:
		v.Screen = &frame
	case !nothing(err):
		return err
	}
	v.Serial, err = s.serialTail(ctx, v.ID)
	return err
}

func (s *Site) buildViews(builds []Build, who visitor) []buildView {
	out := make([]buildView, len(builds))
	for i, b := range builds {
		out[i] = s.newBuildView(b, who)
	}
	return out
}

func (s *Site) newBuildView(b Build, who visitor) buildView {
	v := buildView{Build: b, Waiting: b.State == build.Queued, Live: !b.State.Final()}
	v.Actions = actions{ID: b.ID, May: who.May, Cancel: v.Live && b.State != build.Canceling, Retry: !v.Live, Resume: !v.Live && b.Resumable}
	if strings.Count(b.Box, "/") == 1 {
		v.BoxPath = "/" + b.Box
	}
	end := b.Finished
	if v.Live {
		end = s.now()
	}
	if !b.Started.IsZero() {
		v.Took = duration(end.Sub(b.Started))
	}
	return v
}

// keyRow is a row of buttons that press keys.
type keyRow struct {
	Label string
	Keys  []key
}

// key is a button; Token is the text of a boot command that presses it.
type key struct{ Label, Token string }

func keyRows() []keyRow {
	plain := func(labels ...string) []key {
		keys := make([]key, len(labels))
		for i, l := range labels {
			keys[i] = key{l, "<" + strings.ToLower(l) + ">"}
		}
		return keys
	}
	common := append(plain("Enter", "Tab", "Esc", "Up", "Down", "Left", "Right"),
		key{"Ctrl-Alt-Del", "<leftCtrlOn><leftAltOn><del><leftAltOff><leftCtrlOff>"})
	return []keyRow{
		{"Keys", common},
		{"Function keys", plain("F1", "F2", "F3", "F4", "F5", "F6", "F7", "F8", "F9", "F10", "F11", "F12")},
	}
}
