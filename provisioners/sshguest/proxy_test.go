package sshguest_test

import (
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/boxkiln/boxkiln/internal/schema"
	"github.com/boxkiln/boxkiln/internal/sshtest"
	"github.com/boxkiln/boxkiln/provisioners"
	"github.com/boxkiln/boxkiln/provisioners/sshguest"
)

// socks serves SOCKS5 (RFC 1928, 1929) with a user and password to one address, and counts connections.
type socks struct {
	l      net.Listener
	target string
	wg     sync.WaitGroup
	mu     sync.Mutex
	served int
}

func startSocks(t *testing.T, target string) *socks {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &socks{l: l, target: target}
	s.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.wg.Go(func() {
				defer c.Close()
				_ = s.serve(c)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		s.wg.Wait()
	})
	return s
}

func (s *socks) serve(c net.Conn) error {
	read := func(n int) []byte {
		b := make([]byte, n)
		_, _ = io.ReadFull(c, b)
		return b
	}
	read(int(read(2)[1])) // methods
	if _, err := c.Write([]byte{5, 2}); err != nil {
		return err
	}
	user := string(read(int(read(2)[1])))
	password := string(read(int(read(1)[0])))
	if user != "me" || password != "proxy secret" {
		_, err := c.Write([]byte{1, 1})
		return err
	}
	if _, err := c.Write([]byte{1, 0}); err != nil {
		return err
	}
	read(4 + 4 + 2) // connect to an IPv4 address and port, which is known
	to, err := net.Dial("tcp", s.target)
	if err != nil {
		return err
	}
	defer to.Close()
	if _, err := c.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0}); err != nil {
		return err
	}
	s.mu.Lock()
	s.served++
	s.mu.Unlock()
	s.wg.Go(func() {
		_, _ = io.Copy(to, c)
		_ = to.Close()
	})
	_, err = io.Copy(c, to)
	return err
}

func TestProxy(t *testing.T) {
	t.Parallel()
	srv := sshtest.Start(t, sshtest.Options{Password: "pw"})
	proxy := startSocks(t, srv.Addr)
	through := func(password string) func(*sshguest.Config) {
		return func(c *sshguest.Config) {
			host, port, _ := net.SplitHostPort(proxy.l.Addr().String())
			c.Bastion = provisioners.BastionArgs{ProxyHost: host, ProxyPort: atoi(t, port), ProxyUsername: "me", ProxyPassword: password}
		}
	}
	g := connect(t, srv, through("proxy secret"))
	if status, err := g.Run(t.Context(), provisioners.Command{Line: "exit 3"}); status != 3 || err != nil {
		t.Errorf("%d, %v", status, err)
	}
	if err := g.Close(); err != nil {
		t.Error(err)
	}
	proxy.mu.Lock()
	defer proxy.mu.Unlock()
	if proxy.served == 0 {
		t.Error("the proxy was passed by")
	}
}

func TestProxyThatRefuses(t *testing.T) {
	t.Parallel()
	srv := sshtest.Start(t, sshtest.Options{Password: "pw"})
	proxy := startSocks(t, srv.Addr)
	host, port, _ := net.SplitHostPort(proxy.l.Addr().String())
	_, err := timesOut(t, at(srv), func(c *sshguest.Config, limit schema.Duration) {
		c.SSH.Timeout = limit
		c.Bastion = provisioners.BastionArgs{ProxyHost: host, ProxyPort: atoi(t, port), ProxyUsername: "me", ProxyPassword: "wrong one"}
	}, sshguest.Unreachable)
	if strings.Contains(err.Error(), "wrong one") {
		t.Errorf("%q shows the password", err)
	}
}

func TestSilentConnectionsAreEnded(t *testing.T) {
	t.Parallel()
	srv := sshtest.Start(t, sshtest.Options{Password: "pw"})
	g := connectWithSilence(t, srv)
	defer g.Close()
	if _, err := g.Run(t.Context(), provisioners.Command{Line: "sleep 1000"}); !errors.Is(err, provisioners.ErrDisconnected) {
		t.Errorf("got %v, want ErrDisconnected", err)
	}
}

// connectWithSilence connects with the shortest limit on silence under which this machine is fast enough to log in.
func connectWithSilence(t *testing.T, srv *sshtest.Server) *sshguest.Guest {
	t.Helper()
	for silence := 300 * time.Millisecond; ; silence *= 10 {
		g, err := sshguest.Connect(t.Context(), config(func(c *sshguest.Config) {
			c.SSH.KeepAliveInterval = schema.Duration(-time.Second)
			c.SSH.ReadWriteTimeout = schema.Duration(silence)
			c.SSH.Timeout = schema.Duration(10 * silence)
		}), at(srv), nil)
		if err == nil {
			return g
		}
		if silence > 10*time.Second {
			t.Fatal(err)
		}
	}
}
