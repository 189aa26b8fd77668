package sshguest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// reached is a connection whose server has said that it speaks SSH.
type reached struct {
	net.Conn        // reads the banner again
	addr     string // host:port
	banner   string // without the line end
}

// prober looks for an SSH server until one answers.
type prober struct {
	cfg   Config
	route *route
	find  Finder
	seen  *observer

	finding sync.Mutex // held while find runs, which need not be safe for use by several goroutines
}

// reach starts a try every Poll, since one that hangs tells nothing about the next: the kernel resends its first packet
// only after 1, 3, 7, 15 s, and QEMU's user network accepts connections before the guest has a network at all. In haste
// it starts one soon after another ended too; a try that hangs has no more company then either, because an sshd that is
// slow to answer is made slower by each. The first try that sees a banner ends the others. An error means that ctx has
// ended, or that there is no way to the guest.
func (p *prober) reach(ctx context.Context, h *haste) (*reached, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel(nil)
	found := make(chan *reached)
	for {
		tried := make(chan struct{})
		wg.Go(func() {
			defer close(tried)
			c := p.try(ctx, cancel)
			if c == nil {
				return
			}
			select {
			case found <- c:
			case <-ctx.Done():
				_ = c.Close()
			}
		})
		if c, err := p.await(ctx, found, tried, h); c != nil || err != nil {
			return c, err
		}
	}
}

// await returns what was found, or nothing when it is time for the next try.
func (p *prober) await(ctx context.Context, found <-chan *reached, tried <-chan struct{}, h *haste) (*reached, error) {
	next := time.NewTimer(p.cfg.Poll)
	defer next.Stop()
	for {
		select {
		case c := <-found:
			return c, nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-tried:
			tried = nil
			if soon := h.interval(p.cfg.Poll); soon < p.cfg.Poll {
				next.Reset(soon)
			}
		case <-next.C:
			return nil, nil
		}
	}
}

// try makes one connection, up to the banner. It returns nil if that did not work, after telling why.
func (p *prober) try(ctx context.Context, giveUp context.CancelCauseFunc) *reached {
	if !p.finding.TryLock() {
		return nil
	}
	addr, err := p.find(ctx)
	p.finding.Unlock()
	see := func(o Observation) {
		if !over(ctx) { // what a cancelled try saw is no news
			o.Addr, o.Port = addr, p.cfg.port()
			p.seen.see(o)
		}
	}
	if err != nil {
		see(Observation{Kind: NoAddress, Err: err})
		return nil
	}
	see(Observation{Kind: Address})
	conn, err := p.dial(ctx, addr, see)
	if errors.Is(err, errBastion) {
		giveUp(err)
		return nil
	}
	if err != nil {
		see(Observation{Kind: classify(err), Err: err})
		return nil
	}
	if !forwarded(addr) {
		see(Observation{Kind: PortOpen})
	}
	c, err := p.awaitBanner(ctx, conn, see)
	if err != nil {
		see(Observation{Kind: NoBanner})
		_ = conn.Close()
		return nil
	}
	c.addr = addr
	return c
}

// forwarded tells a port of this host that leads to the guest. Its other end takes connections whether or not the guest
// does, as QEMU's does.
func forwarded(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	ip, _ := netip.ParseAddr(host)
	return err == nil && (ip.IsLoopback() || host == "localhost")
}

// over also tells a deadline whose timer is late: connections that took it over end with a time-out of their own.
func over(ctx context.Context) bool {
	d, limited := ctx.Deadline()
	return ctx.Err() != nil || limited && !time.Now().Before(d)
}

func (p *prober) dial(ctx context.Context, addr string, see func(Observation)) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialLimit)
	defer cancel()
	slow := time.AfterFunc(p.cfg.Patience, func() { see(Observation{Kind: NoAnswer}) })
	defer slow.Stop()
	return p.route.dial(ctx, addr)
}

// awaitBanner reads the identification of the server, RFC 4253, section 4.2.
func (p *prober) awaitBanner(ctx context.Context, conn net.Conn, see func(Observation)) (*reached, error) {
	ctx, cancel := context.WithTimeout(ctx, bannerLimit) // channels through a bastion know no deadlines
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	slow := time.AfterFunc(p.cfg.Patience, func() { see(Observation{Kind: NoBanner}) })
	defer slow.Stop()
	r := bufio.NewReaderSize(conn, 4096)
	line, err := readBanner(r)
	if err != nil {
		return nil, err
	}
	if !stop() {
		return nil, context.Cause(ctx)
	}
	text := strings.TrimRight(string(line), "\r\n")
	see(Observation{Kind: PortOpen})
	see(Observation{Kind: Banner, Text: printable(text)})
	return &reached{Conn: &replayed{Conn: conn, r: io.MultiReader(bytes.NewReader(line), r)}, banner: text}, nil
}

var errNoBanner = errors.New("the server sent no SSH identification")

// readBanner skips the lines that a server may send before its identification; the limit is that of OpenSSH.
func readBanner(r *bufio.Reader) ([]byte, error) {
	for range 1024 {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errNoBanner, err)
		}
		if bytes.HasPrefix(line, []byte("SSH-")) {
			return bytes.Clone(line), nil
		}
	}
	return nil, errNoBanner
}

// printable keeps a hostile server from writing control characters to a terminal.
func printable(s string) string {
	if len(s) > 255 {
		s = s[:255]
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}

// replayed is a connection some of whose bytes were read before.
type replayed struct {
	net.Conn
	r io.Reader
}

// Read returns first what was read before.
func (c *replayed) Read(p []byte) (int, error) { return c.r.Read(p) }
