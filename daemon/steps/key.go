package steps

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/internal/fsx"
)

// makeKey makes the temporary key pair, unless the template brings a key or an agent. A template with a password gets one
// too: it may hand the public key to the installer, and it costs nothing.
func (t *Set) makeKey(_ context.Context, s *build.Session) error {
	c := s.Plan.Communicator
	if c.Kind() != "ssh" || c.SSH.PrivateKeyFile != "" || c.SSH.AgentAuth {
		return nil
	}
	private, authorized, err := t.Parts.Communicator.NewKey(c.TemporaryKey.Type, c.TemporaryKey.Bits)
	if err != nil {
		return fmt.Errorf("make a temporary key: %w", err)
	}
	s.Key = build.KeyPair{Private: private, Authorized: authorized}
	return keepKey(s)
}

// keepKey puts the private key where ssh clients find it.
func keepKey(s *build.Session) error {
	s.Key.File = filepath.Join(s.Dirs.Scratch, "key")
	if err := fsx.WriteFile(s.Key.File, []byte(s.Key.Private), 0o600); err != nil {
		return build.OurFault(fmt.Errorf("keep the temporary key: %w", err))
	}
	return nil
}
