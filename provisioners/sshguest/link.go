package sshguest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/boxkiln/boxkiln/provisioners"
)

// link is one logged-in connection with all that hangs on it.
type link struct {
	*ssh.Client
	gone    chan struct{} // closed when the connection has ended
	agent   bool          // the agent is forwarded to commands
	running atomic.Int32  // commands at this moment
	wg      sync.WaitGroup
}

// newLink starts keep-alives, agent and tunnels on a connection.
func newLink(client *ssh.Client, cfg Config) (*link, error) {
	l := &link{Client: client, gone: make(chan struct{})}
	l.wg.Go(func() {
		_ = client.Wait()
		close(l.gone)
	})
	interval := defaultKeepAlive
	if cfg.SSH.KeepAliveInterval != 0 {
		interval = time.Duration(cfg.SSH.KeepAliveInterval)
	}
	if interval > 0 {
		l.wg.Go(func() { l.keepAlive(interval) })
	}
	if cfg.AgentSocket != "" && !cfg.SSH.DisableAgentForwarding {
		l.agent = agent.ForwardToRemote(client, cfg.AgentSocket) == nil
	}
	if err := l.openTunnels(cfg); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// keepAlive asks for a reply at each interval, and ends a connection that owes too many.
func (l *link) keepAlive(interval time.Duration) {
	dead := time.AfterFunc(keepAlivesMissed*interval, func() { _ = l.Client.Close() })
	defer dead.Stop()
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-l.gone:
			return
		case <-tick.C:
		}
		if _, _, err := l.SendRequest("keepalive@openssh.com", true, nil); err != nil {
			return
		}
		dead.Reset(keepAlivesMissed * interval)
	}
}

func (l *link) dead() bool {
	select {
	case <-l.gone:
		return true
	default:
		return false
	}
}

// session opens a session. It does not trust NewSession to return: a server that does not answer holds it up, and so
// does a connection that ends just then, since x/crypto's mux forgets a channel that is opened while it shuts down.
func (l *link) session(ctx context.Context) (*ssh.Session, error) {
	type result struct {
		s   *ssh.Session
		err error
	}
	opened := make(chan result, 1)
	go func() {
		s, err := l.NewSession()
		opened <- result{s, err}
	}()
	select {
	case r := <-opened:
		return r.s, r.err
	case <-l.gone:
		return nil, io.EOF
	case <-ctx.Done():
		_ = l.Client.Close() // ends NewSession
		return nil, context.Cause(ctx)
	}
}

// lost gives the connection up after an error, which it marks as the connection's.
func (l *link) lost(err error) error {
	_ = l.Client.Close()
	<-l.gone // so that the next call does not use what is just ending
	if err == nil || hungUp(err) || errors.Is(err, net.ErrClosed) {
		return provisioners.ErrDisconnected
	}
	return fmt.Errorf("%w: %w", provisioners.ErrDisconnected, err)
}

// Close ends the connection and waits for all that hung on it.
func (l *link) Close() error {
	err := l.Client.Close()
	l.wg.Wait()
	if errors.Is(err, net.ErrClosed) || errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// tunnel is ssh_local_tunnels or ssh_remote_tunnels: a port that is listened on at one side, and where the other side
// connects to.
type tunnel struct {
	port   int
	target string // host:port
}

// parseTunnel reads PORT:HOST:PORT. Source of the form: packer-plugin-sdk communicator/ssh/tunnel.go.
func parseTunnel(s string) (tunnel, error) {
	bad := fmt.Errorf("tunnel %q is not of the form PORT:HOST:PORT, such as \"8080:localhost:80\"", s)
	listen, target, found := strings.Cut(s, ":")
	if !found {
		return tunnel{}, bad
	}
	host, to, err := net.SplitHostPort(target)
	if err != nil || host == "" || !isPort(listen) || !isPort(to) {
		return tunnel{}, bad
	}
	port, err := strconv.Atoi(listen)
	return tunnel{port: port, target: net.JoinHostPort(host, to)}, err
}

func isPort(s string) bool {
	n, err := strconv.Atoi(s)
	return err == nil && n > 0 && n < 65536
}

func (l *link) openTunnels(cfg Config) error {
	for _, s := range cfg.SSH.LocalTunnels {
		err := l.tunnel(s, net.Listen, l.Client.DialContext)
		if err != nil {
			return fmt.Errorf("ssh_local_tunnels %q: %w", s, err)
		}
	}
	for _, s := range cfg.SSH.RemoteTunnels {
		err := l.tunnel(s, l.Client.Listen, (&net.Dialer{}).DialContext)
		if err != nil {
			return fmt.Errorf("ssh_remote_tunnels %q: %w", s, err)
		}
	}
	return nil
}

type (
	listenFunc func(network, addr string) (net.Listener, error)
	connFunc   func(ctx context.Context, network, addr string) (net.Conn, error)
)

func (l *link) tunnel(s string, listen listenFunc, dial connFunc) error {
	t, err := parseTunnel(s)
	if err != nil {
		return err
	}
	entry, err := listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(t.port)))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.wg.Go(func() {
		<-l.gone
		cancel()
		_ = entry.Close()
	})
	l.wg.Go(func() {
		for {
			from, err := entry.Accept()
			if err != nil {
				return
			}
			l.wg.Go(func() { carry(ctx, from, t.target, dial) })
		}
	})
	return nil
}

// carry copies both ways until one side is done or ctx has ended.
func carry(ctx context.Context, from net.Conn, target string, dial connFunc) {
	defer from.Close()
	to, err := dial(ctx, "tcp", target)
	if err != nil {
		return // the client sees its connection closed, as with a port where nobody listens
	}
	defer to.Close()
	stop := context.AfterFunc(ctx, func() {
		_ = from.Close()
		_ = to.Close()
	})
	defer stop()
	var wg sync.WaitGroup
	half := func(dst, src net.Conn) {
		_, _ = io.Copy(dst, src)
		if w, ok := dst.(interface{ CloseWrite() error }); ok {
			_ = w.CloseWrite()
		}
	}
	wg.Go(func() { half(from, to) })
	wg.Go(func() { half(to, from) })
	wg.Wait()
}
