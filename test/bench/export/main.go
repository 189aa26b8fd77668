// Command export measures how long it takes to make all packages of a machine's disk: `make bench-export` runs it.
//
// It makes a disk that resembles a guest's, always the same one. The peer is a script as people write them: `qemu-img convert`
// for each format and `tar | gzip` for each box, one after the other. Ours is `boxkiln convert` with all packages at once,
// whose processes are watched for their memory. Then all disks that came out are compared with the source by qemu-img.
package main

import (
	"context"
	"flag"
	"fmt"
	"path/filepath"

	"github.com/boxkiln/boxkiln/test/bench/figures"
)

// What is asked of us.
const (
	askedRatio  = 0.6 // of the peer's time
	askedMemory = 300 // MiB, of all our processes together
)

// bench is what the parts share.
type bench struct {
	program string // boxkiln
	work    string // folder of this run
	disk    string // the source
	report  figures.Report
}

func main() { figures.Main(run) }

func run(ctx context.Context) error {
	program := flag.String("boxkiln", "bin/boxkiln", "program to measure")
	work := flag.String("work", "build/bench-export", "folder for disks and logs; emptied first, but for the source")
	size := flag.Int64("size", 4<<30, "bytes of the disk, half of which are data")
	rounds := flag.Int("rounds", 1, "how often both are run")
	compressed := flag.Bool("compressed", false, "begin with a compressed qcow2")
	flag.Parse()
	b := &bench{program: *program}
	var err error
	if b.work, err = filepath.Abs(*work); err != nil {
		return err
	}
	if b.disk, err = source(ctx, b.work, *size, *compressed); err != nil {
		return fmt.Errorf("make the source: %w", err)
	}
	var list []figures.Pair
	for round := range *rounds {
		fmt.Printf("\nround %d\n", round+1)
		p, err := b.round(ctx)
		if err != nil {
			return err
		}
		list = append(list, p)
	}
	fmt.Println()
	b.report.AtMost("our time as a share of the peer's", figures.Median(figures.Ratios(list)), askedRatio)
	return b.report.Verdict()
}

// round runs both once, each into an empty folder, with what the one before it wrote on the disk already.
func (b *bench) round(ctx context.Context) (figures.Pair, error) {
	var p figures.Pair
	theirs, err := b.peer(ctx)
	if err != nil {
		return p, fmt.Errorf("peer: %w", err)
	}
	ours, peak, err := b.ours(ctx)
	if err != nil {
		return p, fmt.Errorf("ours: %w", err)
	}
	p.Theirs, p.Ours = theirs.wall.Seconds(), ours.wall.Seconds()
	b.report.Figure("peer, s", p.Theirs)
	b.report.Figure("ours, s", p.Ours)
	// On a busy machine these say more: what the two would take on one processor of their own.
	b.report.Figure("peer, s of processors", theirs.processor.Seconds())
	b.report.Figure("ours, s of processors", ours.processor.Seconds())
	b.report.AtMost("most memory of all our processes, MiB", float64(peak)/(1<<20), askedMemory)
	if err := b.compare(ctx); err != nil {
		return p, err
	}
	return p, nil
}
