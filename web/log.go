package web

import (
	"context"
	"errors"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
)

// logShown is how much of the end of a log a build's page shows; the whole of it is one link away.
const logShown = 256 << 10

// logView is the end of a build's log.
type logView struct {
	Lines []logLine
	Cut   bool // earlier lines are left out
}

// logLine is one line without terminal codes.
type logLine struct {
	Text string
	Kind string // "say" for the headlines of a build, "" for the rest
}

// logTail reads the end of a build's log; a build without a log has none.
func (s *Site) logTail(ctx context.Context, id string) (logView, error) {
	f, err := s.builds.Log(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return logView{}, nil
	}
	if err != nil {
		return logView{}, err
	}
	defer f.Close()
	return readTail(f, logShown)
}

// readTail reads whole lines from the last limit bytes of f.
func readTail(f io.ReadSeeker, limit int64) (logView, error) {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return logView{}, err
	}
	if _, err := f.Seek(max(0, size-limit), io.SeekStart); err != nil {
		return logView{}, err
	}
	data, err := io.ReadAll(io.LimitReader(f, limit)) // it may be growing
	if err != nil {
		return logView{}, err
	}
	text := strings.ToValidUTF8(string(data), "\uFFFD")
	v := logView{Cut: size > limit}
	if v.Cut {
		_, text, _ = strings.Cut(text, "\n")
	}
	for line := range strings.Lines(text) {
		v.Lines = append(v.Lines, newLogLine(line))
	}
	return v, nil
}

// terminalCodes are the escape sequences of ECMA-48 and the titles that xterm takes.
var terminalCodes = regexp.MustCompile("\x1b\\[[0-9;:?]*[ -/]*[@-~]|\x1b\\][^\x07\x1b]*(\x07|\x1b\\\\)|\x1b[@-Z\\\\-_]")

// newLogLine shows a line as a terminal would leave it: without codes, and after its last carriage return.
func newLogLine(raw string) logLine {
	text := terminalCodes.ReplaceAllString(strings.TrimRight(raw, "\r\n"), "")
	text = text[strings.LastIndexByte(text, '\r')+1:]
	text = strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r == 0x7f {
			return -1
		}
		return r
	}, text)
	line := logLine{Text: text}
	if strings.HasPrefix(text, "==> ") {
		line.Kind = "say"
	}
	return line
}

// buildLog is the whole log as it was written, as plain text.
func (s *Site) buildLog(c *gin.Context) {
	f, err := s.builds.Log(c.Request.Context(), c.Param("id"))
	if err != nil {
		s.fail(c, err)
		return
	}
	defer f.Close()
	secure(c)
	c.Header("Content-Type", "text/plain; charset=utf-8")
	c.Header("Cache-Control", "no-cache")
	http.ServeContent(c.Writer, c.Request, "", time.Time{}, f)
}
