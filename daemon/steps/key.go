package steps

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/internal/fsx"
	"github.com/boxkiln/boxkiln/provisioners"
)

// makeKey makes the temporary key pair, unless the template brings a login of its own and can have no use for one.
func (t *Set) makeKey(_ context.Context, s *build.Session) error {
	c := s.Plan.Communicator
	if c.Kind() != "ssh" || c.SSH.PrivateKeyFile != "" || c.SSH.AgentAuth {
		return nil
	}
	if wanted, err := wantsKey(s.Plan); err != nil || !wanted {
		return err
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

// wantsKey tells whether a template without a key of its own needs a temporary one: it has no password, asks for a type of
// key, or names the key in a text that reaches the guest or a provisioner. A key that no guest knows costs a refused login,
// and a look for it at the end.
func wantsKey(p *build.Plan) (bool, error) {
	if p.Communicator.SSH.Password == "" || p.Communicator.TemporaryKey != (provisioners.TemporaryKeyArgs{}) {
		return true, nil
	}
	text, err := json.Marshal(p)
	return bytes.Contains(text, []byte("SSHPublicKey")) || bytes.Contains(text, []byte("SSHPrivateKey")), err
}
