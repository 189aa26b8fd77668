package s3test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// The gateway's version is pinned here and not in go.mod, where its own requirements would become ours.
const (
	gatewayModule  = "github.com/versity/versitygw/cmd/versitygw"
	gatewayVersion = "v1.8.0"
)

// gatewayProgram builds versitygw once for all tests of a machine.
var gatewayProgram = sync.OnceValues(func() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "boxkiln-tests")
	program := filepath.Join(dir, "versitygw-"+gatewayVersion)
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	made, err := os.MkdirTemp(dir, "build-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(made)
	install := exec.Command("go", "install", gatewayModule+"@"+gatewayVersion)
	install.Env = append(os.Environ(), "GOBIN="+made, "GOFLAGS=-mod=mod")
	if out, err := install.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go install %s@%s: %w\n%s", gatewayModule, gatewayVersion, err, out)
	}
	return program, os.Rename(filepath.Join(made, "versitygw"), program) // several packages may build at once
})

// Gateway starts versitygw, which ends with the test. Where it cannot be built the test is skipped, or fails if
// BOXKILN_REQUIRE_TOOLS=1.
func Gateway(t *testing.T) Service {
	t.Helper()
	program, err := gatewayProgram()
	if err != nil {
		if os.Getenv("BOXKILN_REQUIRE_TOOLS") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	dir := t.TempDir()
	for range 5 { // another program may take the port before the gateway does
		var s Service
		if s, err = startGateway(t, program, dir); err == nil {
			s.makeBucket(t)
			return s
		}
	}
	t.Fatal(err)
	return Service{}
}

func startGateway(t *testing.T, program, dir string) (Service, error) {
	address, err := freeAddress()
	if err != nil {
		return Service{}, err
	}
	s := newService("http://" + address)
	var said bytes.Buffer
	cmd := exec.CommandContext(t.Context(), program, "--quiet", "--port", address, "--region", s.Region, "posix", dir)
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+s.Key, "ROOT_SECRET_KEY="+s.Secret)
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		return Service{}, err
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // killed with the test, or it could not begin, which said tells
		close(ended)
	}()
	t.Cleanup(func() { <-ended })
	if err := answers(t.Context(), address, ended); err != nil {
		_ = cmd.Process.Kill()
		<-ended
		return Service{}, fmt.Errorf("versitygw at %s: %w\n%s", address, err, said.String())
	}
	return s, nil
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// answers waits until somebody listens at an address, or the program that should has ended.
func answers(ctx context.Context, address string, ended <-chan struct{}) error {
	const pause = 20 * time.Millisecond
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-time.After(pause):
		case <-ended:
			return errors.Join(errors.New("it ended"), err)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
