package web

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/boxkiln/boxkiln/daemon/build"
)

// logShown is how much of the end of a log a build's page shows unless a Site says otherwise, in bytes of events; the whole of it is one link away.
const logShown = 1 << 20

// logView is the end of a build's log.
type logView struct {
	Lines []logLine
	Cut   bool  // earlier lines are left out
	Next  int64 // where to follow on
}

// logLine is one event as a line, or several, without terminal codes.
type logLine struct {
	At   string `json:"at"` // time of day
	Kind string `json:"kind"`
	Text string `json:"text"`
}

// logTail reads the end of a build's log; a build without a log has none.
func (s *Site) logTail(ctx context.Context, id string) (logView, error) {
	var v logView
	first := true
	err := s.Builds.Read(ctx, id, -s.logShown, func(e Entry) error {
		v.Cut = v.Cut || first && e.From > 0
		first, v.Next = false, e.Next
		if line, ok := newLogLine(e.Event); ok {
			v.Lines = append(v.Lines, line)
		}
		return nil
	})
	if errors.Is(err, ErrNotFound) {
		err = nil
	}
	return v, err
}

// newLogLine shows an event; some are no lines.
func newLogLine(e build.Event) (line logLine, ok bool) {
	text := e.Text
	switch e.Kind {
	case build.EventSay, build.EventError:
		text = "==> " + text
	case build.EventSeed:
		text = "seed: " + text
	case build.EventMessage, build.EventArtifact:
	case build.EventQuestion:
		text = "==> " + text + " (" + strings.Join(e.Choices, ", ") + ")"
	default:
		return logLine{}, false
	}
	return logLine{At: e.Time.UTC().Format(time.TimeOnly), Kind: string(e.Kind), Text: clean(text)}, true
}

// terminalCodes are the escape sequences of ECMA-48 and the titles that xterm takes.
var terminalCodes = regexp.MustCompile("\x1b\\[[0-9;:?]*[ -/]*[@-~]|\x1b\\][^\x07\x1b]*(\x07|\x1b\\\\)|\x1b[@-Z\\\\^_]")

// clean shows text as a terminal would leave it: without codes, and of each line what follows its last carriage return.
func clean(raw string) string {
	raw = terminalCodes.ReplaceAllString(strings.ToValidUTF8(raw, "\uFFFD"), "")
	lines := strings.Split(raw, "\n")
	for i, line := range lines {
		line = strings.TrimRight(line, "\r")
		lines[i] = printable(line[strings.LastIndexByte(line, '\r')+1:])
	}
	return strings.Join(lines, "\n")
}

// printable leaves out control characters, and those that change the direction of the text around them.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return r
		case r < ' ', r >= 0x7f && r < 0xa0, r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069:
			return -1
		}
		return r
	}, text)
}

// buildLog is the whole log as plain text.
func (s *Site) buildLog(c *gin.Context) {
	begun := false
	begin := func() {
		begun = true
		secure(c)
		c.Header("Content-Type", "text/plain; charset=utf-8")
		c.Header("Cache-Control", "no-cache")
	}
	err := s.Builds.Read(c.Request.Context(), c.Param("id"), 0, func(e Entry) error {
		line, ok := newLogLine(e.Event)
		if !ok {
			return nil
		}
		if !begun {
			begin()
		}
		indent := " "
		if !strings.HasPrefix(line.Text, "==> ") {
			indent = "     "
		}
		_, err := c.Writer.WriteString(line.At + indent + line.Text + "\n")
		return err
	})
	switch {
	case err != nil && !begun:
		s.fail(c, err)
	case err != nil:
		s.log.DebugContext(c.Request.Context(), "the log was not sent whole", "error", err)
	case !begun:
		begin()
		c.Status(http.StatusOK)
	}
}

// progress is how far something is, for a bar.
type progress struct {
	Text  string `json:"text"`
	Done  int64  `json:"done"`
	Total int64  `json:"total"`
	Said  string `json:"said"` // "412 MB of 650 MB"
}

func newProgress(e build.Event) progress {
	p := progress{Text: clean(e.Text), Done: e.Done, Total: e.Total, Said: formatBytes(e.Done)}
	if e.Total > 0 {
		p.Said += " of " + formatBytes(e.Total)
	}
	return p
}

// change tells a page that its status is out of date.
type change struct {
	State build.State `json:"state,omitempty"`
}

// events streams a build's log from any place: "line" and "progress" as they are shown, and "change" when the status of
// the build has to be asked for again. The id of each is the place after it.
func (s *Site) events(c *gin.Context) {
	offset, err := place(c)
	if err != nil {
		s.fail(c, err)
		return
	}
	s.serve(c, func(ctx context.Context, out *stream) error {
		return s.Builds.Follow(ctx, c.Param("id"), offset, func(e Entry) error { return tellEvent(out, e) })
	})
}

func tellEvent(out *stream, e Entry) error {
	if e.Event.Kind == build.EventProgress {
		return out.send(e.Next, "progress", newProgress(e.Event))
	}
	if line, ok := newLogLine(e.Event); ok {
		if err := out.send(e.Next, "line", line); err != nil {
			return err
		}
	}
	switch e.Event.Kind {
	case build.EventStep, build.EventState, build.EventMark, build.EventSeed, build.EventQuestion:
		return out.send(e.Next, "change", change{State: e.Event.State})
	}
	return nil
}
