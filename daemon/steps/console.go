package steps

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/hypervisor"
)

const (
	// consolePoll is the time between two looks at the serial log.
	consolePoll = 500 * time.Millisecond
	// consoleChunk is how much of it is read at once, in bytes.
	consoleChunk = 64 << 10
	// consoleLine is how much of a line is looked at at once, and consoleKept what of it is looked at again with the
	// rest of a longer one, in bytes.
	consoleLine = 1024
	consoleKept = 64
	// consoleTold is how much of a line is told, in bytes.
	consoleTold = 300
)

// watchConsole ends the build when the guest's kernel says on the serial port that it is beyond help. It watches the
// session's present machine until that is replaced by another or the session ends.
func watchConsole(ctx context.Context, s *build.Session) {
	port, ok := s.Machine.(hypervisor.SerialPort)
	if !ok {
		return
	}
	machine := s.Machine
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	s.CloseAtEnd(closeFunc(func() error {
		cancel()
		<-done
		return nil
	}))
	go func() {
		defer close(done)
		log := console{path: port.SerialLog()}
		for sleep(ctx, consolePoll) == nil && s.CurrentMachine() == machine {
			if line := log.look(); line != "" {
				s.Abort(&panicError{line})
				return
			}
		}
	}()
}

// closeFunc is an io.Closer.
type closeFunc func() error

func (f closeFunc) Close() error { return f() }

// panicError says that the guest's kernel gave up.
type panicError struct{ line string }

func (e *panicError) Error() string {
	return fmt.Sprintf("the guest's kernel gave up: %q (serial console)", e.line)
}

// console reads a serial log as it grows.
type console struct {
	path   string
	file   os.FileInfo // that offset is in
	offset int64
	scan   panicScan
}

// look reads what is new and returns the line with which a kernel gave up, or "". A log that cannot be read now may be
// there at the next look.
func (c *console) look() string {
	f, err := os.Open(c.path)
	if err != nil {
		return ""
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return ""
	}
	if c.file != nil && !os.SameFile(c.file, info) || info.Size() < c.offset { // rotated or cut
		c.offset, c.scan = 0, panicScan{}
	}
	c.file = info
	buf := make([]byte, consoleChunk)
	for quiet := true; ; quiet = false {
		n, err := f.ReadAt(buf, c.offset)
		c.offset += int64(n)
		c.scan.write(buf[:n])
		switch {
		case c.scan.found != "":
			return c.scan.found
		case n == 0 && quiet: // a line that nothing comes after is not ended either
			return c.scan.match(c.scan.line)
		case err != nil && !errors.Is(err, io.EOF), n == 0:
			return ""
		}
	}
}

// panicScan looks for a kernel's last words in what a guest writes, which may be anything, in constant space.
type panicScan struct {
	line  []byte
	last  string // line before, for systems whose panic takes two lines to be told
	found string
}

func (s *panicScan) write(p []byte) {
	for len(p) > 0 && s.found == "" {
		n := bytes.IndexAny(p[:min(len(p), consoleLine-len(s.line))], "\r\n")
		switch {
		case n >= 0:
			s.line = append(s.line, p[:n]...)
			s.end()
			n++
		case len(s.line)+len(p) < consoleLine:
			s.line = append(s.line, p...)
			n = len(p)
		default:
			n = consoleLine - len(s.line)
			s.line = append(s.line, p[:n]...)
			s.found = s.match(s.line)
			s.line = append(s.line[:0], s.line[consoleLine-consoleKept:]...)
		}
		p = p[n:]
	}
}

// end looks at a whole line.
func (s *panicScan) end() {
	if len(s.line) == 0 {
		return
	}
	s.found, s.last = s.match(s.line), string(s.line)
	s.line = s.line[:0]
}

const linuxPanic = "Kernel panic - not syncing"

// match returns the last words of a kernel if a line has or completes them. Linux: kernel/panic.c. The BSDs say
// "panic: " and why, as many programs do, and in the next line something of their own: FreeBSD kern_shutdown.c, OpenBSD
// db_trap.c (with ddb.panic, the default), NetBSD subr_prf.c.
func (s *panicScan) match(line []byte) string {
	text := printable(string(line))
	if at := strings.Index(text, linuxPanic); at >= 0 {
		return cut(strings.TrimSuffix(text[at:], " ]---"))
	}
	if !strings.HasPrefix(s.last, "panic: ") {
		return ""
	}
	for _, next := range []string{"cpuid = ", "Stopped at ", "cpu0: Begin traceback"} {
		if strings.HasPrefix(text, next) {
			return cut(printable(s.last))
		}
	}
	return ""
}

// cut bounds what is told of a line, without half a character at its end.
func cut(text string) string {
	return strings.ToValidUTF8(text[:min(len(text), consoleTold)], "")
}
