package fake

import (
	"crypto/ed25519"
	"fmt"
	"net"
	"regexp"
	"strconv"

	"golang.org/x/crypto/ssh"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/internal/sshtest"
)

// online puts the guest on the network: its SSH server listens, after a reboot on the same port as before.
func (g *guest) online() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.up {
		return nil
	}
	var err error
	if g.ssh != nil {
		err = g.ssh.Resume()
	} else if g.ssh, err = sshtest.New(g.sshOptions()); err == nil {
		g.addr = g.ssh.Addr
	}
	g.up = err == nil
	return err
}

// sshOptions are those of the system that runs: an installer makes a host key of its own. The caller holds mu.
func (g *guest) sshOptions() sshtest.Options {
	o := g.host.opts.SSH
	o.Addr = g.addr
	if g.ready {
		o.HostKey = g.key
	}
	if o.Password == "" && len(o.AuthorizedKeys) == 0 && o.UserCA == nil {
		o.NoAuth = true
	}
	o.Root = guestRoot(g.spec)
	o.Env = append(append([]string(nil), o.Env...), toolsEnv(g.spec)...)
	o.DropOn = g.dropOn
	return o
}

// hostKey makes the key of a seed.
func hostKey(seed []byte) (ssh.Signer, error) {
	if len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("the guest's host key has %d bytes, want %d", len(seed), ed25519.SeedSize)
	}
	return ssh.NewSignerFromSigner(ed25519.NewKeyFromSeed(seed))
}

// endsMachine is a command line that ends the machine, which must not reach the shell of this host. The programs that
// scripts call are replaced (tools.go); this is for those called by their path.
var endsMachine = regexp.MustCompile(`(?:^|[;&|]\s*|\bsudo\s+(?:-\S+\s+)*|/s?bin/|\bsystemctl\s+)(poweroff|halt|reboot|shutdown|init 0|init 6)\b(.*)`)

// dropOn ends the guest as a command line says, and with it the connection.
func (g *guest) dropOn(line string) bool {
	found := endsMachine.FindStringSubmatch(line)
	if found == nil {
		return false
	}
	g.signal(powerOf(found[1] + found[2]))
	return true
}

var rebootSwitch = regexp.MustCompile(`^(reboot|init 6)\b|^shutdown\b.*\s-(-reboot|[a-zA-Z]*r)`)

// powerOf says how a command ends the guest.
func powerOf(command string) power {
	if rebootSwitch.MatchString(command) {
		return reboot
	}
	return powerOff
}

// offline takes the guest off the network, as when its kernel goes away.
func (g *guest) offline() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ssh != nil && g.up {
		if err := g.ssh.Stop(); err != nil {
			g.serial("ssh: %v", err)
		}
	}
	g.up = false
}

// closeSSH ends the server for good.
func (g *guest) closeSSH() {
	g.mu.Lock()
	server := g.ssh
	g.ssh, g.up = nil, false
	g.mu.Unlock()
	if server == nil {
		return
	}
	if err := server.Close(); err != nil {
		g.serial("ssh: %v", err)
	}
}

// endpoint is where the guest's SSH server can be reached.
func (g *guest) endpoint() (hypervisor.Endpoint, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.addr == "" {
		return hypervisor.Endpoint{}, hypervisor.ErrNoAddress
	}
	host, port, err := net.SplitHostPort(g.addr)
	if err != nil {
		return hypervisor.Endpoint{}, err
	}
	n, err := strconv.Atoi(port)
	return hypervisor.Endpoint{Host: host, Port: n}, err
}
