// Package sshtest is an SSH server inside the process, for tests and for the fake driver's guests.
//
// A [Server] listens on the loopback interface, lets users in as its [Options] say, and runs what they ask for by the
// host's own sh in a folder of its own, so that scripts, pipes, quoting, signals and exit statuses behave as in a real
// guest. It speaks SFTP, forwards ports (so it can be a bastion) and agents. It can also misbehave on request: hold its
// banner back, refuse logins, drop its connections, go away and come back with another host key, as a rebooting guest
// does. Close ends every connection, command and goroutine that the server started.
//
// The commands run with the rights of the process. The server is not meant for anybody but the process itself.
package sshtest

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// Options say whom a server lets in and how it behaves. A server with no credential at all lets nobody in.
type Options struct {
	User           string          // the only user; empty for any
	Password       string          // accepted as password; empty for none
	Interactive    bool            // ask for Password by keyboard-interactive, and offer no plain password
	AuthorizedKeys []ssh.PublicKey // accepted keys
	UserCA         ssh.PublicKey   // accepted signer of certificates
	NoAuth         bool            // let everybody in

	Root    string                    // working directory and home of commands; empty for a temporary one
	Env     []string                  // more KEY=value for commands
	Handler func(c *Command) int      // runs commands instead of sh, and returns their exit status
	DropOn  func(command string) bool // drops the connection when it asks for such a command

	NoSFTP       bool          // refuse the SFTP subsystem
	NoSignals    bool          // as OpenSSH does for root: refuse signals, and let commands outlive their channels
	Version      string        // identification; empty for "SSH-2.0-sshtest"
	BannerDelay  time.Duration // wait before the identification is sent
	RefuseLogins int           // refuse this many connections' logins first
	HostKey      ssh.Signer    // nil for a new ed25519 key
	Addr         string        // where to listen; empty for 127.0.0.1 and a free port
}

// Server is a running SSH server.
type Server struct {
	Addr string // host:port
	Root string // working directory of commands

	opts    Options
	tempDir string // to be removed; holds Root if that was not given, and sockets
	closing chan struct{}
	done    sync.WaitGroup

	mu       sync.Mutex
	hostKey  ssh.Signer
	refuse   int
	logins   int
	listener net.Listener
	conns    map[net.Conn]struct{}
}

// TB is the part of testing.TB that Start needs.
type TB interface {
	Helper()
	Cleanup(func())
	Fatalf(format string, args ...any)
}

// Start runs a server until the test ends.
func Start(t TB, opts Options) *Server {
	t.Helper()
	s, err := New(opts)
	if err != nil {
		t.Fatalf("ssh server: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Fatalf("ssh server: %v", err)
		}
	})
	return s
}

// New runs a server until Close.
func New(opts Options) (*Server, error) {
	s := &Server{
		opts: opts, Root: opts.Root, hostKey: opts.HostKey, refuse: opts.RefuseLogins,
		closing: make(chan struct{}), conns: map[net.Conn]struct{}{},
	}
	if s.hostKey == nil {
		s.hostKey = NewKey()
	}
	var err error
	if s.tempDir, err = os.MkdirTemp("", "sshtest-"); err != nil {
		return nil, err
	}
	if s.Root == "" {
		s.Root = s.tempDir
	}
	addr := opts.Addr
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	if err := s.listen(addr); err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.tempDir))
	}
	return s, nil
}

// NewKey makes an ed25519 key, for a host or a user.
func NewKey() ssh.Signer {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err) // the system's random numbers never fail
	}
	signer, err := ssh.NewSignerFromSigner(private)
	if err != nil {
		panic(err) // an ed25519 key always makes a signer
	}
	return signer
}

// HostKey is the key that the server shows to the next connection.
func (s *Server) HostKey() ssh.PublicKey {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hostKey.PublicKey()
}

// SwapHostKey makes a new host key for the connections to come.
func (s *Server) SwapHostKey() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hostKey = NewKey()
}

// RefuseLogins refuses the logins of the next n connections.
func (s *Server) RefuseLogins(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = n
}

// Logins is the number of logins that worked so far.
func (s *Server) Logins() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.logins
}

// Drop cuts all connections, without a good-bye, and ends their commands.
func (s *Server) Drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.Close()
	}
}

// Stop goes off the network as a machine in a reboot does: it drops its connections and refuses new ones until Resume.
func (s *Server) Stop() error {
	s.mu.Lock()
	l := s.listener
	s.listener = nil
	s.mu.Unlock()
	if l == nil {
		return nil
	}
	err := l.Close()
	s.Drop()
	return err
}

// Resume listens again, on the same port, after a Stop.
func (s *Server) Resume() error { return s.listen(s.Addr) }

// Close ends all connections and commands and removes the temporary folder. A second Close does nothing.
func (s *Server) Close() error {
	s.mu.Lock()
	select {
	case <-s.closing:
		s.mu.Unlock()
		return nil
	default:
		close(s.closing)
	}
	s.mu.Unlock()
	err := s.Stop()
	s.done.Wait()
	return errors.Join(err, os.RemoveAll(s.tempDir))
}

func (s *Server) listen(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("listen on %q: %w", addr, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listener = l
	if s.Addr == "" { // Resume listens where New did
		s.Addr = l.Addr().String()
	}
	s.done.Go(func() { s.accept(l) })
	return nil
}

func (s *Server) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return // Stop closed the listener
		}
		if !s.track(l, c) {
			_ = c.Close()
			return
		}
		s.done.Go(func() {
			defer s.untrack(c)
			s.serve(c)
		})
	}
}

// track remembers a connection for Drop, unless its listener was stopped meanwhile.
func (s *Server) track(l net.Listener, c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener != l {
		return false
	}
	s.conns[c] = struct{}{}
	return true
}

func (s *Server) untrack(c net.Conn) {
	_ = c.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}
