package sshguest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/boxkiln/boxkiln/provisioners"
)

// identity is what one server is shown at a login.
type identity struct {
	user        string
	password    string
	signers     []ssh.Signer
	agentSocket string // empty if the agent's keys are not to be used
}

// guestIdentity reads the keys for the guest.
func (c Config) guestIdentity() (identity, error) {
	id := identity{user: c.SSH.Username, password: c.SSH.Password}
	var err error
	if id.agentSocket, err = c.agentFor(c.SSH.AgentAuth, "ssh_agent_auth"); err != nil {
		return id, err
	}
	if len(c.PrivateKey) > 0 {
		s, err := parseKey(c.PrivateKey, "the temporary key")
		if err != nil {
			return id, err
		}
		id.signers = append(id.signers, s)
	}
	named, err := readSigners(c.Files, "ssh_private_key_file", c.SSH.PrivateKeyFile, "ssh_certificate_file", c.SSH.CertificateFile)
	id.signers = append(named, id.signers...)
	return id, err
}

// bastionIdentity reads the keys for the jump host.
func (c Config) bastionIdentity() (identity, error) {
	b := c.Bastion
	id := identity{user: b.Username, password: b.Password}
	var err error
	if id.agentSocket, err = c.agentFor(b.AgentAuth, "ssh_bastion_agent_auth"); err != nil {
		return id, err
	}
	id.signers, err = readSigners(c.Files, "ssh_bastion_private_key_file", b.PrivateKeyFile, "ssh_bastion_certificate_file", b.Certificate)
	return id, err
}

func (c Config) agentFor(wanted bool, argument string) (string, error) {
	if wanted && c.AgentSocket == "" {
		return "", fmt.Errorf("%s is set, but no SSH agent runs; start one (SSH_AUTH_SOCK) or name a key file", argument)
	}
	if !wanted {
		return "", nil
	}
	return c.AgentSocket, nil
}

// readSigners reads a key and its certificate. The certified key is offered first, the bare one after it.
func readSigners(files provisioners.Files, keyArg, keyPath, certArg, certPath string) ([]ssh.Signer, error) {
	if keyPath == "" {
		return nil, nil
	}
	pem, err := readFile(files, keyArg, keyPath)
	if err != nil {
		return nil, err
	}
	signer, err := parseKey(pem, fmt.Sprintf("%s %q", keyArg, keyPath))
	if err != nil || certPath == "" {
		return []ssh.Signer{signer}, err
	}
	text, err := readFile(files, certArg, certPath)
	if err != nil {
		return nil, err
	}
	public, _, _, _, err := ssh.ParseAuthorizedKey(text)
	cert, ok := public.(*ssh.Certificate)
	if err != nil || !ok {
		return nil, fmt.Errorf("%s %q is not an SSH certificate; use the -cert.pub file that ssh-keygen -s wrote", certArg, certPath)
	}
	certified, err := ssh.NewCertSigner(cert, signer)
	if err != nil {
		return nil, fmt.Errorf("%s %q does not belong to the key %q: %w", certArg, certPath, keyPath, err)
	}
	return []ssh.Signer{certified, signer}, nil
}

const keyFileLimit = 1 << 20

func readFile(files provisioners.Files, argument, path string) ([]byte, error) {
	if files == nil {
		return nil, fmt.Errorf("%s %q: %w", argument, path, fs.ErrNotExist)
	}
	f, err := files.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", argument, err)
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, keyFileLimit))
}

// parseKey never repeats any of the key in its error.
func parseKey(pem []byte, what string) (ssh.Signer, error) {
	signer, err := ssh.ParsePrivateKey(pem)
	var locked *ssh.PassphraseMissingError
	switch {
	case errors.As(err, &locked):
		return nil, fmt.Errorf("%s is locked with a passphrase, which nobody can be asked for during a build; load it into an SSH agent and set ssh_agent_auth", what)
	case err != nil:
		return nil, fmt.Errorf("%s is not a private key in PEM that can be used: %w", what, err)
	}
	return signer, nil
}

// offer is what one login learned about the server.
type offer struct {
	methods []string      // logins that the server offers
	hostKey ssh.PublicKey // the key that it showed
	tried   bool          // the server answered the first login request
}

// clientConfig is for one login, which writes what it learns into seen. The returned function must be called after it.
func (id identity) clientConfig(ctx context.Context, checkHost func(ssh.PublicKey) error, seen *offer) (*ssh.ClientConfig, func(), error) {
	signers, done, err := id.allSigners(ctx)
	if err != nil {
		return nil, nil, err
	}
	cfg := &ssh.ClientConfig{
		User: id.user,
		HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error {
			seen.hostKey = key
			return checkHost(key)
		},
		// Only asked for what to try next, after the first answer: it tells what the server offers.
		AuthCallback: func(c *ssh.ClientAuthContext) (ssh.AuthMethod, error) {
			seen.methods, seen.tried = c.AllowedMethods, true
			return nil, nil
		},
	}
	if len(signers) > 0 {
		cfg.Auth = append(cfg.Auth, ssh.PublicKeys(signers...))
	}
	if id.password != "" {
		cfg.Auth = append(cfg.Auth, ssh.Password(id.password), ssh.KeyboardInteractive(id.answer))
	}
	return cfg, done, nil
}

// answer gives the password to each question, as there is nobody else to ask.
func (id identity) answer(_, _ string, questions []string, _ []bool) ([]string, error) {
	answers := make([]string, len(questions))
	for i := range answers {
		answers[i] = id.password
	}
	return answers, nil
}

// allSigners adds the agent's keys, whose connection is held until done.
func (id identity) allSigners(ctx context.Context) (all []ssh.Signer, done func(), err error) {
	if id.agentSocket == "" {
		return id.signers, func() {}, nil
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", id.agentSocket)
	if err != nil {
		return nil, nil, fmt.Errorf("the SSH agent at %q does not answer: %w", id.agentSocket, err)
	}
	keys, err := agent.NewClient(conn).Signers()
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("the SSH agent at %q lists no keys: %w", id.agentSocket, err), conn.Close())
	}
	return append(id.signers[:len(id.signers):len(id.signers)], keys...), func() { _ = conn.Close() }, nil
}
