package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/boxkiln/boxkiln/daemon/client"
	"github.com/boxkiln/boxkiln/hypervisor"
)

func newDoctorCommand(env *environment) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "doctor", Short: "Say what works on this machine, what does not, and how to mend it", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runDoctor(cmd.Context(), env, asJSON) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print an object")
	return cmd
}

// diagnosis is what doctor found.
type diagnosis struct {
	Data    string                             `json:"data"`
	Daemon  string                             `json:"daemon"`
	Drivers map[string]hypervisor.Capabilities `json:"drivers"`
}

// probeTimeout bounds how long a driver may take to answer: one that hangs is a finding.
const probeTimeout = time.Minute

func runDoctor(ctx context.Context, env *environment, asJSON bool) error {
	data, err := env.data()
	if err != nil {
		return err
	}
	d := diagnosis{Data: data.Path(), Daemon: env.daemonState(ctx), Drivers: map[string]hypervisor.Capabilities{}}
	drivers := env.drivers(slog.New(slog.DiscardHandler))("doctor")
	for name, driver := range drivers {
		d.Drivers[name] = probe(ctx, driver)
	}
	if asJSON {
		if err := json.NewEncoder(env.stdout).Encode(d); err != nil {
			return err
		}
	} else {
		env.printDiagnosis(d, driverNames(drivers))
	}
	if !d.well() {
		return errors.Join(errDoctor, silentError{exitFailed})
	}
	return nil
}

// well tells whether a driver works and none that is installed does not.
func (d diagnosis) well() bool {
	works := false
	for _, c := range d.Drivers {
		if !c.Available && !c.Absent {
			return false
		}
		works = works || c.Available
	}
	return works
}

func probe(ctx context.Context, driver hypervisor.Driver) hypervisor.Capabilities {
	ctx, cancel := context.WithTimeoutCause(ctx, probeTimeout, fmt.Errorf("no answer within %s", probeTimeout))
	defer cancel()
	c, err := driver.Probe(ctx)
	if err != nil {
		c.Available = false
		c.Problems = append(c.Problems, hypervisor.Problem{What: err.Error(), Remedy: "see the driver's page in docs/"})
	}
	return c
}

func (e *environment) daemonState(ctx context.Context) string {
	c, err := e.client()
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	info, err := c.Info(ctx)
	switch {
	case errors.Is(err, client.ErrNoDaemon):
		return "none runs; `boxkiln build` brings its own, `boxkiln serve` starts one"
	case err != nil:
		return err.Error()
	}
	return "version " + info.Version + " over " + info.Data
}

func (e *environment) printDiagnosis(d diagnosis, names []string) {
	fmt.Fprintf(e.stdout, "data directory  %s\ndaemon          %s\n", d.Data, d.Daemon)
	for _, name := range names {
		c := d.Drivers[name]
		state := "works"
		switch {
		case c.Absent:
			state = "not installed"
		case !c.Available:
			state = "DOES NOT WORK"
		}
		fmt.Fprintf(e.stdout, "\n%s: %s\n", name, state)
		if c.Version != "" {
			fmt.Fprintf(e.stdout, "  version      %s\n", c.Version)
		}
		if c.Accelerator != "" {
			fmt.Fprintf(e.stdout, "  accelerator  %s\n", c.Accelerator)
		}
		for _, n := range c.Notes {
			fmt.Fprintf(e.stdout, "  %s\n", n)
		}
		for _, p := range c.Problems {
			fmt.Fprintf(e.stdout, "  problem: %s\n  remedy:  %s\n", p.What, p.Remedy)
		}
	}
}
