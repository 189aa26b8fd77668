//go:build !nolibvirt

package libvirt

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"libvirt.org/go/libvirt"
)

// startEvents runs libvirt's event loop once in the process, before the first connection: keep-alive and lifecycle
// events need it.
var startEvents = sync.OnceValue(func() error {
	if err := libvirt.EventRegisterDefaultImpl(); err != nil {
		return fmt.Errorf("start libvirt's event loop: %w", err)
	}
	go runEvents()
	return nil
})

func runEvents() {
	for {
		// An error here is a failed poll(2), which the next round repeats; nobody could act on it.
		_ = libvirt.EventRunDefaultImpl()
	}
}

// pool keeps one connection to each URI.
type pool struct {
	mu     sync.Mutex
	links  map[string]*link
	closed bool
	events listeners
}

// link is the place of one connection. Whoever holds its token may open or replace the connection.
type link struct {
	token    chan struct{}
	conn     *libvirt.Connect
	callback int // of the connection's events, for which libvirt keeps it open; noCallback if there are none
}

const noCallback = -1

var errClosed = errors.New("the libvirt driver is closed")

func (p *pool) link(uri string) (*link, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, errClosed
	}
	if p.links == nil {
		p.links = map[string]*link{}
	}
	l := p.links[uri]
	if l == nil {
		l = &link{token: make(chan struct{}, 1)}
		p.links[uri] = l
	}
	return l, nil
}

// ask calls f with a connection to uri and returns its answer. It returns when f does or when ctx ends; in that case f
// goes on in its goroutine, with the connection held open for it, and its answer is lost.
func ask[T any](ctx context.Context, p *pool, uri string, f func(*libvirt.Connect) (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	done := make(chan answer, 1)
	go func() {
		var a answer
		defer func() { done <- a }()
		conn, err := p.acquire(ctx, uri)
		if err != nil {
			a.err = err
			return
		}
		defer conn.Close() // only this call's reference
		a.value, a.err = f(conn)
	}()
	select {
	case a := <-done:
		return a.value, a.err
	case <-ctx.Done():
		var none T
		return none, fmt.Errorf("libvirt at %s: %w", uri, context.Cause(ctx))
	}
}

// do is ask for what has no answer.
func (p *pool) do(ctx context.Context, uri string, f func(*libvirt.Connect) error) error {
	_, err := ask(ctx, p, uri, func(c *libvirt.Connect) (struct{}, error) { return struct{}{}, f(c) })
	return err
}

// acquire returns the connection to uri with a reference of its own, opening it if there is none that lives.
func (p *pool) acquire(ctx context.Context, uri string) (*libvirt.Connect, error) {
	l, err := p.link(uri)
	if err != nil {
		return nil, err
	}
	select {
	case l.token <- struct{}{}:
		defer func() { <-l.token }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if l.conn != nil {
		if alive, err := l.conn.IsAlive(); err == nil && alive {
			return l.conn, l.conn.Ref()
		}
		_ = l.drop() // it is dead
	}
	conn, err := connect(uri)
	if err != nil {
		return nil, err
	}
	l.conn, l.callback = conn, p.events.register(conn)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, errors.Join(errClosed, l.drop())
	}
	return conn, conn.Ref()
}

// drop closes the connection. The caller holds the token.
func (l *link) drop() error {
	if l.conn == nil {
		return nil
	}
	conn := l.conn
	l.conn = nil
	if l.callback != noCallback {
		_ = conn.DomainEventDeregister(l.callback) // fails only if the connection died, and the registration with it
	}
	return closeConn(conn)
}

// Keep-alive closes a connection whose other end was silent for about 5 x 3 seconds.
const (
	keepAliveSeconds = 5
	keepAliveCount   = 3
)

func connect(uri string) (*libvirt.Connect, error) {
	if err := startEvents(); err != nil {
		return nil, err
	}
	conn, err := libvirt.NewConnect(uri)
	if err != nil {
		return nil, &ConnectError{URI: uri, Remedy: connectRemedy(uri, err), Err: err}
	}
	// In-memory and some local connections have no keep-alive; they cannot hang either.
	if err := conn.SetKeepAlive(keepAliveSeconds, keepAliveCount); err != nil && !isCode(err, libvirt.ERR_NO_SUPPORT) {
		return nil, errors.Join(fmt.Errorf("watch the connection to libvirt at %s: %w", uri, err), closeConn(conn))
	}
	return conn, nil
}

func closeConn(c *libvirt.Connect) error {
	_, err := c.Close()
	return err
}

// close closes all connections, which powers off the machines that were started through them.
func (p *pool) close() error {
	p.mu.Lock()
	p.closed = true
	links := p.links
	p.links = nil
	p.mu.Unlock()
	var errs []error
	for _, l := range links {
		l.token <- struct{}{}
		errs = append(errs, l.drop())
		<-l.token
	}
	return errors.Join(errs...)
}

// connectRemedy says what to do about a connection that cannot be had.
func connectRemedy(uri string, err error) string {
	text := err.Error()
	switch {
	case strings.Contains(text, "Permission denied") || isCode(err, libvirt.ERR_AUTH_FAILED, libvirt.ERR_AUTH_UNAVAILABLE, libvirt.ERR_AUTH_CANCELLED):
		return "add your user to the group libvirt (sudo adduser $USER libvirt, then log in again), run boxkiln as root, " +
			"or use libvirt_uri = \"qemu:///session\""
	case strings.Contains(text, "No such file") || strings.Contains(text, "Connection refused"):
		return "libvirtd is not running there: with systemd, run systemctl start libvirtd; without, run virtlogd -d and libvirtd -d " +
			"(Debian: apt-get install libvirt-daemon-system)"
	case strings.Contains(text, "no connection driver"):
		return "libvirt_uri is wrong, or the driver for it is not installed; local machines are at qemu:///system"
	}
	return "check libvirt_uri and that `virsh -c " + uri + " version` works"
}

// isCode tells whether err is a libvirt error with one of the codes.
func isCode(err error, codes ...libvirt.ErrorNumber) bool {
	var e libvirt.Error
	if !errors.As(err, &e) {
		return false
	}
	for _, code := range codes {
		if e.Code == code {
			return true
		}
	}
	return false
}
