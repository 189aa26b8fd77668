package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/aws"
	"github.com/boxkiln/boxkiln/hypervisor/fake"
	"github.com/boxkiln/boxkiln/hypervisor/libvirt"
	"github.com/boxkiln/boxkiln/internal/leaktest"
	"github.com/boxkiln/boxkiln/internal/schema"
)

// asCommand makes the test binary be the command itself, over the fake hypervisor whose records lie in the folder that the
// variable names: for tests that kill a process or send it signals. slowDestroy has it take that long to remove a machine.
const (
	asCommand   = "BOXKILN_TEST_COMMAND"
	slowDestroy = "BOXKILN_TEST_SLOW_DESTROY"
)

func TestMain(m *testing.M) {
	if root := os.Getenv(asCommand); root != "" {
		os.Exit(command(root))
	}
	leaktest.Main(m)
}

// command is main with another table of parts.
func command(root string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	host, err := fake.NewHost(root, fake.Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return exitFailed
	}
	defer host.Close()
	wrap := func(d hypervisor.Driver) hypervisor.Driver { return d }
	if text := os.Getenv(slowDestroy); text != "" {
		pause, err := time.ParseDuration(text)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return exitFailed
		}
		wrap = func(d hypervisor.Driver) hypervisor.Driver { return slowDriver{d, pause} }
	}
	return run(ctx, os.Args[1:], &environment{
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv, environ: os.Environ,
		parts: fakeParts, drivers: fakeDrivers(host, wrap),
	})
}

// fakeParts is the table of parts.go with one source type more, and with no source on a real hypervisor but EC2, which has a simulator.
func fakeParts() build.Parts {
	parts := newParts()
	parts.Sources[fake.Name] = build.SourceKind{
		Schema: schema.New(fake.Name, "A machine without a machine.", append(consoleGroups(), append(fake.Groups(), hypervisor.OutputArgs{})...)...),
		Driver: libvirt.Name, Planner: fake.Planner{},
	}
	return parts
}

// fakeDrivers lets the fake hypervisor stand in for libvirt, so that boxes are packed for a provider that Vagrant knows.
func fakeDrivers(host *fake.Host, wrap func(hypervisor.Driver) hypervisor.Driver) func(*slog.Logger) func(string) map[string]hypervisor.Driver {
	return func(*slog.Logger) func(string) map[string]hypervisor.Driver {
		return func(install string) map[string]hypervisor.Driver {
			return map[string]hypervisor.Driver{libvirt.Name: wrap(standIn{host.Driver(install)}), aws.Name: cloudDriver(install)}
		}
	}
}

// standIn is a driver under libvirt's name.
type standIn struct{ *fake.Driver }

func (standIn) Name() string { return libvirt.Name }

// slowDriver takes its time to remove machines.
type slowDriver struct {
	hypervisor.Driver
	pause time.Duration
}

func (d slowDriver) Create(ctx context.Context, spec hypervisor.Spec) (hypervisor.Machine, error) {
	m, err := d.Driver.Create(ctx, spec)
	return d.slow(m), err
}

func (d slowDriver) Open(ctx context.Context, h hypervisor.Handle) (hypervisor.Machine, error) {
	m, err := d.Driver.Open(ctx, h)
	return d.slow(m), err
}

func (d slowDriver) slow(m hypervisor.Machine) hypervisor.Machine {
	if f, ok := m.(*fake.Machine); ok {
		return slowMachine{f, d.pause}
	}
	return m
}

type slowMachine struct {
	*fake.Machine
	pause time.Duration
}

func (m slowMachine) Destroy(ctx context.Context) error {
	select {
	case <-time.After(m.pause):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return m.Machine.Destroy(ctx)
}
