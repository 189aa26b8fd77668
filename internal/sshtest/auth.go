package sshtest

import (
	"bytes"
	"crypto/subtle"
	"errors"
	"slices"
	"sync"

	"golang.org/x/crypto/ssh"
)

var errRefused = errors.New("refused")

// config is the server's side of the handshake of one connection.
func (s *Server) config() *ssh.ServerConfig {
	s.mu.Lock()
	hostKey := s.hostKey
	s.mu.Unlock()
	cfg := &ssh.ServerConfig{MaxAuthTries: -1, ServerVersion: s.opts.Version}
	if cfg.ServerVersion == "" {
		cfg.ServerVersion = "SSH-2.0-sshtest"
	}
	cfg.AddHostKey(hostKey)
	admit := sync.OnceValue(s.admit)
	check := func(c ssh.ConnMetadata, good bool) (*ssh.Permissions, error) {
		if !admit() || !good || s.opts.User != "" && c.User() != s.opts.User {
			return nil, errRefused
		}
		return &ssh.Permissions{}, nil
	}
	s.addPassword(cfg, check)
	s.addKeys(cfg, check)
	if s.opts.NoAuth {
		cfg.NoClientAuth = true
		cfg.NoClientAuthCallback = func(c ssh.ConnMetadata) (*ssh.Permissions, error) { return check(c, true) }
	}
	return cfg
}

// admit counts a login down from those to be refused. It is asked once for each connection that shows a credential.
func (s *Server) admit() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse > 0 {
		s.refuse--
		return false
	}
	return true
}

type checker func(c ssh.ConnMetadata, good bool) (*ssh.Permissions, error)

func (s *Server) addPassword(cfg *ssh.ServerConfig, check checker) {
	if s.opts.Password == "" {
		return
	}
	right := func(p []byte) bool { return subtle.ConstantTimeCompare(p, []byte(s.opts.Password)) == 1 }
	if !s.opts.Interactive {
		cfg.PasswordCallback = func(c ssh.ConnMetadata, p []byte) (*ssh.Permissions, error) { return check(c, right(p)) }
		return
	}
	cfg.KeyboardInteractiveCallback = func(c ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
		answers, err := ask(c.User(), "", []string{"Password: "}, []bool{false})
		if err != nil {
			return nil, err
		}
		return check(c, len(answers) == 1 && right([]byte(answers[0])))
	}
}

func (s *Server) addKeys(cfg *ssh.ServerConfig, check checker) {
	if len(s.opts.AuthorizedKeys) == 0 && s.opts.UserCA == nil {
		return
	}
	certs := ssh.CertChecker{IsUserAuthority: func(ca ssh.PublicKey) bool { return sameKey(ca, s.opts.UserCA) }}
	cfg.PublicKeyCallback = func(c ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if _, isCert := key.(*ssh.Certificate); isCert {
			_, err := certs.Authenticate(c, key)
			return check(c, err == nil)
		}
		return check(c, slices.ContainsFunc(s.opts.AuthorizedKeys, func(k ssh.PublicKey) bool { return sameKey(k, key) }))
	}
}

func sameKey(a, b ssh.PublicKey) bool {
	return a != nil && b != nil && bytes.Equal(a.Marshal(), b.Marshal())
}
