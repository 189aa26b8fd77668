package sshguest_test

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

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
	want := []sshguest.Kind{sshguest.NoAddress, sshguest.Refused, sshguest.Banner, sshguest.LoginRefused, sshguest.LoggedIn}
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
	done := connectInBackground(ctx, config(nil), at(srv), s)
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
	first := make(chan struct{}, 1)
	first <- struct{}{}
	hanging := config(func(c *sshguest.Config) {
		c.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			select {
			case <-first: // packets go nowhere
				<-ctx.Done()
				return nil, ctx.Err()
			default:
				return (&net.Dialer{}).DialContext(ctx, network, addr)
			}
		}
	})
	began := time.Now()
	g, err := sshguest.Connect(t.Context(), hanging, at(srv), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v", took)
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
		"timeout": {
			func(c *sshguest.Config) {
				c.SSH.Timeout = schema.Duration(300 * time.Millisecond)
				c.SSH.HandshakeAttempts = 1000
			},
			sshguest.ErrTimeout, []string{"300ms (ssh_timeout)", "login refused"},
		},
		"old name of the timeout": {
			func(c *sshguest.Config) {
				c.SSH.Timeout, c.SSH.WaitTimeout, c.SSH.HandshakeAttempts = 0, schema.Duration(200*time.Millisecond), 1000
			},
			sshguest.ErrTimeout, []string{"200ms"},
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
	_, err = sshguest.Connect(t.Context(), config(func(c *sshguest.Config) { c.SSH.Timeout = schema.Duration(200 * time.Millisecond) }), find, nil)
	var failed *sshguest.ConnectError
	if !errors.As(err, &failed) || failed.Last.Kind != sshguest.NoBanner {
		t.Errorf("got %v", err)
	}
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

// fileSet is the files that a template named.
type fileSet fstest.MapFS

func (f fileSet) Open(path string) (fs.File, error) { return fstest.MapFS(f).Open(path) }
func (f fileSet) Dir(path string) (fs.FS, error)    { return fs.Sub(fstest.MapFS(f), path) }

func TestWaysToLogIn(t *testing.T) {
	t.Parallel()
	pair, err := sshguest.GenerateKey("", 0)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.ParsePrivateKey(pair.PrivatePEM)
	if err != nil {
		t.Fatal(err)
	}
	ca := sshtest.NewKey()
	cert := &ssh.Certificate{Key: signer.PublicKey(), CertType: ssh.UserCert, ValidBefore: ssh.CertTimeInfinity, ValidPrincipals: []string{"root"}}
	if err := cert.SignCert(strings.NewReader(strings.Repeat("x", 99)), ca); err != nil {
		t.Fatal(err)
	}
	files := fileSet{"id": {Data: pair.PrivatePEM}, "id-cert.pub": {Data: ssh.MarshalAuthorizedKey(cert)}}
	byKey := sshtest.Options{AuthorizedKeys: []ssh.PublicKey{signer.PublicKey()}}
	for name, tc := range map[string]struct {
		server sshtest.Options
		change func(*sshguest.Config)
	}{
		"password":             {sshtest.Options{Password: "pw"}, nil},
		"keyboard-interactive": {sshtest.Options{Password: "pw", Interactive: true}, nil},
		"none":                 {sshtest.Options{NoAuth: true}, func(c *sshguest.Config) { c.SSH.Password = "" }},
		"temporary key":        {byKey, func(c *sshguest.Config) { c.PrivateKey = pair.PrivatePEM }},
		"key file":             {byKey, func(c *sshguest.Config) { c.Files, c.SSH.PrivateKeyFile = files, "id" }},
		"certificate": {sshtest.Options{UserCA: ca.PublicKey()}, func(c *sshguest.Config) {
			c.Files, c.SSH.PrivateKeyFile, c.SSH.CertificateFile = files, "id", "id-cert.pub"
		}},
		"agent": {byKey, func(c *sshguest.Config) { c.SSH.AgentAuth, c.AgentSocket = true, startAgent(t, pair.PrivatePEM) }},
		"named algorithms": {sshtest.Options{Password: "pw"}, func(c *sshguest.Config) {
			c.SSH.Ciphers, c.SSH.KeyExchangeAlgorithms = []string{"aes128-ctr"}, []string{"curve25519-sha256"}
		}},
		"terminal":               {sshtest.Options{Password: "pw"}, func(c *sshguest.Config) { c.SSH.PTY = true }},
		"ssh_read_write_timeout": {sshtest.Options{Password: "pw"}, func(c *sshguest.Config) { c.SSH.ReadWriteTimeout = schema.Duration(time.Minute) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := connect(t, sshtest.Start(t, tc.server), tc.change)
			if status, err := g.Run(t.Context(), provisioners.Command{Line: "exit 9"}); status != 9 || err != nil {
				t.Errorf("%d, %v", status, err)
			}
		})
	}
}

// startAgent serves a keyring with one key on a socket.
func startAgent(t *testing.T, pem []byte) string {
	t.Helper()
	key, err := ssh.ParseRawPrivateKey(pem)
	if err != nil {
		t.Fatal(err)
	}
	ring := agent.NewKeyring()
	if err := ring.Add(agent.AddedKey{PrivateKey: key}); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "agent") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = l.Close()
		_ = os.RemoveAll(dir)
	})
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_ = agent.ServeAgent(ring, c)
				_ = c.Close()
			}()
		}
	}()
	return path
}

func TestAgentIsForwarded(t *testing.T) {
	t.Parallel()
	pair, err := sshguest.GenerateKey("", 0)
	if err != nil {
		t.Fatal(err)
	}
	socket := startAgent(t, pair.PrivatePEM)
	srv := sshtest.Start(t, sshtest.Options{Password: "pw"})
	for _, disabled := range []bool{false, true} {
		g := connect(t, srv, func(c *sshguest.Config) { c.AgentSocket, c.SSH.DisableAgentForwarding = socket, disabled })
		status, err := g.Run(t.Context(), provisioners.Command{Line: "ssh-add -l"})
		if err != nil || (status == 0) == disabled {
			t.Errorf("forwarding disabled: %v, ssh-add: %d, %v", disabled, status, err)
		}
	}
}

func TestBastion(t *testing.T) {
	t.Parallel()
	bastion := sshtest.Start(t, sshtest.Options{Password: "jump"})
	host, port, _ := net.SplitHostPort(bastion.Addr)
	srv := sshtest.Start(t, sshtest.Options{Password: "pw"})
	through := func(password string) func(*sshguest.Config) {
		return func(c *sshguest.Config) {
			c.Bastion = provisioners.BastionArgs{Host: host, Port: atoi(t, port), Username: "jumper", Password: password}
		}
	}
	g := connect(t, srv, through("jump"))
	if status, err := g.Run(t.Context(), provisioners.Command{Line: "exit 4"}); status != 4 || err != nil {
		t.Errorf("%d, %v", status, err)
	}
	bastion.Drop()
	if status, err := g.Run(t.Context(), provisioners.Command{Line: "exit 5"}); status != 5 || err != nil {
		t.Errorf("after the bastion dropped us: %d, %v", status, err)
	}
	if _, err := sshguest.Connect(t.Context(), config(through("wrong")), at(srv), nil); err == nil || !strings.Contains(err.Error(), "bastion") {
		t.Errorf("wrong password for the bastion: %v", err)
	}
}

func TestDeadConnectionsAreEnded(t *testing.T) {
	t.Parallel()
	srv := sshtest.Start(t, sshtest.Options{Password: "pw"})
	var frozen gate
	g := connect(t, srv, func(c *sshguest.Config) {
		c.SSH.KeepAliveInterval = schema.Duration(5 * time.Millisecond)
		c.Dial = frozen.dial
	})
	running := make(chan struct{})
	go func() {
		<-running
		frozen.freeze()
	}()
	_, err := g.Run(t.Context(), provisioners.Command{Line: "echo; sleep 1000", Stdout: onWrite(func() { close(running) })})
	if !errors.Is(err, provisioners.ErrDisconnected) {
		t.Errorf("got %v, want ErrDisconnected", err)
	}
}

func TestBadConfigurations(t *testing.T) {
	t.Parallel()
	locked := lockedKey(t)
	for name, tc := range map[string]struct {
		change func(*sshguest.Config)
		want   string
	}{
		"no user":       {func(c *sshguest.Config) { c.SSH.Username = "" }, "ssh_username is missing"},
		"bad port":      {func(c *sshguest.Config) { c.SSH.Port = 70000 }, "70000"},
		"bad method":    {func(c *sshguest.Config) { c.SSH.FileTransferMethod = "rsync" }, `"rsync"`},
		"bad cipher":    {func(c *sshguest.Config) { c.SSH.Ciphers = []string{"rot13"} }, `"rot13"`},
		"bad kex":       {func(c *sshguest.Config) { c.SSH.KeyExchangeAlgorithms = []string{"shout"} }, `"shout"`},
		"bad tunnel":    {func(c *sshguest.Config) { c.SSH.LocalTunnels = []string{"80"} }, "PORT:HOST:PORT"},
		"no bastion":    {func(c *sshguest.Config) { c.Bastion.Host = "jump" }, "ssh_bastion_username"},
		"missing key":   {func(c *sshguest.Config) { c.Files, c.SSH.PrivateKeyFile = fileSet{}, "id" }, "ssh_private_key_file"},
		"no key":        {func(c *sshguest.Config) { c.PrivateKey = []byte("secret text") }, "not a private key"},
		"no agent":      {func(c *sshguest.Config) { c.SSH.AgentAuth = true }, "no SSH agent runs"},
		"locked key":    {func(c *sshguest.Config) { c.Files, c.SSH.PrivateKeyFile = fileSet{"id": {Data: []byte(locked)}}, "id" }, "passphrase"},
		"lonely cert":   {func(c *sshguest.Config) { c.SSH.CertificateFile = "c" }, "ssh_private_key_file"},
		"agent is gone": {func(c *sshguest.Config) { c.SSH.AgentAuth, c.AgentSocket = true, "/nonexistent" }, "/nonexistent"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := sshtest.Start(t, sshtest.Options{NoAuth: true})
			_, err := sshguest.Connect(t.Context(), config(tc.change), at(srv), nil)
			if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "secret text") {
				t.Errorf("got %v, want something about %q", err, tc.want)
			}
		})
	}
}
