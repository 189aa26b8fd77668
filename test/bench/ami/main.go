// Command ami measures how long it takes to bring a disk into EC2: `make bench-ami` runs it.
//
// The disk has 4 GiB, 1 GiB of which are random bytes in pieces with holes between them. Ours is `boxkiln convert --package ami`, from the start of
// the process to the image that is available. The peer is the first half of the classic way alone: `aws s3 cp` of the raw disk into
// a bucket; what the service then takes to import it is not counted. Both speak to the simulator of EC2 and S3 (bin/sim/ec2sim),
// which waits 5 ms before every answer. Then the snapshot is compared with the disk by qemu-img.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"time"

	"github.com/boxkiln/boxkiln/hypervisor/disk"
	"github.com/boxkiln/boxkiln/test/bench/figures"
)

// What is asked of us.
const (
	askedRatio  = 3.0 // of our time in the peer's
	askedMemory = 150 // MiB of our process
)

// bench is what the parts share.
type bench struct {
	program, simulator, aws string
	work                    string // folder of this run
	disk                    string
	report                  figures.Report
}

func main() { figures.Main(run) }

func run(ctx context.Context) error {
	b := &bench{}
	flag.StringVar(&b.program, "boxkiln", "bin/boxkiln", "program to measure")
	flag.StringVar(&b.simulator, "ec2sim", "bin/sim/ec2sim", "simulator to speak to")
	flag.StringVar(&b.aws, "aws", "/usr/bin/aws", "awscli, the peer")
	flag.StringVar(&b.work, "work", "build/bench-ami", "folder for disks and logs; emptied first, but for the disk")
	size := flag.Int64("size", 4<<30, "bytes of the disk, a quarter of which are data")
	latency := flag.Duration("latency", 5*time.Millisecond, "of every answer")
	rounds := flag.Int("rounds", 1, "how often both are run")
	flag.Parse()
	if err := os.MkdirAll(b.work, 0o755); err != nil {
		return err
	}
	b.disk = filepath.Join(b.work, fmt.Sprintf("disk-%d.raw", *size))
	if err := makeDisk(b.disk, *size); err != nil {
		return fmt.Errorf("make the disk: %w", err)
	}
	var list []figures.Pair
	for round := range *rounds {
		fmt.Printf("\nround %d\n", round+1)
		p, err := b.round(ctx, *latency)
		if err != nil {
			return err
		}
		list = append(list, p)
	}
	fmt.Println()
	b.report.AtLeast("how many times faster than the upload alone", 1/figures.Median(figures.Ratios(list)), askedRatio)
	return b.report.Verdict()
}

// round runs both once, against a simulator of their own.
func (b *bench) round(ctx context.Context, latency time.Duration) (p figures.Pair, err error) {
	s, err := b.start(ctx, latency)
	if err != nil {
		return p, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	theirs, err := b.peer(ctx, s)
	if err != nil {
		return p, fmt.Errorf("peer: %w", err)
	}
	ours, err := b.ours(ctx, s)
	if err != nil {
		return p, fmt.Errorf("ours: %w", err)
	}
	p.Theirs, p.Ours = theirs.Seconds(), ours.wall.Seconds()
	b.report.Figure("aws s3 cp of the raw disk, s", p.Theirs)
	b.report.Figure("boxkiln convert --package ami, s", p.Ours)
	b.report.Figure("blocks sent", float64(ours.blocks))
	b.report.Figure("MiB sent", ours.sent)
	b.report.AtMost("most memory of our process, MiB", ours.memory, askedMemory)
	return p, b.compare(ctx, s, ours)
}

// cost is what ours took.
type cost struct {
	wall   time.Duration
	memory float64 // MiB
	blocks int
	sent   float64 // MiB
	id     string  // of the snapshot
}

// told is the line that names what was sent.
var told = regexp.MustCompile(`Snapshot (snap-\S+) of \d+ GiB: (\d+) of its blocks hold something, ([0-9.]+) MiB were sent`)

func (b *bench) ours(ctx context.Context, s *simulator) (c cost, err error) {
	out := filepath.Join(b.work, "ours")
	if err := errors.Join(os.RemoveAll(out), os.Mkdir(out, 0o755)); err != nil {
		return c, err
	}
	cmd := exec.CommandContext(ctx, b.program, "convert", b.disk, "--package", "ami", "--region", "us-east-1", "--name", "disk", "--output", out)
	// What the service takes to import is not counted: the simulator takes next to nothing, and neither do pauses between questions.
	cmd.Env = append(s.environment(), "AWS_POLL_DELAY_SECONDS=0.1")
	began := time.Now()
	text, err := cmd.CombinedOutput()
	c.wall = time.Since(began)
	if err != nil {
		return c, fmt.Errorf("%w: %s", err, text)
	}
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	m := told.FindStringSubmatch(string(text))
	if !ok || m == nil {
		return c, fmt.Errorf("it does not say what was sent: %s", text)
	}
	c.memory = float64(usage.Maxrss) / 1024 // Linux tells KiB
	c.id = m[1]
	var errBlocks, errSent error
	c.blocks, errBlocks = strconv.Atoi(m[2])
	c.sent, errSent = strconv.ParseFloat(m[3], 64)
	return c, errors.Join(errBlocks, errSent)
}

// peer uploads the disk, and removes it from the bucket.
func (b *bench) peer(ctx context.Context, s *simulator) (time.Duration, error) {
	call := func(args ...string) error {
		cmd := exec.CommandContext(ctx, b.aws, append([]string{"--endpoint-url", s.url, "--region", "us-east-1", "s3"}, args...)...)
		cmd.Env = append(s.environment(), "AWS_PAGER=", "AWS_CONFIG_FILE=/nonexistent")
		if text, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, text)
		}
		return nil
	}
	began := time.Now()
	if err := call("cp", "--no-progress", b.disk, "s3://"+bucket+"/disk.raw"); err != nil {
		return 0, err
	}
	took := time.Since(began)
	return took, call("rm", "s3://"+bucket+"/disk.raw")
}

// compare sees that what was sent is the disk.
func (b *bench) compare(ctx context.Context, s *simulator, c cost) error {
	snapshot := disk.Image{Path: filepath.Join(s.data, "snap-"+c.id+".raw"), Format: disk.Raw}
	same, err := disk.Tool{}.Compare(ctx, disk.Image{Path: b.disk, Format: disk.Raw}, snapshot)
	if err == nil && !same {
		err = errors.New("the snapshot has not the bytes of the disk")
	}
	return err
}
