package build

import (
	"fmt"
	"runtime/debug"
)

// panicError is a panic that was caught: what panicked, with which value, and where.
type panicError struct {
	what  string
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("%s panicked: %v", e.what, e.value) }

// protect calls fn and turns a panic into a fault of ours: a mistake in the code of one build must neither end the other
// builds of the daemon nor keep this one from cleaning up.
func protect(what string, fn func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = OurFault(&panicError{what, r, debug.Stack()})
		}
	}()
	return fn()
}
