package sshtest_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/boxkiln/boxkiln/internal/leaktest"
	"github.com/boxkiln/boxkiln/internal/sshtest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func dial(t *testing.T, s *sshtest.Server, auth ...ssh.AuthMethod) *ssh.Client {
	t.Helper()
	c, err := ssh.Dial("tcp", s.Addr, &ssh.ClientConfig{
		User: "root", Auth: auth, HostKeyCallback: ssh.FixedHostKey(s.HostKey()),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func session(t *testing.T, c *ssh.Client) *ssh.Session {
	t.Helper()
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestCommandsRunBySh(t *testing.T) {
	t.Parallel()
	srv := sshtest.Start(t, sshtest.Options{Password: "pw", Env: []string{"COLOUR=blue"}})
	c := dial(t, srv, ssh.Password("pw"))
	s := session(t, c)
	var out, errOut bytes.Buffer
	s.Stdin, s.Stdout, s.Stderr = strings.NewReader("in"), &out, &errOut
	err := s.Run(`cat; echo " $COLOUR"; pwd; echo oops >&2; exit 3`)
	var exit *ssh.ExitError
	if !errors.As(err, &exit) || exit.ExitStatus() != 3 {
		t.Fatalf("want exit status 3, got %v", err)
	}
	if got, want := out.String(), "in blue\n"+srv.Root+"\n"; got != want || errOut.String() != "oops\n" {
		t.Errorf("got %q and %q, want %q", got, errOut.String(), want)
	}
}

func TestQuickCommandsKeepTheirStatus(t *testing.T) {
	t.Parallel()
	c := dial(t, sshtest.Start(t, sshtest.Options{NoAuth: true}))
	for range 30 {
		if err := session(t, c).Run("true"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLogins(t *testing.T) {
	t.Parallel()
	user, ca := sshtest.NewKey(), sshtest.NewKey()
	cert := &ssh.Certificate{Key: user.PublicKey(), CertType: ssh.UserCert, ValidBefore: ssh.CertTimeInfinity, ValidPrincipals: []string{"root"}}
	if err := cert.SignCert(strings.NewReader(strings.Repeat("x", 99)), ca); err != nil {
		t.Fatal(err)
	}
	certified, err := ssh.NewCertSigner(cert, user)
	if err != nil {
		t.Fatal(err)
	}
	answer := ssh.KeyboardInteractive(func(_, _ string, q []string, _ []bool) ([]string, error) {
		return []string{"pw"}[:len(q)], nil
	})
	keys := []ssh.PublicKey{user.PublicKey()}
	for name, tc := range map[string]struct {
		opts sshtest.Options
		auth []ssh.AuthMethod
		ok   bool
	}{
		"password":           {sshtest.Options{Password: "pw"}, []ssh.AuthMethod{ssh.Password("pw")}, true},
		"wrong password":     {sshtest.Options{Password: "pw"}, []ssh.AuthMethod{ssh.Password("no")}, false},
		"interactive":        {sshtest.Options{Password: "pw", Interactive: true}, []ssh.AuthMethod{answer}, true},
		"key":                {sshtest.Options{AuthorizedKeys: keys}, []ssh.AuthMethod{ssh.PublicKeys(user)}, true},
		"wrong key":          {sshtest.Options{AuthorizedKeys: keys}, []ssh.AuthMethod{ssh.PublicKeys(ca)}, false},
		"certificate":        {sshtest.Options{UserCA: ca.PublicKey()}, []ssh.AuthMethod{ssh.PublicKeys(certified)}, true},
		"no credential":      {sshtest.Options{}, []ssh.AuthMethod{ssh.Password("")}, false},
		"none":               {sshtest.Options{NoAuth: true}, nil, true},
		"wrong user":         {sshtest.Options{NoAuth: true, User: "admin"}, nil, false},
		"refused once":       {sshtest.Options{NoAuth: true, RefuseLogins: 1}, nil, false},
		"uncertified by key": {sshtest.Options{AuthorizedKeys: keys}, []ssh.AuthMethod{ssh.PublicKeys(certified)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := sshtest.Start(t, tc.opts)
			c, err := ssh.Dial("tcp", srv.Addr, &ssh.ClientConfig{User: "root", Auth: tc.auth, HostKeyCallback: ssh.FixedHostKey(srv.HostKey())})
			if (err == nil) != tc.ok {
				t.Fatalf("login: %v", err)
			}
			if err == nil {
				_ = c.Close()
			}
		})
	}
}

func TestSFTP(t *testing.T) {
	t.Parallel()
	srv := sshtest.Start(t, sshtest.Options{NoAuth: true})
	c, err := sftp.NewClient(dial(t, srv))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	f, err := c.Create("hello")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte("world")); err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	if got, err := os.ReadFile(filepath.Join(srv.Root, "hello")); err != nil || string(got) != "world" {
		t.Fatalf("%q, %v", got, err)
	}
	off := sshtest.Start(t, sshtest.Options{NoAuth: true, NoSFTP: true})
	if _, err := sftp.NewClient(dial(t, off)); err == nil {
		t.Error("SFTP answered though it was switched off")
	}
}

func TestSignalsAndClosedChannelsEndCommands(t *testing.T) {
	t.Parallel()
	c := dial(t, sshtest.Start(t, sshtest.Options{NoAuth: true}))
	s := session(t, c)
	if err := s.Start("sleep 1000"); err != nil {
		t.Fatal(err)
	}
	if err := s.Signal(ssh.SIGTERM); err != nil {
		t.Fatal(err)
	}
	var exit *ssh.ExitError
	if err := s.Wait(); !errors.As(err, &exit) || exit.Signal() != "TERM" {
		t.Errorf("got %v", err)
	}
	s = session(t, c)
	if err := s.Start("sleep 1000"); err != nil {
		t.Fatal(err)
	}
	_ = s.Close() // the server's Close at the end of the test would wait for the command
}

func TestHandlerAndTerminal(t *testing.T) {
	t.Parallel()
	srv := sshtest.Start(t, sshtest.Options{NoAuth: true, Handler: func(c *sshtest.Command) int {
		_, _ = io.WriteString(c.Stdout, c.Line+" "+strings.Join(c.Env, " "))
		return 7
	}})
	s := session(t, dial(t, srv))
	if err := s.RequestPty("vt100", 24, 80, nil); err != nil {
		t.Fatal(err)
	}
	out, err := s.Output("hello")
	var exit *ssh.ExitError
	if !errors.As(err, &exit) || exit.ExitStatus() != 7 || !strings.HasPrefix(string(out), "hello ") || !strings.Contains(string(out), "TERM=vt100") {
		t.Errorf("got %q, %v", out, err)
	}
}

func TestDropStopAndResume(t *testing.T) {
	t.Parallel()
	srv := sshtest.Start(t, sshtest.Options{NoAuth: true, DropOn: func(l string) bool { return l == "reboot" }})
	if err := session(t, dial(t, srv)).Run("reboot"); err == nil {
		t.Error("the connection outlived a command that drops it")
	}
	c := dial(t, srv)
	s := session(t, c)
	if err := s.Start("sleep 1000"); err != nil {
		t.Fatal(err)
	}
	old := srv.HostKey()
	if err := srv.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := s.Wait(); err == nil {
		t.Error("the command outlived Stop")
	}
	if _, err := net.Dial("tcp", srv.Addr); err == nil {
		t.Error("the port is open after Stop")
	}
	srv.SwapHostKey()
	if err := srv.Resume(); err != nil {
		t.Fatal(err)
	}
	if err := session(t, dial(t, srv)).Run("true"); err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(old.Marshal(), srv.HostKey().Marshal()) || srv.Logins() != 3 {
		t.Errorf("%d logins, or the same key", srv.Logins())
	}
}

func TestLateBannerDoesNotHoldClose(t *testing.T) {
	t.Parallel()
	srv := sshtest.Start(t, sshtest.Options{NoAuth: true, BannerDelay: time.Hour})
	c, err := net.Dial("tcp", srv.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
}

func TestForwards(t *testing.T) {
	t.Parallel()
	inner := sshtest.Start(t, sshtest.Options{NoAuth: true})
	c := dial(t, sshtest.Start(t, sshtest.Options{NoAuth: true}))
	banner := func(addr string, dial func(network, addr string) (net.Conn, error)) {
		t.Helper()
		conn, err := dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		b := make([]byte, 4)
		if _, err := io.ReadFull(conn, b); err != nil || string(b) != "SSH-" {
			t.Errorf("%q, %v", b, err)
		}
	}
	banner(inner.Addr, c.Dial)
	l, err := c.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		if conn, err := l.Accept(); err == nil {
			_, _ = io.WriteString(conn, "SSH-")
			_ = conn.Close()
		}
	}()
	banner(l.Addr().String(), net.Dial)
}

func TestAgentForwarding(t *testing.T) {
	t.Parallel()
	c := dial(t, sshtest.Start(t, sshtest.Options{NoAuth: true}))
	if err := agent.ForwardToAgent(c, agent.NewKeyring()); err != nil {
		t.Fatal(err)
	}
	s := session(t, c)
	if err := agent.RequestAgentForwarding(s); err != nil {
		t.Fatal(err)
	}
	if out, err := s.CombinedOutput("ssh-add -l"); !strings.Contains(string(out), "no identities") {
		t.Errorf("%q, %v", out, err)
	}
}
