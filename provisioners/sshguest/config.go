package sshguest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/boxkiln/boxkiln/provisioners"
)

// Defaults are Packer's (packer-plugin-sdk communicator/config.go), but for the file transfer, which is SFTP.
const (
	defaultPort       = 22
	defaultProxyPort  = 1080
	defaultTimeout    = 5 * time.Minute
	defaultAttempts   = 10
	defaultKeepAlive  = 5 * time.Second
	keepAlivesMissed  = 12 // unanswered for so many intervals, a connection is dead
	reconnectLimit    = 2 * time.Minute
	defaultPoll       = time.Second
	hastyPoll         = 50 * time.Millisecond // from the end of a try to the next, if the guest was up before,
	hastyTries        = 100                   // for so many: 5 s of refusals
	dialLimit         = 15 * time.Second
	bannerLimit       = 30 * time.Second // an emulated sshd that was just started needs seconds
	handshakeLimit    = time.Minute
	defaultPatience   = 3 * time.Second
	refusedPauseLimit = 5 * time.Second
)

// Config says how to reach a guest.
type Config struct {
	SSH                   provisioners.SSHArgs
	Bastion               provisioners.BastionArgs
	PauseBeforeConnecting time.Duration // after the first login; then the guest is logged in to again

	// PrivateKey is a key in PEM to log in with besides those that the arguments name: the build's temporary one.
	PrivateKey []byte
	// Files opens ssh_private_key_file and its like. It may be nil if the arguments name no file.
	Files provisioners.Files
	// HostKey is the only host key that the guest may show, in the form of authorized_keys; empty for any. As the guest
	// was up before then, PauseBeforeConnecting is left out, and it is tried at shorter intervals at first.
	HostKey string
	// AgentSocket is the user's SSH_AUTH_SOCK; empty for none.
	AgentSocket string

	// Dial replaces the network in tests.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Poll is the time between two tries; 1 s unless set.
	Poll time.Duration
	// Patience is how long a try may hang before that is reported; 3 s unless set.
	Patience time.Duration
}

// Finder tells where the guest's SSH port is reached from here, as host:port. It is asked before each try, since an
// address may come late and change at a reboot.
type Finder func(ctx context.Context) (addr string, err error)

// Inputs are the local files that the arguments name; the daemon must have them.
func Inputs(s provisioners.SSHArgs, b provisioners.BastionArgs) []string {
	var paths []string
	for _, p := range []string{s.PrivateKeyFile, s.CertificateFile, b.PrivateKeyFile, b.Certificate} {
		if p != "" {
			paths = append(paths, p)
		}
	}
	return paths
}

// Check finds all that is wrong with the arguments, without looking at files or the network.
func Check(s provisioners.SSHArgs, b provisioners.BastionArgs) error {
	var errs []error
	bad := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	bad(s.Username == "", "ssh_username is missing; name the user to log in as")
	bad(s.Port < 0 || s.Port > 65535, "ssh_port %d is not a port; use 1 to 65535", s.Port)
	bad(s.HandshakeAttempts < 0, "ssh_handshake_attempts is %d; use 1 or more", s.HandshakeAttempts)
	bad(s.CertificateFile != "" && s.PrivateKeyFile == "" && !s.AgentAuth,
		"ssh_certificate_file needs the key that it certifies; set ssh_private_key_file")
	bad(b.Host != "" && b.Username == "", "ssh_bastion_username is missing; name the user for %q", b.Host)
	bad(b.Host != "" && b.Password == "" && b.PrivateKeyFile == "" && !b.AgentAuth,
		"ssh_bastion_host %q needs ssh_bastion_password, ssh_bastion_private_key_file or ssh_bastion_agent_auth", b.Host)
	switch s.FileTransferMethod {
	case "", "sftp", "scp":
	default:
		bad(true, "ssh_file_transfer_method %q is not known; use \"sftp\" or \"scp\"", s.FileTransferMethod)
	}
	errs = append(errs, checkNames("ssh_ciphers", s.Ciphers, ssh.SupportedAlgorithms().Ciphers, ssh.InsecureAlgorithms().Ciphers))
	errs = append(errs, checkNames("ssh_key_exchange_algorithms", s.KeyExchangeAlgorithms,
		ssh.SupportedAlgorithms().KeyExchanges, ssh.InsecureAlgorithms().KeyExchanges))
	for _, t := range append(s.LocalTunnels[:len(s.LocalTunnels):len(s.LocalTunnels)], s.RemoteTunnels...) {
		_, err := parseTunnel(t)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// checkNames finds algorithms that no list knows.
func checkNames(argument string, names []string, known ...[]string) error {
	var errs []error
next:
	for _, n := range names {
		for _, list := range known {
			for _, k := range list {
				if n == k {
					continue next
				}
			}
		}
		errs = append(errs, fmt.Errorf("%s: %q is not known; known are %v", argument, n, known))
	}
	return errors.Join(errs...)
}

func (c Config) port() int {
	if c.SSH.Port == 0 {
		return defaultPort
	}
	return c.SSH.Port
}

func (c Config) attempts() int {
	if c.SSH.HandshakeAttempts == 0 {
		return defaultAttempts
	}
	return c.SSH.HandshakeAttempts
}

// timeout is how long a login may take; 0 for no limit. As in Packer there is none if only ssh_handshake_attempts is
// given.
func (c Config) timeout() time.Duration {
	switch {
	case c.SSH.Timeout != 0:
		return time.Duration(c.SSH.Timeout)
	case c.SSH.WaitTimeout != 0:
		return time.Duration(c.SSH.WaitTimeout)
	case c.SSH.HandshakeAttempts != 0:
		return 0
	}
	return defaultTimeout
}

// finder is ssh_host if that is given, and find otherwise.
func (c Config) finder(find Finder) Finder {
	if c.SSH.Host == "" {
		return find
	}
	addr := net.JoinHostPort(c.SSH.Host, fmt.Sprint(c.port()))
	return func(context.Context) (string, error) { return addr, nil }
}

func (c Config) withDefaults() Config {
	if c.Dial == nil {
		c.Dial = (&net.Dialer{}).DialContext
	}
	if c.Poll == 0 {
		c.Poll = defaultPoll
	}
	if c.Patience == 0 {
		c.Patience = defaultPatience
	}
	return c
}
