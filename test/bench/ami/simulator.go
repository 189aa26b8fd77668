package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const bucket = "bench"

// simulator is a running ec2sim.
type simulator struct {
	cmd       *exec.Cmd
	data, url string
}

// start starts a simulator without anything in it.
func (b *bench) start(ctx context.Context, latency time.Duration) (*simulator, error) {
	s := &simulator{data: filepath.Join(b.work, "cloud")}
	if err := os.RemoveAll(s.data); err != nil {
		return nil, err
	}
	s.cmd = exec.CommandContext(ctx, b.simulator, "--listen", "127.0.0.1:0", "--data", s.data, "--no-guests", "--latency", latency.String(), "--bucket", bucket)
	s.cmd.Stderr = os.Stderr
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if _, url, ok := strings.Cut(lines.Text(), "listens on "); ok {
			s.url = url
			go func() { _, _ = io.Copy(io.Discard, out) }() // ends with the process
			return s, nil
		}
	}
	return nil, errors.Join(errors.New("the simulator says no address"), s.stop())
}

// stop ends the simulator, which ends so on a signal.
func (s *simulator) stop() error {
	err := s.cmd.Process.Signal(syscall.SIGTERM)
	if err := errors.Join(err, s.cmd.Wait()); err != nil {
		return fmt.Errorf("end the simulator: %w", err)
	}
	return os.RemoveAll(s.data)
}

// environment leads the AWS tools to the simulator.
func (s *simulator) environment() []string {
	return append(os.Environ(), "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "AWS_EC2_METADATA_DISABLED=true", "AWS_ENDPOINT_URL_EC2="+s.url, "AWS_ENDPOINT_URL_EBS="+s.url)
}
