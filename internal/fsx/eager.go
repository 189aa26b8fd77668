package fsx

import "os"

// eagerStep is how much is written before the system is told to begin.
const eagerStep = 8 << 20

// Eager is a file whose content the system begins to write to the disk while more is being written.
type Eager struct {
	*os.File
	at, begun int64
	begin     func(f *os.File, offset, length int64) // replaced by tests
}

func newEager(f *os.File) *Eager { return EagerAt(f, 0) }

// EagerAt is a file that goes on at an offset, to which it has been moved.
func EagerAt(f *os.File, offset int64) *Eager {
	return &Eager{File: f, at: offset, begun: offset, begin: beginWrite}
}

// Write appends: nobody seeks in the files that are written with it.
func (e *Eager) Write(p []byte) (int, error) {
	n, err := e.File.Write(p)
	e.at += int64(n)
	if e.at-e.begun >= eagerStep {
		e.begin(e.File, e.begun, e.at-e.begun)
		e.begun = e.at
	}
	return n, err
}
