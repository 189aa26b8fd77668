package sshguest_test

import (
	"context"
	"io"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/boxkiln/boxkiln/internal/leaktest"
	"github.com/boxkiln/boxkiln/internal/schema"
	"github.com/boxkiln/boxkiln/internal/sshtest"
	"github.com/boxkiln/boxkiln/provisioners"
	"github.com/boxkiln/boxkiln/provisioners/guesttest"
	"github.com/boxkiln/boxkiln/provisioners/sshguest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// config logs in to srv quickly.
func config(change func(*sshguest.Config)) sshguest.Config {
	cfg := sshguest.Config{
		SSH:  provisioners.SSHArgs{Username: "root", Password: "pw", Timeout: schema.Duration(5 * time.Minute)},
		Poll: 10 * time.Millisecond, Patience: time.Hour,
	}
	if change != nil {
		change(&cfg)
	}
	return cfg
}

func at(srv *sshtest.Server) sshguest.Finder {
	return func(context.Context) (string, error) { return srv.Addr, nil }
}

// seen collects observations.
type seen struct {
	mu  sync.Mutex
	all []sshguest.Observation
	ch  chan sshguest.Observation
}

func newSeen() *seen { return &seen{ch: make(chan sshguest.Observation, 100)} }

func (s *seen) report(o sshguest.Observation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, o)
	s.ch <- o
}

func (s *seen) kinds() []sshguest.Kind {
	s.mu.Lock()
	defer s.mu.Unlock()
	var kinds []sshguest.Kind
	for _, o := range s.all {
		kinds = append(kinds, o.Kind)
	}
	return kinds
}

func (s *seen) await(t *testing.T, k sshguest.Kind) sshguest.Observation {
	t.Helper()
	for {
		select {
		case o := <-s.ch:
			if o.Kind == k {
				return o
			}
		case <-time.After(5 * time.Minute):
			t.Fatalf("never saw %q; saw %v", k, s.kinds())
		}
	}
}

func connect(t *testing.T, srv *sshtest.Server, change func(*sshguest.Config)) *sshguest.Guest {
	t.Helper()
	g, err := sshguest.Connect(t.Context(), config(change), at(srv), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close() })
	return g
}

func TestConformance(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		opts   sshtest.Options
		method string
		pty    bool
	}{
		"sftp":           {},
		"root":           {opts: sshtest.Options{NoSignals: true}},
		"no sftp":        {opts: sshtest.Options{NoSFTP: true}},
		"scp":            {opts: sshtest.Options{NoSFTP: true}, method: "scp"},
		"scp without it": {opts: sshtest.Options{NoSFTP: true, Env: []string{"PATH=" + busyPath(t)}}, method: "scp"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			guesttest.Run(t, func(t *testing.T) guesttest.Subject {
				opts := tc.opts
				opts.Password = "pw"
				srv := sshtest.Start(t, opts)
				g := connect(t, srv, func(c *sshguest.Config) { c.SSH.FileTransferMethod = tc.method })
				return guesttest.Subject{Guest: g, Dir: t.TempDir(), Drop: srv.Drop}
			})
		})
	}
}

func TestTunnels(t *testing.T) {
	t.Parallel()
	srv, inner := sshtest.Start(t, sshtest.Options{Password: "pw"}), sshtest.Start(t, sshtest.Options{NoAuth: true})
	local, remote := freePort(t), freePort(t)
	g := connect(t, srv, func(c *sshguest.Config) {
		c.SSH.LocalTunnels = []string{strconv.Itoa(local) + ":" + inner.Addr}
		c.SSH.RemoteTunnels = []string{strconv.Itoa(remote) + ":" + inner.Addr}
	})
	for _, port := range []int{local, remote} {
		c, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 4)
		if _, err := io.ReadFull(c, b); err != nil || string(b) != "SSH-" {
			t.Errorf("port %d: %q, %v", port, b, err)
		}
		_ = c.Close()
	}
	if err := g.Close(); err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(local))); err == nil {
		t.Error("the tunnel outlived the guest")
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func TestGenerateKey(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		typ  string
		bits int
		want string
	}{{"", 0, ssh.KeyAlgoED25519}, {"ed25519", 0, ssh.KeyAlgoED25519}, {"rsa", 2048, ssh.KeyAlgoRSA}, {"ecdsa", 256, ssh.KeyAlgoECDSA256}, {"ecdsa", 0, ssh.KeyAlgoECDSA521}} {
		pair, err := sshguest.GenerateKey(tc.typ, tc.bits)
		if err != nil {
			t.Fatal(err)
		}
		private, err := ssh.ParsePrivateKey(pair.PrivatePEM)
		if err != nil {
			t.Fatal(err)
		}
		public, _, _, _, err := ssh.ParseAuthorizedKey([]byte(pair.AuthorizedKey))
		if err != nil || public.Type() != tc.want || string(public.Marshal()) != string(private.PublicKey().Marshal()) {
			t.Errorf("%s: %s, %v", tc.typ, pair.AuthorizedKey, err)
		}
	}
	for typ, bits := range map[string]int{"dsa": 0, "rsa": 512, "ecdsa": 100} {
		if _, err := sshguest.GenerateKey(typ, bits); err == nil {
			t.Errorf("%s with %d bits was made", typ, bits)
		}
	}
}
