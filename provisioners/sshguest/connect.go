package sshguest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/crypto/ssh"
)

// ConnectError says why a wait for SSH ended without a login, and what was seen last.
type ConnectError struct {
	Last Observation
	Err  error // the cause of the context's end, ErrHostKeyChanged, ErrLoginRefused or ErrTimeout
}

// Error is one line.
func (e *ConnectError) Error() string { return fmt.Sprintf("ssh: %v; last seen: %v", e.Err, e.Last) }

// Unwrap is for errors.Is.
func (e *ConnectError) Unwrap() error { return e.Err }

// Final reports whether another try would end in the same way.
func (e *ConnectError) Final() bool {
	return errors.Is(e.Err, ErrLoginRefused) || errors.Is(e.Err, ErrHostKeyChanged) || errors.Is(e.Err, errBastion) || errors.Is(e.Err, errLocal)
}

// Ends of a wait that are nobody else's doing.
var (
	ErrLoginRefused = errors.New("the server refuses the login")
	ErrTimeout      = errors.New("no login in time")
)

var errSlowHandshake = errors.New("the handshake took longer than " + handshakeLimit.String())

// Connect waits until a login works. It calls report, if there is one, for each change of what it sees; calls do not
// overlap. Errors are of type *ConnectError, but for arguments and key files that cannot be used.
func Connect(ctx context.Context, cfg Config, find Finder, report func(Observation)) (*Guest, error) {
	if err := Check(cfg.SSH, cfg.Bastion); err != nil {
		return nil, err
	}
	w, err := newWaiter(cfg.withDefaults(), find, report)
	if err != nil {
		return nil, err
	}
	g := newGuest(w)
	if err := g.first(ctx); err != nil {
		return nil, errors.Join(err, g.Close())
	}
	return g, nil
}

// waiter logs in, as often as needed.
type waiter struct {
	cfg  Config
	id   identity
	pin  pin
	seen *observer
	prober
}

func newWaiter(cfg Config, find Finder, report func(Observation)) (*waiter, error) {
	id, err := cfg.guestIdentity()
	if err != nil {
		return nil, err
	}
	way, err := newRoute(cfg)
	if err != nil {
		return nil, err
	}
	seen := &observer{report: report}
	w := &waiter{
		cfg: cfg, id: id, seen: seen,
		prober: prober{cfg: cfg, route: way, find: cfg.finder(find), seen: seen},
	}
	if cfg.HostKey != "" {
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(cfg.HostKey))
		if err != nil {
			return nil, fmt.Errorf("the guest's host key %q is not in the form of authorized_keys: %w", cfg.HostKey, err)
		}
		w.pin.set(key)
	}
	return w, nil
}

// login waits for a login that works for at most limit, or as long as ctx if limit is 0.
func (w *waiter) login(ctx context.Context, limit time.Duration, argument string) (*ssh.Client, error) {
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, limit, fmt.Errorf("%w: %v%s", ErrTimeout, limit, argument))
		defer cancel()
	}
	h := w.haste()
	var count refusals
	for {
		client, err := w.once(ctx, &count, &h)
		switch {
		case err == nil:
			return client, nil
		case ctx.Err() != nil:
			err = context.Cause(ctx)
		case !errors.Is(err, errAgain):
			// as it is
		default:
			err = w.pause(ctx, count.pause(w.cfg.Poll, &h))
			if err == nil {
				continue
			}
		}
		return nil, &ConnectError{Last: w.seen.latest(), Err: err}
	}
}

// haste is how many tries may still follow each other at short intervals.
type haste int

// haste is for guests that were up before: one that runs on from a checkpoint or reboots is back soon, and each second
// counts. A guest that is being installed answers when it does.
func (w *waiter) haste() haste {
	if !w.pin.known() {
		return 0
	}
	return hastyTries
}

// interval is the time from the end of a try to the next one.
func (h *haste) interval(poll time.Duration) time.Duration {
	if *h <= 0 || poll <= hastyPoll {
		return poll
	}
	*h--
	return hastyPoll
}

// errAgain marks a try that the next one may better.
var errAgain = errors.New("try again")

// once waits for a server and tries one login.
func (w *waiter) once(ctx context.Context, count *refusals, h *haste) (*ssh.Client, error) {
	conn, err := w.reach(ctx, h)
	if err != nil {
		return nil, err
	}
	client, seen, err := handshake(ctx, conn, conn.addr, w.cfg, w.id, w.pin.check)
	o := Observation{Addr: conn.addr, Port: w.cfg.port()}
	if seen.hostKey != nil && !errors.Is(err, ErrHostKeyChanged) {
		w.seen.met(seen.hostKey, o)
	}
	switch {
	case err == nil:
		w.pin.set(seen.hostKey)
		o.Kind = LoggedIn
	case ctx.Err() != nil:
		return nil, err
	case errors.Is(err, ErrHostKeyChanged):
		o.Kind, o.Err = HostKeyChanged, err
	case errors.Is(err, errLocal):
		return nil, err
	case seen.tried:
		o.Kind, o.Methods, o.Attempts = LoginRefused, seen.methods, count.add(seen.hostKey)
		err = w.refused(o.Attempts)
	default:
		o.Kind, o.Err = HandshakeFailed, plain(err)
		err = errAgain
	}
	w.seen.see(o)
	return client, err
}

// refused counts what Packer counts: logins that the server understood and refused.
func (w *waiter) refused(attempts int) error {
	if attempts < w.cfg.attempts() {
		return errAgain
	}
	return fmt.Errorf("%w for user %q, %d times (ssh_handshake_attempts)", ErrLoginRefused, w.id.user, attempts)
}

func (w *waiter) pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// refusals counts refused logins for each server, told apart by its host key: those of an installer's sshd do not count
// against the system that it installs.
type refusals struct {
	n  int
	by ssh.PublicKey
}

func (r *refusals) add(by ssh.PublicKey) int {
	if r.by == nil || !bytes.Equal(r.by.Marshal(), by.Marshal()) {
		r.n, r.by = 0, by
	}
	r.n++
	return r.n
}

// pause grows with the refusals up to Packer's 5 s, so that as many attempts last about as long; newer sshd lock out
// who fails too fast, and one in a system that boots may refuse everybody for a while. Without refusals there may be haste.
func (r *refusals) pause(poll time.Duration, h *haste) time.Duration {
	if r.n == 0 {
		return h.interval(poll)
	}
	return min(time.Duration(r.n)*poll, refusedPauseLimit)
}

// errLocal is for what is wrong on this side, such as an agent that does not answer.
var errLocal = errors.New("cannot log in")

// handshake logs in over a connection, which it closes if that fails.
func handshake(ctx context.Context, conn net.Conn, addr string, cfg Config, id identity, check func(ssh.PublicKey) error) (*ssh.Client, offer, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, handshakeLimit, errSlowHandshake)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	var seen offer
	client, err := clientOver(ctx, conn, addr, cfg, id, check, &seen)
	if !stop() && err == nil {
		_ = client.Close()
		err = context.Cause(ctx)
	}
	if err == nil {
		return client, seen, nil
	}
	_ = conn.Close()
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return nil, seen, err
}

func clientOver(ctx context.Context, conn net.Conn, addr string, cfg Config, id identity, check func(ssh.PublicKey) error, seen *offer) (*ssh.Client, error) {
	login, done, err := id.clientConfig(ctx, check, seen)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errLocal, err)
	}
	defer done()
	login.Ciphers, login.KeyExchanges = cfg.SSH.Ciphers, cfg.SSH.KeyExchangeAlgorithms
	c, channels, requests, err := ssh.NewClientConn(conn, addr, login)
	if err != nil {
		return nil, err
	}
	return ssh.NewClient(c, channels, requests), nil
}

// plain leaves out what differs between two failures of the same kind, such as our own port.
func plain(err error) error {
	if hungUp(err) {
		return errors.New("the server hung up")
	}
	return err
}
