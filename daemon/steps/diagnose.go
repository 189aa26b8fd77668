package steps

import (
	"context"
	"fmt"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/internal/fsx"
)

// Evidence is an error with what was seen of the machine when it happened.
type Evidence struct {
	Err    error
	Screen string   // path of the last picture; empty if there is none
	Serial []string // last lines of the serial console
	Log    string   // path of the whole serial log; empty if there is none
}

// Error tells the error and, below it, the evidence.
func (e *Evidence) Error() string {
	var b strings.Builder
	b.WriteString(e.Err.Error())
	if e.Screen != "" {
		fmt.Fprintf(&b, "\nlast screen: %s", e.Screen)
	}
	if len(e.Serial) > 0 {
		fmt.Fprintf(&b, "\nlast serial lines (%s):", e.Log)
		for _, l := range e.Serial {
			b.WriteString("\n  " + l)
		}
	}
	return b.String()
}

// Unwrap returns the error itself.
func (e *Evidence) Unwrap() error { return e.Err }

// Diagnose keeps the last screen of a failed build's machine, and adds it and the end of the serial log to the error.
func (t *Set) Diagnose(ctx context.Context, s *build.Session, err error) error {
	if s.Machine == nil {
		return err
	}
	ev := &Evidence{Err: err}
	if path, capErr := keepScreen(ctx, s); capErr == nil {
		ev.Screen = path
	} else {
		s.Debug.Debug("no picture of the failed machine", "err", capErr)
	}
	ev.Log, ev.Serial = lastSerial(s)
	if ev.Screen == "" && len(ev.Serial) == 0 {
		return err
	}
	return ev
}

func keepScreen(ctx context.Context, s *build.Session) (string, error) {
	screen, ok := s.Machine.(hypervisor.Screen)
	if !ok {
		return "", hypervisor.ErrUnsupported
	}
	img, err := screen.Capture(ctx)
	if err != nil {
		return "", err
	}
	path := filepath.Join(s.Dirs.Logs, "screen.png")
	f, err := fsx.Create(path, 0o600)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if err := png.Encode(f, img); err != nil {
		return "", err
	}
	return path, f.Commit()
}

const (
	// serialTail is how much of the serial log's end is read for the error, in bytes, and serialLines how many lines it shows.
	serialTail  = 16 << 10
	serialLines = 8
)

// lastSerial returns the last lines of the serial console, and where the copy of the whole lies that the daemon makes while
// the machine runs. The lines are from the machine's own log: the copy may be a moment behind.
func lastSerial(s *build.Session) (path string, last []string) {
	port, ok := s.Machine.(hypervisor.SerialPort)
	if !ok {
		return "", nil
	}
	data, err := readTail(port.SerialLog(), serialTail)
	if err != nil || len(data) == 0 {
		return "", nil
	}
	path = filepath.Join(s.Dirs.Logs, "serial")
	if _, err := os.Stat(path); err != nil {
		path = ""
	}
	return path, lastLines(data)
}

func readTail(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > limit {
		if _, err := f.Seek(-limit, io.SeekEnd); err != nil {
			return nil, err
		}
	}
	return io.ReadAll(io.LimitReader(f, limit))
}

func lastLines(data []byte) []string {
	var lines []string
	for _, l := range strings.FieldsFunc(string(data), func(r rune) bool { return r == '\n' || r == '\r' }) {
		if l = printable(l); strings.TrimSpace(l) != "" {
			lines = append(lines, l)
		}
	}
	return lines[max(0, len(lines)-serialLines):]
}

// printable drops control characters: a guest must not command the user's terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || (r >= 0x80 && r < 0xa0) {
			return -1
		}
		return r
	}, s)
}
