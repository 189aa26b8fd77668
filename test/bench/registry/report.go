package main

import (
	"errors"
	"fmt"
	"slices"
)

// report prints figures beside what is asked of them, and remembers whether all were reached.
type report struct{ missed int }

// figure prints a number of which nothing is asked.
func (r *report) figure(what string, value float64) { fmt.Printf("  %-52s %10.2f\n", what, value) }

// atLeast prints a number that should not be below another.
func (r *report) atLeast(what string, value, asked float64) {
	r.judge(what, value, "at least", asked, value >= asked)
}

// atMost prints a number that should not be above another.
func (r *report) atMost(what string, value, asked float64) {
	r.judge(what, value, "at most", asked, value <= asked)
}

func (r *report) judge(what string, value float64, relation string, asked float64, reached bool) {
	verdict := "yes"
	if !reached {
		verdict = "NO"
		r.missed++
	}
	fmt.Printf("  %-52s %10.2f   asked: %s %g: %s\n", what, value, relation, asked, verdict)
}

// verdict is an error when something was not reached.
func (r *report) verdict() error {
	if r.missed > 0 {
		return fmt.Errorf("%d figures are not what is asked", r.missed)
	}
	return nil
}

// pair is what two programs reached one right after the other.
type pair struct{ ours, theirs float64 }

// pairs runs two measurements in turn, first neither counted, to warm caches, and then n times both. Which one goes first
// changes every time.
func pairs(n int, ours, theirs func() (float64, error)) ([]pair, error) {
	_, oursErr := ours()
	_, theirsErr := theirs()
	if err := errors.Join(oursErr, theirsErr); err != nil {
		return nil, err
	}
	list := make([]pair, n)
	for i := range list {
		first, second := &list[i].ours, &list[i].theirs
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

func ratios(list []pair) (all []float64) {
	for _, p := range list {
		all = append(all, p.ours/p.theirs)
	}
	return all
}

// median of numbers; of an even count the mean of the middle two.
func median(list []float64) float64 {
	s := slices.Sorted(slices.Values(list))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}
