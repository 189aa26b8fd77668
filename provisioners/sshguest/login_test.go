package sshguest_test

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
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
	network := make(gate)
	g := connect(t, srv, func(c *sshguest.Config) {
		c.SSH.KeepAliveInterval = schema.Duration(50 * time.Millisecond)
		c.Dial = network.dial
	})
	running, done := make(chan struct{}), make(chan struct{})
	defer close(done)
	go func() {
		select {
		case <-running:
			close(network)
		case <-done: // a machine too slow for keep-alives has ended the connection before
		}
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
