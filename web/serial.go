package web

import (
	"context"
	"strings"
	"unicode/utf8"

	"github.com/gin-gonic/gin"
)

// serialShown is how much of the end of a serial console a build's page shows, in bytes.
const serialShown = 64 << 10

// serialView is the end of a serial console.
type serialView struct {
	Text string
	Next int64 // where to follow on
}

// serialTail reads the end of the serial console; a build without one has none.
func (s *Site) serialTail(ctx context.Context, id string) (serialView, error) {
	var v serialView
	var raw []byte
	err := s.Window.ReadSerial(ctx, id, -serialShown, func(next int64, chunk []byte) error {
		raw, v.Next = append(raw, chunk...), next
		return nil
	})
	if nothing(err) {
		return serialView{}, nil
	}
	v.Text = clean(string(raw))
	return v, err
}

// console is a piece of a serial console: printable text with newlines, and carriage returns that take back the line
// so far.
type console struct {
	Text string `json:"text"`
}

// serial streams the serial console as "console" events from any place.
func (s *Site) serial(c *gin.Context) {
	offset, err := place(c)
	if err != nil {
		s.fail(c, err)
		return
	}
	s.serve(c, func(ctx context.Context, out *stream) error {
		var t tty
		return s.Window.FollowSerial(ctx, c.Param("id"), offset, func(next int64, chunk []byte) error {
			return out.send(next, "console", console{Text: t.text(chunk)})
		})
	})
}

// maxSequence is the longest escape sequence that is waited for, in bytes; what is longer is none.
const maxSequence = 256

// tty takes what a terminal would act upon out of text that comes in pieces.
type tty struct {
	rest string // of the last piece: the beginning of a sequence or of a character
}

// text returns what is printable of a piece, as far as it is complete.
func (t *tty) text(chunk []byte) string {
	text := t.rest + string(chunk)
	cut := incomplete(text)
	text, t.rest = text[:cut], text[cut:]
	text = terminalCodes.ReplaceAllString(strings.ToValidUTF8(text, "\uFFFD"), "")
	text = strings.ReplaceAll(text, "\r\n", "\n")
	return onlyText(text)
}

// onlyText is printable for text with newlines and carriage returns.
func onlyText(text string) string {
	var b strings.Builder
	for len(text) > 0 {
		i := strings.IndexAny(text, "\r\n")
		if i < 0 {
			b.WriteString(printable(text))
			break
		}
		b.WriteString(printable(text[:i]))
		b.WriteByte(text[i])
		text = text[i+1:]
	}
	return b.String()
}

// incomplete is where in text something begins that the next piece may complete: an escape sequence, a character of
// several bytes, or a carriage return that a newline may follow.
func incomplete(text string) int {
	end := len(text)
	if strings.HasSuffix(text, "\r") {
		end--
	}
	for i := max(0, end-utf8.UTFMax+1); i < end; i++ {
		if utf8.RuneStart(text[i]) && !utf8.FullRuneInString(text[i:end]) {
			end = i
		}
	}
	esc := strings.LastIndexByte(text[:end], '\x1b')
	if esc >= 0 && len(text)-esc <= maxSequence && terminalCodes.FindStringIndex(text[esc:end]) == nil {
		return esc
	}
	return end
}
