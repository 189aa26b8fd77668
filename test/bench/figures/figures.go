// Package figures prints what benchmarks measure beside what is asked, and compares two programs.
package figures

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
)

// Main runs a benchmark until it ends or is interrupted, and ends the process.
func Main(run func(ctx context.Context) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// Report prints figures beside what is asked of them, and remembers whether all were reached.
type Report struct{ missed int }

// Figure prints a number of which nothing is asked.
func (r *Report) Figure(what string, value float64) { fmt.Printf("  %-52s %10.2f\n", what, value) }

// AtLeast prints a number that should not be below another.
func (r *Report) AtLeast(what string, value, asked float64) {
	r.judge(what, value, "at least", asked, value >= asked)
}

// AtMost prints a number that should not be above another.
func (r *Report) AtMost(what string, value, asked float64) {
	r.judge(what, value, "at most", asked, value <= asked)
}

func (r *Report) judge(what string, value float64, relation string, asked float64, reached bool) {
	verdict := "yes"
	if !reached {
		verdict = "NO"
		r.missed++
	}
	fmt.Printf("  %-52s %10.2f   asked: %s %g: %s\n", what, value, relation, asked, verdict)
}

// Verdict is an error when something was not reached.
func (r *Report) Verdict() error {
	if r.missed > 0 {
		return fmt.Errorf("%d figures are not what is asked", r.missed)
	}
	return nil
}

// Pair is what two programs reached one right after the other.
type Pair struct{ Ours, Theirs float64 }

// Pairs runs two measurements in turn, first neither counted, to warm caches, and then n times both. Which one goes first
// changes every time.
func Pairs(n int, ours, theirs func() (float64, error)) ([]Pair, error) {
	_, oursErr := ours()
	_, theirsErr := theirs()
	if err := errors.Join(oursErr, theirsErr); err != nil {
		return nil, err
	}
	list := make([]Pair, n)
	for i := range list {
		first, second := &list[i].Ours, &list[i].Theirs
		a, b := ours, theirs
		if i%2 == 1 {
			first, second, a, b = second, first, b, a
		}
		var err error
		if *first, err = a(); err != nil {
			return nil, err
		}
		if *second, err = b(); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// Ratios of ours to theirs.
func Ratios(list []Pair) (all []float64) {
	for _, p := range list {
		all = append(all, p.Ours/p.Theirs)
	}
	return all
}

// Median of numbers; of an even count the mean of the middle two.
func Median(list []float64) float64 {
	s := slices.Sorted(slices.Values(list))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}
