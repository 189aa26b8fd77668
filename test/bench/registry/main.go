// Command registry measures the box registry: `make bench-registry` runs it.
//
// It publishes a box into a new data directory, starts bin/boxkiln over it, and runs its sections one after the other, each
// of which prints a table of figures with what is asked of them. Figures that are compared with another program's are
// taken in turn (A B A B), because a busy machine is slow for both, and judged by the median of the pairs' ratios. At the
// end it prints the daemon's largest resident memory.
//
// A new section is a function over [bench], named in the table below.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/boxkiln/boxkiln/test/bench/figures"
)

// section is a part of the benchmark.
type section struct {
	name string
	run  func(ctx context.Context, b *bench) error
}

// sections in the order in which they run.
var sections = []section{
	{"downloads", downloads},
	{"catalogs", catalogs},
	{"uploads", uploads},
}

// bench is what the sections share.
type bench struct {
	work   string // folder of this run
	kiln   *kiln  // the daemon, with one released box
	rounds int    // pairs of runs
	report figures.Report
}

func main() { figures.Main(run) }

func run(ctx context.Context) (err error) {
	program := flag.String("boxkiln", "bin/boxkiln", "program to measure")
	work := flag.String("work", "build/bench-registry", "folder for data and logs; emptied first")
	size := flag.Int64("size", 1<<30, "bytes of the box")
	rounds := flag.Int("rounds", 5, "pairs of runs for each comparison")
	only := flag.String("sections", "", "names of sections, separated by commas; all unless given")
	flag.Parse()
	b := &bench{rounds: *rounds}
	if b.work, err = filepath.Abs(*work); err != nil {
		return err
	}
	if err := os.RemoveAll(b.work); err != nil {
		return err
	}
	if b.kiln, err = startKiln(ctx, *program, b.work, *size); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.kiln.stop()) }()
	for _, s := range sections {
		if *only != "" && !slices.Contains(strings.Split(*only, ","), s.name) {
			continue
		}
		fmt.Printf("\n%s\n", s.name)
		if err := s.run(ctx, b); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return b.memory()
}

// mostMemory is what the daemon may take at most, in MiB.
const mostMemory = 80

func (b *bench) memory() error {
	peak, err := b.kiln.peakMemory()
	if err != nil {
		return err
	}
	fmt.Println("\nmemory")
	b.report.AtMost("largest resident memory of the daemon, MiB", float64(peak)/(1<<20), mostMemory)
	return b.report.Verdict()
}
