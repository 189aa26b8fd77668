// Package leaktest fails the tests of a package that leave goroutines behind.
//
// It is goleak, which knows what belongs to the runtime, with more patience: goleak itself looks for less than half a
// second, in which goroutines that are just ending may not get a turn on a busy machine.
package leaktest

import (
	"fmt"
	"io"
	"os"
	"time"

	"go.uber.org/goleak"
)

// patience is how long goroutines may take to end after the last test.
const patience = time.Minute

// M is the part of testing.M that Main needs.
type M interface{ Run() int }

// Main is for TestMain: it runs the tests of a package and then waits up to a minute for their goroutines to end. It ends
// the process, with status 1 if goroutines are left that no option excepts.
func Main(m M, except ...goleak.Option) {
	code := m.Run()
	if code == 0 {
		code = verify(os.Stderr, patience, except)
	}
	os.Exit(code)
}

// verify returns the exit status, 1 if goroutines are still there when patience is over.
func verify(w io.Writer, patience time.Duration, except []goleak.Option) int {
	for began := time.Now(); ; {
		err := goleak.Find(except...) // waits a little itself
		if err == nil {
			return 0
		}
		if time.Since(began) > patience {
			fmt.Fprintf(w, "the tests left goroutines: %v\n", err)
			return 1
		}
	}
}
