package sshguest_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/boxkiln/boxkiln/internal/sshtest"
	"github.com/boxkiln/boxkiln/provisioners"
	"github.com/boxkiln/boxkiln/provisioners/sshguest"
)

// screen collects what a shell prints and lets a test wait for a part of it.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{}
}

func newScreen() *screen { return &screen{more: make(chan struct{}, 1)} }

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case s.more <- struct{}{}:
	default:
	}
	return s.text.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

func (s *screen) await(t *testing.T, text string) {
	t.Helper()
	timeout := time.After(5 * time.Minute)
	for !strings.Contains(s.String(), text) {
		select {
		case <-s.more:
		case <-timeout:
			t.Fatalf("%q did not come: %q", text, s.String())
		}
	}
}

// user is somebody at a terminal.
type user struct {
	keys   *io.PipeWriter
	sizes  chan provisioners.Size
	screen *screen
	ended  chan error
	exit   int
}

// sit opens a shell on a terminal.
func sit(ctx context.Context, g *sshguest.Guest, command string) *user {
	stdin, keys := io.Pipe()
	u := &user{keys: keys, sizes: make(chan provisioners.Size), screen: newScreen(), ended: make(chan error, 1)}
	go func() {
		var err error
		u.exit, err = g.Shell(ctx, provisioners.TerminalRequest{Term: "vt100", Size: provisioners.Size{Rows: 30, Cols: 100},
			Resize: u.sizes, Command: command, Stdin: stdin, Stdout: u.screen})
		u.ended <- err
	}()
	return u
}

func (u *user) types(t *testing.T, text string) {
	t.Helper()
	if _, err := io.WriteString(u.keys, text); err != nil {
		t.Error(err)
	}
}

func TestShellOnATerminal(t *testing.T) {
	t.Parallel()
	g := connect(t, sshtest.Start(t, sshtest.Options{Password: "pw"}), nil)
	u := sit(t.Context(), g, "")
	u.types(t, "echo $TERM; stty size; tty\n")
	u.screen.await(t, "vt100")
	u.screen.await(t, "30 100")
	u.screen.await(t, "/dev/pts/")
	u.sizes <- provisioners.Size{Rows: 50, Cols: 132}
	u.sizes <- provisioners.Size{Rows: 50, Cols: 132} // taken: the first was passed on
	u.types(t, "stty size\n")
	u.screen.await(t, "50 132")
	// Commands of provisioners run beside it.
	if exit, err := g.Run(t.Context(), provisioners.Command{Line: "exit 3"}); exit != 3 || err != nil {
		t.Errorf("a command beside the shell: %d, %v", exit, err)
	}
	u.types(t, "exit 7\n")
	if err := <-u.ended; err != nil || u.exit != 7 {
		t.Errorf("%d, %v", u.exit, err)
	}
	if _, err := u.keys.Write([]byte("x")); err == nil {
		t.Error("the input was not closed")
	}
}

// A shell whose user leaves ends, and the connection lives on.
func TestShellEndsWithItsUser(t *testing.T) {
	t.Parallel()
	srv := sshtest.Start(t, sshtest.Options{Password: "pw"})
	g := connect(t, srv, nil)
	ctx, leave := context.WithCancelCause(t.Context())
	u := sit(ctx, g, "")
	u.types(t, "echo here-I-am; sleep 1000\n")
	u.screen.await(t, "here-I-am\r\n")
	gone := errors.New("gone")
	leave(gone)
	if err := <-u.ended; !errors.Is(err, gone) {
		t.Error(err)
	}
	if exit, err := g.Run(t.Context(), provisioners.Command{Line: "true"}); exit != 0 || err != nil || srv.Logins() != 1 {
		t.Errorf("a command afterwards: %d, %v, after %d logins", exit, err, srv.Logins())
	}
}

func TestShellWithoutATerminal(t *testing.T) {
	t.Parallel()
	g := connect(t, sshtest.Start(t, sshtest.Options{Password: "pw"}), nil)
	for name, tt := range map[string]struct {
		command, stdin, stdout, stderr string
		exit                           int
	}{
		"command": {command: "cat; echo no >&2; exit 4", stdin: "in", stdout: "in", stderr: "no\n", exit: 4},
		"script":  {stdin: "echo of the login shell\nexit 5\n", stdout: "of the login shell\n", exit: 5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var stdout, stderr bytes.Buffer
			exit, err := g.Shell(t.Context(), provisioners.TerminalRequest{Command: tt.command,
				Stdin: strings.NewReader(tt.stdin), Stdout: &stdout, Stderr: &stderr})
			if exit != tt.exit || err != nil || stdout.String() != tt.stdout || stderr.String() != tt.stderr {
				t.Errorf("%d, %v, %q, %q", exit, err, &stdout, &stderr)
			}
		})
	}
}

func TestShellWhenTheGuestGoes(t *testing.T) {
	t.Parallel()
	srv := sshtest.Start(t, sshtest.Options{Password: "pw"})
	g := connect(t, srv, nil)
	u := sit(t.Context(), g, "")
	u.types(t, "echo here-I-am\n")
	u.screen.await(t, "here-I-am\r\n")
	srv.Drop()
	if err := <-u.ended; !errors.Is(err, provisioners.ErrDisconnected) {
		t.Error(err)
	}
	if err := g.Close(); err != nil {
		t.Error(err)
	}
	if _, err := g.Shell(t.Context(), provisioners.TerminalRequest{Term: "vt100"}); !errors.Is(err, sshguest.ErrClosed) {
		t.Errorf("on a closed guest: %v", err)
	}
}
