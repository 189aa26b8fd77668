package sshguest_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/boxkiln/boxkiln/internal/schema"
	"github.com/boxkiln/boxkiln/internal/sshtest"
	"github.com/boxkiln/boxkiln/provisioners"
	"github.com/boxkiln/boxkiln/provisioners/sshguest"
)

type connected struct {
	guest *sshguest.Guest
	err   error
}

// connectInBackground waits for a guest while the test goes on.
func connectInBackground(ctx context.Context, cfg sshguest.Config, find sshguest.Finder, s *seen) <-chan connected {
	done := make(chan connected, 1)
	go func() {
		g, err := sshguest.Connect(ctx, cfg, find, s.report)
		done <- connected{g, err}
	}()
	return done
}

func TestTheWaitTellsWhatItSees(t *testing.T) {
	t.Parallel()
	srv := sshtest.Start(t, sshtest.Options{Password: "pw", RefuseLogins: 2, AuthorizedKeys: []ssh.PublicKey{sshtest.NewKey().PublicKey()}, Version: "SSH-2.0-OpenSSH_9.2"})
	if err := srv.Stop(); err != nil {
		t.Fatal(err)
	}
	lease := make(chan struct{})
	find := func(context.Context) (string, error) {
		select {
		case <-lease:
			return srv.Addr, nil
		default:
			return "", errors.New("no lease")
		}
	}
	s := newSeen()
	done := connectInBackground(t.Context(), config(nil), find, s)
	s.await(t, sshguest.NoAddress)
	close(lease)
	s.await(t, sshguest.Refused)
	if err := srv.Resume(); err != nil {
		t.Fatal(err)
	}
	if o := s.await(t, sshguest.Banner); o.String() != "port 22: banner OpenSSH_9.2" {
		t.Errorf("banner: %v", o)
	}
	if o := s.await(t, sshguest.LoginRefused); o.String() != "port 22: login refused (password,publickey offered)" {
		t.Errorf("refusal: %v", o)
	}
	s.await(t, sshguest.LoggedIn)
	c := <-done
	if c.err != nil {
		t.Fatal(c.err)
	}
	defer c.guest.Close()
	want := []sshguest.Kind{sshguest.NoAddress, sshguest.Address, sshguest.Refused, sshguest.PortOpen, sshguest.Banner, sshguest.LoginRefused, sshguest.LoggedIn}
	if got := s.kinds(); !slices.Equal(got, want) {
		t.Errorf("saw %v, want each once: %v", got, want)
	}
}

func TestTheWaitEndsWhenTheMachineDies(t *testing.T) {
	t.Parallel()
	died := errors.New("the machine powered off")
	ctx, cancel := context.WithCancelCause(t.Context())
	srv := sshtest.Start(t, sshtest.Options{Password: "pw", BannerDelay: time.Hour})
	s := newSeen()
	// One try alone, and nothing of it after that it has no banner.
	cfg := config(func(c *sshguest.Config) { c.Poll, c.Patience = time.Hour, 10*time.Millisecond })
	done := connectInBackground(ctx, cfg, at(srv), s)
	s.await(t, sshguest.NoBanner)
	cancel(died)
	c := <-done
	var failed *sshguest.ConnectError
	if !errors.Is(c.err, died) || !errors.As(c.err, &failed) || failed.Last.Kind != sshguest.NoBanner {
		t.Errorf("got %v", c.err)
	}
}

func TestAHangingTryDoesNotHideAServer(t *testing.T) {
	t.Parallel()
	srv := sshtest.Start(t, sshtest.Options{Password: "pw"})
	first, hung := make(chan struct{}, 1), make(chan error, 1)
	first <- struct{}{}
	hanging := config(func(c *sshguest.Config) {
		c.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			select {
			case <-first: // packets go nowhere
				<-ctx.Done()
				hung <- ctx.Err()
				return nil, ctx.Err()
			default:
				return (&net.Dialer{}).DialContext(ctx, network, addr)
			}
		}
	})
	g, err := sshguest.Connect(t.Context(), hanging, at(srv), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if err := <-hung; !errors.Is(err, context.Canceled) {
		t.Errorf("the first try ended with %v, not because another one was faster", err)
	}
}

func TestWaitLimits(t *testing.T) {
	t.Parallel()
	refusing := sshtest.Start(t, sshtest.Options{Password: "other"})
	for name, tc := range map[string]struct {
		change func(*sshguest.Config)
		want   error
		text   []string
	}{
		"attempts": {
			func(c *sshguest.Config) { c.SSH.HandshakeAttempts = 3 },
			sshguest.ErrLoginRefused, []string{`user "root"`, "3 times", "ssh_handshake_attempts", "password offered"},
		},
		"attempts have no time limit": {
			func(c *sshguest.Config) { c.SSH.HandshakeAttempts, c.SSH.Timeout = 2, 0 },
			sshguest.ErrLoginRefused, []string{"2 times"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := sshguest.Connect(t.Context(), config(tc.change), at(refusing), nil)
			if !errors.Is(err, tc.want) {
				t.Fatalf("got %v, want %v", err, tc.want)
			}
			for _, part := range tc.text {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
			if strings.Contains(err.Error(), "pw") {
				t.Errorf("%q shows the password", err)
			}
		})
	}
}

// timesOut connects with time limits that grow until the last thing seen is the one wanted: a short limit may be over
// before a slow machine has seen anything. It returns the last limit too.
func timesOut(t *testing.T, find sshguest.Finder, change func(*sshguest.Config, schema.Duration), want sshguest.Kind) (time.Duration, error) {
	t.Helper()
	for limit := 300 * time.Millisecond; ; limit *= 10 {
		cfg := config(func(c *sshguest.Config) { change(c, schema.Duration(limit)) })
		_, err := sshguest.Connect(t.Context(), cfg, find, nil)
		var failed *sshguest.ConnectError
		if !errors.Is(err, sshguest.ErrTimeout) || !errors.As(err, &failed) {
			t.Fatalf("got %v, want a time-out", err)
		}
		if failed.Last.Kind == want {
			return limit, err
		}
		if limit > time.Minute {
			t.Fatalf("got %v, want that the last thing seen is %q", err, want)
		}
	}
}

func TestTimeoutTellsWhatItSaw(t *testing.T) {
	t.Parallel()
	refusing := sshtest.Start(t, sshtest.Options{Password: "other"})
	for name, change := range map[string]func(*sshguest.Config, schema.Duration){
		"ssh_timeout": func(c *sshguest.Config, limit schema.Duration) { c.SSH.Timeout, c.SSH.HandshakeAttempts = limit, 1000 },
		"its old name": func(c *sshguest.Config, limit schema.Duration) {
			c.SSH.Timeout, c.SSH.WaitTimeout, c.SSH.HandshakeAttempts = 0, limit, 1000
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			limit, err := timesOut(t, at(refusing), change, sshguest.LoginRefused)
			for _, part := range []string{limit.String() + " (ssh_timeout)", "login refused"} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
		})
	}
}

func TestRefusalsCountForEachServer(t *testing.T) {
	t.Parallel()
	installer := sshtest.Start(t, sshtest.Options{Password: "installer"})
	target := sshtest.Start(t, sshtest.Options{Password: "pw", RefuseLogins: 1})
	asked := 0
	find := func(context.Context) (string, error) {
		if asked++; asked <= 2 {
			return installer.Addr, nil
		}
		return target.Addr, nil
	}
	g, err := sshguest.Connect(t.Context(), config(func(c *sshguest.Config) { c.SSH.HandshakeAttempts = 3; c.Poll = 100 * time.Millisecond }), find, nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = g.Close()
}

func TestOtherProtocolOnThePort(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("220 mail ready\r\n"))
			_ = c.Close()
		}
	}()
	find := func(context.Context) (string, error) { return l.Addr().String(), nil }
	timesOut(t, find, func(c *sshguest.Config, limit schema.Duration) { c.SSH.Timeout = limit }, sshguest.NoBanner)
}

func TestHostKeyIsPinned(t *testing.T) {
	t.Parallel()
	srv := sshtest.Start(t, sshtest.Options{Password: "pw"})
	g := connect(t, srv, nil)
	srv.SwapHostKey()
	srv.Drop()
	if _, err := g.Run(t.Context(), provisioners.Command{Line: "true"}); !errors.Is(err, sshguest.ErrHostKeyChanged) {
		t.Fatalf("another server was taken for the guest: %v", err)
	}
	g.PlanReboot()
	if status, err := g.Run(t.Context(), provisioners.Command{Line: "exit 2"}); status != 2 || err != nil {
		t.Fatalf("after a planned reboot: %d, %v", status, err)
	}
	srv.SwapHostKey()
	srv.Drop()
	if _, err := g.Run(t.Context(), provisioners.Command{Line: "true"}); !errors.Is(err, sshguest.ErrHostKeyChanged) {
		t.Fatalf("the plan was good for two reboots: %v", err)
	}
}

func TestReconnectWaitsForAReboot(t *testing.T) {
	t.Parallel()
	srv := sshtest.Start(t, sshtest.Options{Password: "pw"})
	s := newSeen()
	g, err := sshguest.Connect(t.Context(), config(nil), at(srv), s.report)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if err := srv.Stop(); err != nil {
		t.Fatal(err)
	}
	back := make(chan error, 1)
	go func() {
		s.await(t, sshguest.Refused)
		back <- srv.Resume()
	}()
	if status, err := g.Run(t.Context(), provisioners.Command{Line: "exit 3"}); status != 3 || err != nil {
		t.Errorf("%d, %v", status, err)
	}
	if err := <-back; err != nil {
		t.Error(err)
	}
}

func TestPauseBeforeConnectingLogsInAgain(t *testing.T) {
	t.Parallel()
	srv := sshtest.Start(t, sshtest.Options{Password: "pw"})
	g := connect(t, srv, func(c *sshguest.Config) { c.PauseBeforeConnecting = time.Millisecond })
	if _, err := g.Run(t.Context(), provisioners.Command{Line: "true"}); err != nil {
		t.Fatal(err)
	}
	if srv.Logins() != 2 {
		t.Errorf("%d logins, want 2", srv.Logins())
	}
}
