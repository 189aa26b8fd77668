//go:build !nolibvirt

package libvirt

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"libvirt.org/go/libvirt"

	"github.com/boxkiln/boxkiln/hypervisor"
)

func TestConnectionCannotBeHad(t *testing.T) {
	t.Parallel()
	missing := filepath.Join(t.TempDir(), "no.sock")
	for uri, want := range map[string]string{
		"qemu+unix:///system?socket=" + missing: "libvirtd is not running there",
		"nosuch:///":                            "libvirt_uri",
	} {
		d := New(Options{Install: "i", URI: uri})
		_, err := d.List(t.Context())
		var ce *ConnectError
		if !errors.As(err, &ce) || ce.URI != uri || !strings.Contains(err.Error(), want) {
			t.Errorf("List at %s: %v; want a remedy with %q", uri, err, want)
		}
		caps, err := d.Probe(t.Context())
		if err != nil || caps.Available || len(caps.Problems) == 0 {
			t.Errorf("Probe at %s = %+v, %v; want a problem", uri, caps, err)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestSilentDaemon has a libvirtd that takes the connection and never answers: the call ends with its context.
func TestSilentDaemon(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "libvirt.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan net.Conn, 4)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				close(accepted)
				return
			}
			accepted <- c
		}
	}()
	d := New(Options{Install: "i", URI: "qemu+unix:///system?socket=" + socket})
	stop := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	first := make(chan error, 1)
	go func() {
		_, err := d.List(ctx)
		first <- err
	}()
	c := <-accepted // so the call is under way
	cancel(stop)
	select {
	case err := <-first:
		if !errors.Is(err, stop) {
			t.Errorf("List: %v; want the cause of the cancellation", err)
		}
	case <-time.After(time.Minute):
		t.Error("List did not end with its context")
	}
	// The abandoned call ends when the daemon hangs up.
	c.Close()
	l.Close()
	for c := range accepted {
		c.Close()
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if _, err := d.List(t.Context()); !errors.Is(err, errClosed) {
		t.Errorf("List of a closed driver: %v", err)
	}
}

// testDriver is over libvirt's in-memory hypervisor, where each connection is a world of its own.
func testDriver(t *testing.T) *Driver {
	t.Helper()
	d := New(Options{Install: "mine", URI: "test:///default"})
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

const testDomainXML = `<domain type='test'><name>NAME</name><memory>4096</memory><os><type>hvm</type></os>` +
	`<metadata><m:machine xmlns:m='` + metadataURI + `' install='INSTALL' build='b' attempt='1' dir='DIR' network='user'/></metadata></domain>`

func defineTest(t *testing.T, d *Driver, name, install, dir string) {
	t.Helper()
	text := strings.NewReplacer("NAME", name, "INSTALL", install, "DIR", dir).Replace(testDomainXML)
	err := d.conns.do(t.Context(), d.uri, func(c *libvirt.Connect) error {
		dom, err := c.DomainDefineXML(text)
		if err != nil {
			return err
		}
		return dom.Free()
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestInMemoryMachines(t *testing.T) {
	t.Parallel()
	d, ctx, dir := testDriver(t), t.Context(), t.TempDir()
	defineTest(t, d, "ours", "mine", dir)
	defineTest(t, d, "theirs", "other", dir)
	all, err := d.List(ctx)
	if err != nil || len(all) != 1 || all[0].Name != "ours" || all[0].Dir != dir {
		t.Fatalf("List = %+v, %v; want ours alone, neither the foreign one nor libvirt's own \"test\"", all, err)
	}
	for name, want := range map[string]error{"theirs": hypervisor.ErrForeign, "test": hypervisor.ErrForeign, "none": hypervisor.ErrNotFound} {
		_, err := d.Open(ctx, hypervisor.Handle{Name: name, Tag: all[0].Tag})
		if !errors.Is(err, want) {
			t.Errorf("Open(%q): %v; want %v", name, err, want)
		}
	}
	old := all[0]
	old.UUID = "00000000-0000-4000-8000-000000000000"
	if _, err := d.Open(ctx, old); !errors.Is(err, hypervisor.ErrNotFound) {
		t.Errorf("Open of an earlier machine of that name: %v", err)
	}
	m, err := d.Open(ctx, all[0])
	if err != nil {
		t.Fatal(err)
	}
	if s, err := m.State(ctx); s != hypervisor.Off || err != nil {
		t.Errorf("State = %q, %v", s, err)
	}
	if err := m.Wait(ctx); err != nil {
		t.Errorf("Wait of a machine that never ran: %v", err)
	}
}

func TestOutcome(t *testing.T) {
	t.Parallel()
	m := &Machine{name: "m", meta: metadata{Dir: t.TempDir(), Serial: serialFile}}
	for reason, want := range map[libvirt.DomainShutoffReason]error{
		libvirt.DOMAIN_SHUTOFF_SHUTDOWN:  nil,
		libvirt.DOMAIN_SHUTOFF_UNKNOWN:   nil, // never started
		libvirt.DOMAIN_SHUTOFF_DESTROYED: hypervisor.ErrCrashed,
		libvirt.DOMAIN_SHUTOFF_CRASHED:   hypervisor.ErrCrashed,
		libvirt.DOMAIN_SHUTOFF_FAILED:    hypervisor.ErrCrashed,
		libvirt.DOMAIN_SHUTOFF_DAEMON:    hypervisor.ErrCrashed,
		libvirt.DOMAIN_SHUTOFF_SAVED:     hypervisor.ErrCrashed,
	} {
		if err := m.outcome(status{libvirt.DOMAIN_SHUTOFF, int(reason)}, nil); !errors.Is(err, want) {
			t.Errorf("reason %d: %v; want %v", reason, err, want)
		}
	}
	if err := os.WriteFile(m.SerialLog(), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := m.outcome(status{domain: libvirt.DOMAIN_SHUTOFF}, nil); !errors.Is(err, hypervisor.ErrCrashed) {
		t.Errorf("a machine that ran and whose end libvirt forgot: %v", err)
	}
}

func TestHostAddress(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"<network><name>n</name><bridge name='virbr9'/><ip family='ipv6' address='fd00::1' prefix='64'/><ip address='192.168.9.1' netmask='255.255.255.0'/></network>": "192.168.9.1",
		"<network><name>n</name><forward mode='bridge'/><bridge name='no-such-br'/></network>":                                                                         "",
		"<network><name>n</name></network>": "",
		"<netw":                             "",
	} {
		got, err := hostAddressOf("n", text)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("hostAddressOf(%s) = %q, %v; want %q", text, got, err, want)
		}
	}
	bind, seen, err := testDriver(t).SeedHost(t.Context(), hypervisor.Spec{})
	if bind != "127.0.0.1" || seen != "10.0.2.2" || err != nil {
		t.Errorf("SeedHost of user networking = %q, %q, %v", bind, seen, err)
	}
}
