package interpolate

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"text/template"
)

// Error is what is wrong with an action, and where.
type Error struct {
	// Offset is where in the text the mistake is, in bytes from 0.
	Offset int
	// Message says what is wrong; Remedy how to mend it, and may be empty.
	Message string
	Remedy  string
	// Err is the cause, if a function failed.
	Err error
}

func (e *Error) Error() string {
	if e.Remedy == "" {
		return e.Message
	}
	return e.Message + "; " + e.Remedy
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Remedied is an error with advice, which functions return.
type remedied struct{ message, remedy string }

func (e *remedied) Error() string { return e.message }

var (
	parsePrefix = regexp.MustCompile(`^template: text:(\d+): `)
	execPrefix  = regexp.MustCompile(`(?s)^template: text:\d+:\d+: executing .*? at <.*?>: `)
)

// parseError makes an Error of what text/template/parse says: it knows the line only, so the first action there is named.
func parseError(text string, err error) *Error {
	message, offset := err.Error(), 0
	if m := parsePrefix.FindStringSubmatch(message); m != nil {
		message = message[len(m[0]):]
		line, _ := strconv.Atoi(m[1]) // digits by the pattern
		offset = lineStart(text, line)
	}
	if i := strings.Index(text[offset:], leftDelim); i >= 0 {
		offset += i
	}
	return &Error{Offset: offset, Message: "cannot read the {{ }} in this text: " + message,
		Remedy: "text with braces of its own is written {{ \"{{\" }}"}
}

// lineStart returns the offset of a line, counted from 1.
func lineStart(text string, line int) int {
	offset := 0
	for ; line > 1; line-- {
		i := strings.IndexByte(text[offset:], '\n')
		if i < 0 {
			break
		}
		offset += i + 1
	}
	return offset
}

// execError makes an Error of what text/template says when it executes the node at an offset.
func execError(offset int, err error) *Error {
	var own *remedied
	if errors.As(err, &own) {
		return &Error{Offset: offset, Message: own.message, Remedy: own.remedy, Err: err}
	}
	var exec template.ExecError
	if errors.As(err, &exec) {
		if inner := errors.Unwrap(exec.Err); inner != nil {
			return &Error{Offset: offset, Message: inner.Error(), Err: inner}
		}
	}
	message := execPrefix.ReplaceAllString(err.Error(), "")
	return &Error{Offset: offset, Message: fmt.Sprintf("cannot evaluate the {{ }} in this text: %s", message), Err: err}
}
