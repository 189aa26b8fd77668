// Package eventlog keeps the events of an attempt in a file and lets any number of readers follow it.
//
// A build appends lines of JSON with [Writer.Emit] and never waits for a reader: a reader has a place in the file, not a
// queue in memory, and a slow one costs nothing. [Follow] reads from any offset, waits at the end for more, and returns
// when the log is closed. The offset after each line identifies it, so a reader that lost its connection goes on where it
// was.
package eventlog

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/boxkiln/boxkiln/daemon/build"
)

// Limit is the size in bytes at which a log is cut: from there on output, requests to the seed server and progress are left
// out, so that a guest that prints without end fills no disk. The log says so where it happens.
const Limit = 256 << 20

// progressEvery is the shortest time between two kept progress events of one title.
const progressEvery = 250 * time.Millisecond

// Writer appends events to the log of one attempt. It may be used by several goroutines.
type Writer struct {
	mu       sync.Mutex
	f        *os.File
	size     int64
	cut      bool
	err      error
	progress map[string]time.Time
	redact   func(string) string
	wake     *signal
}

// Book hands out writers and lets readers find the live ones. The zero value is ready.
type Book struct {
	mu   sync.Mutex
	open map[string]*signal // by path
}

// Open creates or continues the log at path. A last line that a crash left half written goes: no reader has seen it.
func (b *Book) Open(path string) (*Writer, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	size, err := dropHalfLine(f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	w := &Writer{f: f, size: size, progress: map[string]time.Time{}, redact: func(s string) string { return s }, wake: newSignal()}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open == nil {
		b.open = map[string]*signal{}
	}
	b.open[path] = w.wake
	w.wake.gone = func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.open[path] == w.wake {
			delete(b.open, path)
		}
	}
	return w, nil
}

func dropHalfLine(f *os.File) (size int64, err error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	size, err = lineStart(f, info.Size())
	if err != nil || size == info.Size() {
		return size, err
	}
	return size, f.Truncate(size)
}

// lineStart is the offset after the last line that ends at or before end.
func lineStart(f *os.File, end int64) (int64, error) {
	buf := make([]byte, 64<<10)
	for end > 0 {
		n := min(end, int64(len(buf)))
		if _, err := f.ReadAt(buf[:n], end-n); err != nil {
			return 0, err
		}
		if i := bytes.LastIndexByte(buf[:n], '\n'); i >= 0 {
			return end - n + int64(i) + 1, nil
		}
		end -= n
	}
	return 0, nil
}

// Emit implements build.Sink. An error of the disk is kept for Close: a full disk must not stop a build by its log.
func (w *Writer) Emit(e build.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil || w.tooSoon(e) {
		return
	}
	if w.size >= Limit && bulky(e.Kind) {
		if w.cut {
			return
		}
		w.cut = true
		e = build.Event{Time: e.Time, Kind: build.EventError, Label: e.Label,
			Text: fmt.Sprintf("the log has reached %d MiB: from here on output is left out", Limit>>20)}
	}
	w.append(e)
}

func (w *Writer) append(e build.Event) {
	e.Text, e.Request = w.redact(e.Text), w.redact(e.Request)
	line, err := json.Marshal(e)
	if err != nil {
		w.err = err
		return
	}
	n, err := w.f.Write(append(line, '\n'))
	w.size += int64(n)
	if err != nil {
		w.err = fmt.Errorf("write the log: %w", err)
		return
	}
	w.wake.notify()
}

// tooSoon tells whether e is progress that follows the last one closely and is not the end.
func (w *Writer) tooSoon(e build.Event) bool {
	if e.Kind != build.EventProgress {
		return false
	}
	ended := e.Total > 0 && e.Done >= e.Total
	if !ended && e.Time.Sub(w.progress[e.Text]) < progressEvery {
		return true
	}
	w.progress[e.Text] = e.Time
	return false
}

// bulky tells whether events of a kind come in any number, as the guest wants.
func bulky(k build.EventKind) bool {
	return k == build.EventMessage || k == build.EventSeed || k == build.EventProgress
}

// Close ends the log: readers see its end. It returns the first error of writing.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wake.close()
	return errors.Join(w.err, w.f.Close())
}

// Line is an event with the offset of the file after it.
type Line struct {
	Next  int64
	Event json.RawMessage
}

// Follow calls fn for each event of the log at path from offset on; an offset inside a line means that line, and one behind
// the end of the file the end. At the end it waits for more while the log is being written, and returns nil when it is
// closed. It stops with the error of fn or of ctx.
func (b *Book) Follow(ctx context.Context, path string, offset int64, fn func(Line) error) error {
	wake := b.live(path) // before the first read: what is written after that is seen by the next
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if offset, err = place(f, offset); err != nil {
		return err
	}
	r := bufio.NewReaderSize(f, 64<<10)
	for {
		seen := wake.generation()
		if offset, err = readLines(r, offset, fn); err != nil {
			return err
		}
		if _, err := f.Seek(offset, io.SeekStart); err != nil { // back over a line that is half written
			return err
		}
		r.Reset(f)
		if err := wake.wait(ctx, seen); err != nil {
			if errors.Is(err, errClosed) {
				return nil
			}
			return err
		}
	}
}

// place moves f to the start of the line at offset.
func place(f *os.File, offset int64) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if offset, err = lineStart(f, min(offset, info.Size())); err != nil {
		return 0, err
	}
	return f.Seek(offset, io.SeekStart)
}

func readLines(r *bufio.Reader, offset int64, fn func(Line) error) (int64, error) {
	for {
		line, err := r.ReadBytes('\n')
		if err == io.EOF {
			return offset, nil
		}
		if err != nil {
			return offset, err
		}
		offset += int64(len(line))
		if err := fn(Line{Next: offset, Event: line[:len(line)-1]}); err != nil {
			return offset, err
		}
	}
}

func (b *Book) live(path string) *signal {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.open[path] // nil: closed
}

// Redact has the texts of all later events pass through fn.
func (w *Writer) Redact(fn func(string) string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.redact = fn
}
