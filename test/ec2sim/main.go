// Command ec2sim is a simulator of EC2, EBS direct, S3 and STS behind one address, with real guests under QEMU.
//
// The real services cannot be reached where Boxkiln is tested. What they are asked is taken from unmodified clients (Packer 1.6.6,
// awscli 2.9) and Amazon's API reference; see package cloud for what is simulated and what is not. The service that a request is
// for is read from the scope of its signature, so one endpoint serves them all:
//
//	ec2sim --listen 127.0.0.1:4599 --data DIR --image NAME=DISK.raw,uefi
//	AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test aws --endpoint-url http://127.0.0.1:4599 --region us-east-1 ec2 describe-images
//
// --fault [REGION/]ACTION:CODE[=WITH][:COUNT] makes calls fail, such as RunInstances:InsufficientInstanceCapacity:1,
// eu-west-1/CopyImage:UnauthorizedOperation or *:RequestLimitExceeded:30; InstanceDies, SnapshotFails, StaysHidden=10s,
// ImportFails=TEXT and NoCapacity are no errors of a call but misfortunes of what it makes. GET /_objects, unsigned, lists what
// was made and not removed as JSON, for tests that must leave nothing.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/boxkiln/boxkiln/test/ec2sim/cloud"
	"github.com/boxkiln/boxkiln/test/sim/qemu"
)

// pairs is a flag that may be repeated.
type pairs []string

func (p *pairs) String() string     { return strings.Join(*p, " ") }
func (p *pairs) Set(s string) error { *p = append(*p, s); return nil }

func main() {
	qemu.Supervise()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "ec2sim:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	var images, faults, buckets pairs
	listen := flag.String("listen", "127.0.0.1:4599", "address to serve at")
	data := flag.String("data", "", "folder for disks and machines; a temporary one unless given")
	region := flag.String("region", "us-east-1", "region of the images given by --image")
	latency := flag.Duration("latency", 0, "wait before every answer")
	hidden := flag.Duration("hidden-for", 0, "how long new objects are not found; without it the first question is answered so")
	inspect := flag.Bool("inspect", false, "have ImportImage look for a Linux with its kernel on the disk")
	pace := flag.Duration("pace", 0, "how long states take that nobody computes for (default 100ms)")
	memory := flag.Int("memory", 512, "MiB of memory of an instance")
	noGuests := flag.Bool("no-guests", false, "run instances in name only")
	verbose := flag.Bool("v", false, "log every call")
	flag.Var(&images, "image", "NAME=DISK[,uefi]: an image from a raw disk that is there from the beginning; may be repeated")
	flag.Var(&buckets, "bucket", "NAME: a bucket of S3 that is there from the beginning; may be repeated")
	flag.Var(&faults, "fault", "[REGION/]ACTION:CODE[=WITH][:COUNT]: what goes wrong; may be repeated")
	flag.Parse()
	dir, err := folder(*data)
	if err != nil {
		return err
	}
	if *data == "" {
		defer os.RemoveAll(dir)
	}
	cfg := cloud.Config{Dir: dir, Latency: *latency, Pace: *pace, HiddenFor: *hidden, Inspect: *inspect}
	if !*noGuests {
		cfg.Guests = cloud.QEMU{Dir: dir, MemoryMB: *memory}
	}
	if *verbose {
		cfg.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	c := cloud.New(cfg)
	if err := furnish(ctx, c, *region, images, buckets, faults); err != nil {
		return errors.Join(err, c.Close())
	}
	return errors.Join(serve(ctx, *listen, c), c.Close())
}

func folder(name string) (string, error) {
	if name == "" {
		return os.MkdirTemp("", "ec2sim-")
	}
	return name, os.MkdirAll(name, 0o700)
}

// furnish gives the cloud its images, buckets and faults.
func furnish(ctx context.Context, c *cloud.Cloud, region string, images, buckets, faults pairs) error {
	for _, name := range buckets {
		if err := c.AddBucket(region, name); err != nil {
			return fmt.Errorf("--bucket %s: %w", name, err)
		}
	}
	for _, text := range faults {
		f, err := cloud.ParseFault(text)
		if err != nil {
			return err
		}
		c.Inject(f)
	}
	for _, text := range images {
		name, disk, ok := strings.Cut(text, "=")
		if !ok {
			return fmt.Errorf("--image %q: write it as NAME=DISK[,uefi]", text)
		}
		image := cloud.Publication{Name: name}
		if image.Disk, ok = strings.CutSuffix(disk, ",uefi"); ok {
			image.BootMode = "uefi"
		}
		id, err := c.Publish(ctx, region, image)
		if err != nil {
			return fmt.Errorf("--image %s: %w", text, err)
		}
		fmt.Printf("image %s is %s in %s\n", name, id, region)
	}
	return nil
}

func serve(ctx context.Context, address string, c *cloud.Cloud) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	s := &http.Server{Handler: c, ReadHeaderTimeout: 10 * time.Second}
	fmt.Printf("ec2sim listens on http://%s\n", l.Addr())
	stop := context.AfterFunc(ctx, func() { _ = s.Shutdown(context.WithoutCancel(ctx)) })
	defer stop()
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
