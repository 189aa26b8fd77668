package redact

import (
	"bytes"
	"io"
)

// lineLimit bounds how much of a line is held back: a guest that writes no line break must not fill the memory.
const lineLimit = 64 << 10

// Writer passes lines on with the secrets replaced. It is not safe to use from several goroutines.
type Writer struct {
	set  *Set
	to   io.Writer
	held []byte // the line that has no end yet
}

// Writer returns a writer that passes on to w what is written to it, with the secrets replaced. Close it to pass on a
// last line without an end.
func (s *Set) Writer(w io.Writer) *Writer { return &Writer{set: s, to: w} }

// Write takes a piece of text. An error is that of the writer behind.
func (w *Writer) Write(p []byte) (int, error) {
	before := len(w.held) // what is held has no line break
	w.held = append(w.held, p...)
	// A carriage return ends a line too: progress bars draw over themselves with it.
	if end := bytes.LastIndexAny(p, "\n\r") + 1; end > 0 {
		if err := w.pass(before + end); err != nil {
			return 0, err
		}
	}
	if err := w.relieve(); err != nil {
		return 0, err
	}
	return len(p), nil
}

// relieve passes on the beginning of a line that is too long, up to where a secret could begin that is not complete.
func (w *Writer) relieve() error {
	const escaped = 3 // a percent-encoded byte takes three
	reach := escaped * w.set.longest
	if len(w.held) < lineLimit+2*reach {
		return nil
	}
	cut := len(w.held) - reach
	for _, f := range w.set.find(string(w.held)) {
		if f.begin < cut && cut < f.end {
			cut = f.end
		}
	}
	return w.pass(cut)
}

// pass passes on the first n held bytes.
func (w *Writer) pass(n int) error {
	text := w.set.String(string(w.held[:n]))
	w.held = append(w.held[:0], w.held[n:]...)
	_, err := io.WriteString(w.to, text)
	return err
}

// Close passes on what is held back. It does not close the writer behind.
func (w *Writer) Close() error {
	if len(w.held) == 0 {
		return nil
	}
	return w.pass(len(w.held))
}
