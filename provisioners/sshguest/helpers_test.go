package sshguest_test

import (
	"context"
	"crypto/ed25519"
	"encoding/pem"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"
)

// busyPath is a PATH with the few commands that the smallest guest has, and no scp.
func busyPath(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"sh", "cat", "chmod", "rm", "mkdir", "tar", "ls", "ln", "seq", "sleep", "kill"} {
		path, err := exec.LookPath(name)
		if err != nil {
			continue // a builtin of sh
		}
		if err := os.Symlink(path, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func atoi(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// lockedKey is a private key with a passphrase.
func lockedKey(t *testing.T) string {
	t.Helper()
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKeyWithPassphrase(private, "", []byte("long phrase"))
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(block))
}

// onWrite calls a function at the first write.
func onWrite(f func()) io.Writer { return &writeHook{f: f} }

type writeHook struct {
	once sync.Once
	f    func()
}

func (w *writeHook) Write(p []byte) (int, error) {
	w.once.Do(w.f)
	return len(p), nil
}

// gate is a network that can be frozen by closing it: packets are neither delivered nor refused then.
type gate chan struct{}

func (g gate) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &gated{Conn: c, frozen: g, closed: make(chan struct{})}, nil
}

type gated struct {
	net.Conn
	frozen gate
	closed chan struct{}
	once   sync.Once
}

func (c *gated) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	select {
	case <-c.frozen:
		<-c.closed
		return 0, net.ErrClosed
	default:
		return n, err
	}
}

func (c *gated) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}
