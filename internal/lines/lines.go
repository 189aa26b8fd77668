// Package lines turns a stream of bytes into whole lines, so that the outputs of a command can be shown together
// without tearing each other apart.
package lines

import (
	"bytes"
	"errors"
	"io"
	"sync"
)

// limit is where a line is broken that does not end, such as that of a progress bar.
const limit = 64 << 10

// Writer passes whole lines on.
type Writer struct {
	out  io.Writer
	mu   *sync.Mutex // of out
	line []byte
}

// Pair makes two writers for the outputs of one command. Each line reaches out in one Write of its own, with its
// newline; a carriage return before it is dropped. Calls of the two may overlap.
func Pair(out io.Writer) (stdout, stderr *Writer) {
	mu := &sync.Mutex{}
	return &Writer{out: out, mu: mu}, &Writer{out: out, mu: mu}
}

// Write keeps what follows the last newline for later.
func (w *Writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := len(p)
	for len(p) > 0 {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			w.line = append(w.line, p...)
			p = nil
			if len(w.line) < limit {
				break
			}
		} else {
			w.line = append(w.line, p[:i]...)
			p = p[i+1:]
		}
		if err := w.emit(); err != nil {
			return 0, err
		}
	}
	return n, nil
}

// Close passes on a last line that had no newline. The writer below stays open.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.line) == 0 {
		return nil
	}
	return w.emit()
}

func (w *Writer) emit() error {
	line := append(bytes.TrimSuffix(w.line, []byte("\r")), '\n')
	w.line = w.line[:0]
	_, err := w.out.Write(line)
	return err
}

// Close closes both writers of a pair.
func Close(a, b *Writer) error { return errors.Join(a.Close(), b.Close()) }
