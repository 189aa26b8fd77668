package sshguest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/net/proxy"
)

// errBastion is for what no waiting mends: a bastion, unlike a guest, is not just being installed.
var errBastion = errors.New("the bastion cannot be used")

// route is the way to the guest: directly, through a SOCKS5 proxy, a bastion, or a bastion behind a proxy.
type route struct {
	cfg     Config
	bastion identity

	slot chan struct{} // holds one token while nobody touches the fields below
	jump *link         // to the bastion; nil until needed
	pin  pin
}

func newRoute(cfg Config) (*route, error) {
	r := &route{cfg: cfg, slot: make(chan struct{}, 1)}
	r.slot <- struct{}{}
	if cfg.Bastion.Host == "" {
		return r, nil
	}
	var err error
	r.bastion, err = cfg.bastionIdentity()
	return r, err
}

func (r *route) dial(ctx context.Context, addr string) (net.Conn, error) {
	if r.cfg.Bastion.Host == "" {
		return r.direct(ctx, addr)
	}
	client, err := r.jumpHost(ctx)
	if err != nil {
		return nil, err
	}
	conn, err := client.DialContext(ctx, "tcp", addr)
	var refused *ssh.OpenChannelError
	if err != nil && !errors.As(err, &refused) && ctx.Err() == nil {
		_ = client.Client.Close() // the bastion is gone; the next try logs in again
	}
	return conn, err
}

// direct connects without a bastion. Reads and writes on the connection have the time limit that the user set.
func (r *route) direct(ctx context.Context, addr string) (net.Conn, error) {
	conn, err := r.dialer().DialContext(ctx, "tcp", addr)
	if err != nil || r.cfg.SSH.ReadWriteTimeout <= 0 {
		return conn, err
	}
	return &limited{Conn: conn, limit: time.Duration(r.cfg.SSH.ReadWriteTimeout)}, nil
}

func (r *route) dialer() proxy.ContextDialer {
	plain := dialFunc(r.cfg.Dial)
	b := r.cfg.Bastion
	if b.ProxyHost == "" {
		return plain
	}
	var auth *proxy.Auth
	if b.ProxyUsername != "" {
		auth = &proxy.Auth{User: b.ProxyUsername, Password: b.ProxyPassword}
	}
	port := b.ProxyPort
	if port == 0 {
		port = defaultProxyPort
	}
	d, err := proxy.SOCKS5("tcp", net.JoinHostPort(b.ProxyHost, strconv.Itoa(port)), auth, plain)
	if err != nil {
		return failed(err)
	}
	return d.(proxy.ContextDialer) // the package's own dialer is one
}

// dialFunc makes a dialer of a function.
type dialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// Dial is for x/net/proxy, which asks for it but does not use it.
func (d dialFunc) Dial(network, addr string) (net.Conn, error) {
	return d(context.Background(), network, addr)
}

// DialContext connects.
func (d dialFunc) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	return d(ctx, network, addr)
}

func failed(err error) dialFunc {
	return func(context.Context, string, string) (net.Conn, error) { return nil, err }
}

// jumpHost is the connection to the bastion, which all tries share.
func (r *route) jumpHost(ctx context.Context) (*link, error) {
	select {
	case <-r.slot:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	defer func() { r.slot <- struct{}{} }()
	if r.jump != nil && !r.jump.dead() {
		return r.jump, nil
	}
	port := r.cfg.Bastion.Port
	if port == 0 {
		port = defaultPort
	}
	addr := net.JoinHostPort(r.cfg.Bastion.Host, strconv.Itoa(port))
	conn, err := r.direct(ctx, addr)
	if err != nil {
		return nil, fmt.Errorf("bastion: %w", err)
	}
	client, seen, err := handshake(ctx, conn, addr, r.cfg, r.bastion, r.pin.check)
	if err != nil && (seen.tried || errors.Is(err, ErrHostKeyChanged)) {
		return nil, fmt.Errorf("%w: %s: %w", errBastion, addr, err)
	}
	if err != nil {
		return nil, fmt.Errorf("bastion: %w", err)
	}
	r.pin.set(seen.hostKey)
	r.jump, err = newLink(client, Config{}) // with keep-alives and nothing else
	return r.jump, err
}

func (r *route) close() {
	<-r.slot
	defer func() { r.slot <- struct{}{} }()
	if r.jump != nil {
		_ = r.jump.Close()
		r.jump = nil
	}
}

// limited ends a connection that is silent for too long.
type limited struct {
	net.Conn
	limit time.Duration
}

// Read sets the time limit anew.
func (c *limited) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.limit)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

// Write sets the time limit anew.
func (c *limited) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.limit)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// ErrHostKeyChanged says that another server answers than the one of the first login, or than Config.HostKey asks for,
// and no reboot was announced.
var ErrHostKeyChanged = errors.New("another machine or system answers, the host key is not that of this guest")

// pin remembers the host key of the first login.
type pin struct {
	mu      sync.Mutex
	key     ssh.PublicKey
	planned bool
}

func (p *pin) check(key ssh.PublicKey) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.key == nil || p.planned || bytes.Equal(p.key.Marshal(), key.Marshal()) {
		return nil
	}
	return fmt.Errorf("%w: it was %s and is %s", ErrHostKeyChanged, ssh.FingerprintSHA256(p.key), ssh.FingerprintSHA256(key))
}

func (p *pin) set(key ssh.PublicKey) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.key, p.planned = key, false
}

// known tells whether the guest's key is known.
func (p *pin) known() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.key != nil
}

func (p *pin) plan() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.planned = true
}
