package sshguest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// Kind is the stage that a try to log in came to.
type Kind string

// Kinds, in the order in which a healthy guest shows them.
const (
	NoAddress       Kind = "no address"         // the driver does not know the guest's address yet; Err says why
	NoAnswer        Kind = "no answer"          // packets go nowhere: no machine, no network or a firewall
	Refused         Kind = "connection refused" // a machine answers, and no sshd listens
	Unreachable     Kind = "unreachable"        // another error of the network, the proxy or the bastion; see Err
	NoBanner        Kind = "no banner"          // connected, but the server says nothing, or hangs up before it does
	Banner          Kind = "banner"             // an SSH server answered; Text is its identification
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
	Text     string   // the banner, for Banner
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
		return fmt.Sprintf("port %d: banner %s", o.Port, strings.TrimPrefix(o.Text, "SSH-2.0-"))
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
	last   Observation // newest but banners
	banner string      // newest banner since the server was last away
}

func (o *observer) see(n Observation) {
	o.mu.Lock()
	defer o.mu.Unlock()
	fresh := false
	switch n.Kind {
	case Banner:
		fresh = n.Text != o.banner
		o.banner = n.Text
	default:
		fresh = !same(n, o.last)
		o.last = n
		if fresh && away(n.Kind) { // what is not fresh may be the late news of a try before that with the banner
			o.banner = ""
		}
	}
	if fresh && o.report != nil {
		o.report(n)
	}
}

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
