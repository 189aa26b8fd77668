package sshguest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"golang.org/x/crypto/ssh"

	"github.com/boxkiln/boxkiln/provisioners"
)

// Guest is a guest reached by SSH. It is safe for use by several goroutines. A reader given to
// Run or Put is not used after they return; so one that may block for ever has to be an *io.PipeReader, which they close.
type Guest struct {
	w      *waiter
	slot   chan struct{} // holds one token while nobody touches link
	link   *link         // nil until connected, and after a lost connection
	closed atomic.Bool
	stop   context.CancelFunc // ends what hangs in a call when the guest is closed
	life   context.Context
}

var (
	_ provisioners.Guest = (*Guest)(nil)
	_ provisioners.Tree  = (*Guest)(nil)
)

// ErrClosed is returned by calls after Close.
var ErrClosed = errors.New("the guest's connection was closed by this side")

func newGuest(w *waiter) *Guest {
	g := &Guest{w: w, slot: make(chan struct{}, 1)}
	g.life, g.stop = context.WithCancel(context.Background())
	g.slot <- struct{}{}
	return g
}

// first makes the first connection, and the second one after pause_before_connecting.
func (g *Guest) first(ctx context.Context) error {
	limit, argument := g.w.cfg.timeout(), " (ssh_timeout)"
	pause := g.w.cfg.PauseBeforeConnecting
	if g.w.pin.known() {
		pause = 0
	}
	client, err := g.w.login(ctx, limit, argument)
	if err != nil {
		return err
	}
	if pause > 0 {
		_ = client.Close()
		if err := g.w.pause(ctx, pause); err != nil {
			return &ConnectError{Last: g.w.seen.latest(), Err: err}
		}
		g.w.pin.plan() // what answers after the pause may be the installed system
		if client, err = g.w.login(ctx, limit, argument); err != nil {
			return err
		}
	}
	g.link, err = newLink(client, g.w.cfg)
	return err
}

// PlanReboot announces that the next connection may show another host key, because the guest reboots into another
// system or makes its keys anew.
func (g *Guest) PlanReboot() { g.w.pin.plan() }

// Addr is where the guest was reached at the last login, as host:port; empty while it is not connected.
func (g *Guest) Addr() string {
	<-g.slot
	defer g.release()
	if g.link == nil {
		return ""
	}
	return g.link.RemoteAddr().String()
}

// HostKey is the key of the last login in the form of authorized_keys, without a newline.
func (g *Guest) HostKey() string {
	g.w.pin.mu.Lock()
	defer g.w.pin.mu.Unlock()
	if g.w.pin.key == nil {
		return ""
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(g.w.pin.key)))
}

// Close ends the connection and everything that runs over it. A second Close does nothing.
func (g *Guest) Close() error {
	if g.closed.Swap(true) {
		return nil
	}
	g.stop()
	<-g.slot
	defer g.release()
	defer g.w.route.close()
	if g.link == nil {
		return nil
	}
	err := g.link.Close()
	g.link = nil
	return err
}

func (g *Guest) release() { g.slot <- struct{}{} }

// connected is the connection, made anew if it was lost.
func (g *Guest) connected(ctx context.Context) (*link, error) {
	select {
	case <-g.slot:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	defer g.release()
	if g.closed.Load() {
		return nil, ErrClosed
	}
	if g.link != nil && !g.link.dead() {
		return g.link, nil
	}
	if g.link != nil {
		_ = g.link.Close()
		g.link = nil
	}
	ctx, cancel := g.whileOpen(ctx)
	defer cancel()
	client, err := g.w.login(ctx, reconnectLimit, " for a new connection")
	if err != nil {
		return nil, err
	}
	g.link, err = newLink(client, g.w.cfg)
	return g.link, err
}

// whileOpen is ctx, which also ends with the guest.
func (g *Guest) whileOpen(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(g.life, func() { cancel(ErrClosed) })
	return ctx, func() {
		stop()
		cancel(nil)
	}
}

// open starts a session, on a new connection if the old one turns out to be gone.
func (g *Guest) open(ctx context.Context) (*link, *ssh.Session, error) {
	for again := true; ; again = false {
		l, err := g.connected(ctx)
		if err != nil {
			return nil, nil, err
		}
		s, err := l.session(ctx)
		var refused *ssh.OpenChannelError
		switch {
		case err == nil:
			return l, s, nil
		case ctx.Err() != nil:
			return nil, nil, context.Cause(ctx)
		case errors.As(err, &refused):
			return nil, nil, fmt.Errorf("the server opens no session: %w", err)
		case !again:
			return nil, nil, l.lost(err)
		}
		_ = l.lost(err)
	}
}
