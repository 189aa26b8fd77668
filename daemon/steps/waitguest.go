package steps

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/boxkiln/boxkiln/daemon/build"
)

// waitGuest waits until a login works. The build's context ends when the machine does, and so does the wait.
func (t *Set) waitGuest(ctx context.Context, s *build.Session) error {
	c := s.Plan.Communicator
	if c.Kind() != "ssh" {
		return fmt.Errorf("communicator %q: only ssh and none are built yet", c.Kind())
	}
	s.Log.Say("Waiting for SSH to become available...")
	var reached atomic.Value // tries may overlap
	find := func(ctx context.Context) (string, error) {
		e, err := s.Machine.Guest(ctx, guestPort(c.SSH.Port))
		if err != nil {
			return "", err
		}
		reached.Store(e.String())
		return e.String(), nil
	}
	guest, err := t.Parts.Communicator.Connect(ctx, build.ConnectRequest{
		Args: c, PrivateKey: []byte(s.Key.Private), Files: s.Files, Find: find,
		Report: func(text string) { s.Log.Message("%s", text) },
	})
	if err != nil {
		return err
	}
	s.SetGuest(guest)
	s.CloseAtEnd(guest)
	s.Reached, _ = reached.Load().(string) // not stored if the template says ssh_host
	s.Log.Say("Connected to SSH!")
	return nil
}
