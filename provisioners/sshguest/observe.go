package sshguest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/crypto/ssh"
)

// Kind is the stage that a try to log in came to.
type Kind string

// Kinds, in the order in which a healthy guest shows them.
const (
	NoAddress       Kind = "no address"         // the driver does not know the guest's address yet; Err says why
	Address         Kind = "address known"      // Addr is where the guest is tried from now on
	NoAnswer        Kind = "no answer"          // packets go nowhere: no machine, no network or a firewall
	Refused         Kind = "connection refused" // a machine answers, and no sshd listens
	Unreachable     Kind = "unreachable"        // another error of the network, the proxy or the bastion; see Err
	PortOpen        Kind = "port open"          // the guest takes connections; of a forwarded port only the banner tells
	NoBanner        Kind = "no banner"          // connected, but the server says nothing, or hangs up before it does
	Banner          Kind = "banner"             // an SSH server answered; Text is its identification
	ServerChanged   Kind = "another server"     // not the SSH server of earlier tries; Text is what it is, Was what that was
	HandshakeFailed Kind = "handshake failed"   // the server went away, or has no common algorithm; see Err
	LoginRefused    Kind = "login refused"      // Methods are the logins that the server offers
	HostKeyChanged  Kind = "host key changed"   // the server is not the one of the first login
	LoggedIn        Kind = "logged in"
)

// Observation is what a wait for SSH saw.
type Observation struct {
	Kind     Kind
	Addr     string   // where the try went, host:port
	Port     int      // the port inside the guest
	Text     string   // the banner, for Banner and ServerChanged
	Was      string   // for ServerChanged
	Methods  []string // for LoginRefused
	Attempts int      // refused logins so far, for LoginRefused
	Err      error    // details, may be nil
}

// String is one line for a log.
func (o Observation) String() string {
	switch o.Kind {
	case "":
		return "nothing yet"
	case NoAddress:
		return withErr("no address yet", o.Err)
	case Banner:
		return fmt.Sprintf("port %d: banner %s", o.Port, software(o.Text))
	case ServerChanged:
		return fmt.Sprintf("port %d: another SSH server answers now: the installed system, it seems (was %s, is %s)", o.Port, o.Was, o.Text)
	case LoginRefused:
		methods := strings.Join(o.Methods, ",")
		if methods == "" {
			methods = "nothing"
		}
		return fmt.Sprintf("port %d: login refused (%s offered)", o.Port, methods)
	case Unreachable, HandshakeFailed, HostKeyChanged:
		return withErr(fmt.Sprintf("port %d: %s", o.Port, o.Kind), o.Err)
	}
	return fmt.Sprintf("port %d: %s", o.Port, o.Kind)
}

func withErr(text string, err error) string {
	if err == nil {
		return text
	}
	return text + ": " + err.Error()
}

// classify names the error of a dial.
func classify(err error) Kind {
	var timeout net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return Refused
	case errors.As(err, &timeout) && timeout.Timeout():
		return NoAnswer
	}
	return Unreachable
}

// observer passes on what is new. Tries overlap, so it is used by several goroutines.
type observer struct {
	mu     sync.Mutex
	report func(Observation)
	last   Observation // newest but those that the fields below are about
	addr   string
	open   bool
	banner string // newest banner since the server was last away
	server server
}

func (o *observer) see(n Observation) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if n, fresh := o.news(n); fresh && o.report != nil {
		o.report(n)
	}
}

// news tells whether an observation is new, and what it comes to.
func (o *observer) news(n Observation) (Observation, bool) {
	switch n.Kind {
	case Address:
		fresh := n.Addr != o.addr
		o.addr = n.Addr
		return n, fresh
	case PortOpen:
		fresh := !o.open
		o.open = true
		return n, fresh
	case Banner:
		fresh := n.Text != o.banner
		o.banner = n.Text
		if was, changed := o.server.greets(n.Text); changed {
			o.last = Observation{} // was about another server
			n.Kind, n.Was, n.Text = ServerChanged, was, software(n.Text)
		}
		return n, fresh
	}
	fresh := !same(n, o.last)
	o.last = n
	if fresh && away(n.Kind) { // what is not fresh may be the late news of a try before that with the banner
		o.banner, o.open = "", false
	}
	return n, fresh
}

// met notes the host key that a server showed at the try n. The key exchange shows it, even if no login follows.
func (o *observer) met(key ssh.PublicKey, n Observation) {
	o.mu.Lock()
	defer o.mu.Unlock()
	was, is, changed := o.server.shows(key)
	if !changed {
		return
	}
	o.last = Observation{}
	if o.report != nil {
		n.Kind, n.Was, n.Text = ServerChanged, was, is
		o.report(n)
	}
}

// server is what tells one SSH server from another: an installer's from that of the system which it installs. It
// outlives the time in which no server answers.
type server struct {
	banner string
	key    ssh.PublicKey // nil until one was shown to us with that banner
}

// greets notes a banner, and tells which one was there before if that was another.
func (s *server) greets(banner string) (was string, changed bool) {
	was, changed = s.banner, s.banner != "" && s.banner != banner
	if changed {
		s.key = nil
	}
	s.banner = banner
	return software(was), changed
}

// shows notes a host key, and describes the server before and now if the key is another.
func (s *server) shows(key ssh.PublicKey) (was, is string, changed bool) {
	old := s.key
	s.key = key
	if old == nil || bytes.Equal(old.Marshal(), key.Marshal()) {
		return "", "", false
	}
	with := func(k ssh.PublicKey) string { return software(s.banner) + " with host key " + ssh.FingerprintSHA256(k) }
	return with(old), with(key), true
}

// software is a banner without what all of them have.
func software(banner string) string { return printable(strings.TrimPrefix(banner, "SSH-2.0-")) }

// away tells whether a try met no server.
func away(k Kind) bool {
	switch k {
	case NoAddress, NoAnswer, Refused, Unreachable:
		return true
	}
	return false
}

// latest is for the error at the end of a wait.
func (o *observer) latest() Observation {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.last.Kind == "" && o.banner != "" {
		return Observation{Kind: Banner, Text: o.banner}
	}
	return o.last
}

func same(a, b Observation) bool {
	return a.Kind == b.Kind && a.Addr == b.Addr && slices.Equal(a.Methods, b.Methods) && fmt.Sprint(a.Err) == fmt.Sprint(b.Err)
}

// hungUp tells a connection that ended without a word, which says nothing worth repeating.
func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET)
}
