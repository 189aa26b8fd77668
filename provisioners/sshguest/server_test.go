package sshguest_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/boxkiln/boxkiln/internal/schema"
	"github.com/boxkiln/boxkiln/internal/sshtest"
	"github.com/boxkiln/boxkiln/provisioners"
	"github.com/boxkiln/boxkiln/provisioners/sshguest"
)

func TestTheInstallersServerIsToldFromTheSystems(t *testing.T) {
	t.Parallel()
	installer := sshtest.Start(t, sshtest.Options{Password: "installer", Version: "SSH-2.0-dropbear_2022.83"})
	system := sshtest.Start(t, sshtest.Options{Password: "pw", Version: "SSH-2.0-OpenSSH_9.2p1 Debian-2"})
	var addr atomic.Value
	addr.Store(installer.Addr)
	find := func(context.Context) (string, error) { return addr.Load().(string), nil }
	s := newSeen()
	done := connectInBackground(t.Context(), config(func(c *sshguest.Config) { c.SSH.HandshakeAttempts = 1 << 30 }), find, s)
	s.await(t, sshguest.LoginRefused)
	if err := installer.Stop(); err != nil {
		t.Fatal(err)
	}
	s.await(t, sshguest.Refused)
	addr.Store(system.Addr)
	const want = "port 22: another SSH server answers now: the installed system, it seems (was dropbear_2022.83, is OpenSSH_9.2p1 Debian-2)"
	if o := s.await(t, sshguest.ServerChanged); o.String() != want {
		t.Errorf("got %q, want %q", o, want)
	}
	s.await(t, sshguest.LoggedIn)
	c := <-done
	if c.err != nil {
		t.Fatal(c.err)
	}
	defer c.guest.Close()
	changes := slices.DeleteFunc(s.kinds(), func(k sshguest.Kind) bool { return k != sshguest.ServerChanged })
	if len(changes) != 1 {
		t.Errorf("saw %v", s.kinds())
	}
}

func TestAnotherHostKeyIsSeenWithoutALogin(t *testing.T) {
	t.Parallel()
	srv := sshtest.Start(t, sshtest.Options{Password: "other", Version: "SSH-2.0-OpenSSH_9.2"})
	s, old := newSeen(), srv.HostKey()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := connectInBackground(ctx, config(func(c *sshguest.Config) { c.SSH.HandshakeAttempts = 1 << 30 }), at(srv), s)
	s.await(t, sshguest.LoginRefused)
	srv.SwapHostKey()
	o := s.await(t, sshguest.ServerChanged)
	for _, part := range []string{"was OpenSSH_9.2 with host key " + ssh.FingerprintSHA256(old), "is OpenSSH_9.2 with host key " + ssh.FingerprintSHA256(srv.HostKey())} {
		if !strings.Contains(o.String(), part) {
			t.Errorf("%q does not say %q", o, part)
		}
	}
	s.await(t, sshguest.LoginRefused) // of the other server, although it offers the same
	cancel()
	if c := <-done; !errors.Is(c.err, context.Canceled) {
		t.Error(c.err)
	}
}

// known is what an earlier login told of a server's key.
func known(srv *sshtest.Server) string { return string(ssh.MarshalAuthorizedKey(srv.HostKey())) }

func TestAKnownHostKey(t *testing.T) {
	t.Parallel()
	srv := sshtest.Start(t, sshtest.Options{Password: "pw"})
	g := connect(t, srv, nil)
	key := g.HostKey()
	if key != strings.TrimSpace(known(srv)) {
		t.Errorf("told the host key %q, want %q", key, known(srv))
	}
	same := connect(t, srv, func(c *sshguest.Config) { c.HostKey, c.PauseBeforeConnecting = key, time.Hour })
	if status, err := same.Run(t.Context(), provisioners.Command{Line: "exit 4"}); status != 4 || err != nil {
		t.Errorf("%d, %v", status, err)
	}
	old := srv.HostKey()
	srv.SwapHostKey()
	s := newSeen()
	_, err := sshguest.Connect(t.Context(), config(func(c *sshguest.Config) { c.HostKey = key }), at(srv), s.report)
	if !errors.Is(err, sshguest.ErrHostKeyChanged) {
		t.Fatalf("another machine was taken for the guest: %v", err)
	}
	for _, part := range []string{"another machine or system answers", ssh.FingerprintSHA256(old), ssh.FingerprintSHA256(srv.HostKey())} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
	if n := srv.Logins(); n != 2 {
		t.Errorf("%d logins: the password was shown to another machine", n)
	}
	if _, err := sshguest.Connect(t.Context(), config(func(c *sshguest.Config) { c.HostKey = "ssh-ed25519 nonsense" }), at(srv), nil); err == nil || !strings.Contains(err.Error(), "authorized_keys") {
		t.Errorf("a host key that is none: %v", err)
	}
}

// TestAReadyServerIsNotWaitedFor would hang if anything but the first try led to the login.
func TestAReadyServerIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	srv := sshtest.Start(t, sshtest.Options{Password: "pw"})
	for name, hostKey := range map[string]string{"known": known(srv), "unknown": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var dials atomic.Int32
			connect(t, srv, func(c *sshguest.Config) {
				c.HostKey, c.Poll = hostKey, 24*time.Hour
				c.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
					dials.Add(1)
					return (&net.Dialer{}).DialContext(ctx, network, addr)
				}
			})
			if n := dials.Load(); n != 1 {
				t.Errorf("%d tries", n)
			}
		})
	}
}

// tries counts the tries that Connect has made, in bubble time, at the moments asked for.
func tries(t *testing.T, cfg sshguest.Config, dial func(context.Context) error, at ...time.Duration) []int32 {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var dials atomic.Int32
	cfg.SSH.Timeout = schema.Duration(24 * time.Hour)
	cfg.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
		dials.Add(1)
		return nil, dial(ctx)
	}
	done := connectInBackground(ctx, cfg, func(context.Context) (string, error) { return "127.0.0.1:22", nil }, newSeen())
	var counts []int32
	began := time.Now()
	for _, d := range at {
		time.Sleep(d - time.Since(began)) // in a bubble
		synctest.Wait()
		counts = append(counts, dials.Load())
	}
	cancel()
	if c := <-done; !errors.Is(c.err, context.Canceled) {
		t.Error(c.err)
	}
	return counts
}

func TestAKnownGuestIsTriedInHaste(t *testing.T) {
	t.Parallel()
	key := string(ssh.MarshalAuthorizedKey(sshtest.NewKey().PublicKey()))
	refused := func(context.Context) error { return syscall.ECONNREFUSED }
	lost := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() } // for 15 s
	for name, tc := range map[string]struct {
		hostKey string
		dial    func(context.Context) error
		at      []time.Duration
		want    []int32
	}{
		"refused":         {key, refused, []time.Duration{0, 101 * time.Millisecond, 10 * time.Second}, []int32{1, 3, 101}},
		"refused, longer": {key, refused, []time.Duration{64 * time.Second, 66 * time.Second}, []int32{101, 102}},
		"unknown":         {"", refused, []time.Duration{0, 59 * time.Second, 61 * time.Second}, []int32{1, 1, 2}},
		// A try that hangs gets no company but that of the next Poll.
		"no answer": {key, lost, []time.Duration{14 * time.Second, 15*time.Second + 60*time.Millisecond}, []int32{1, 2}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				got := tries(t, config(func(c *sshguest.Config) { c.HostKey, c.Poll = tc.hostKey, time.Minute }), tc.dial, tc.at...)
				if !slices.Equal(got, tc.want) {
					t.Errorf("%d tries at %s, want %d", got, tc.at, tc.want)
				}
			})
		})
	}
}
