package steps

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/provisioners"
)

// waitGuest waits until a login works. The build's context ends when the machine does or its kernel gives up, and so
// does the wait; it also ends when the guest fetches the same seed file over and over.
func (t *Set) waitGuest(ctx context.Context, s *build.Session) error {
	c := s.Plan.Communicator
	if c.Kind() != "ssh" {
		return fmt.Errorf("communicator %q: only ssh and none are built yet", c.Kind())
	}
	watchConsole(ctx, s)
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
	guest, err := t.connect(ctx, s, build.ConnectRequest{
		Args: c, PrivateKey: []byte(s.Key.Private), Files: s.Files, Find: find, HostKey: s.HostKey,
		Report: func(text string) { s.Log.Message("%s", text) }, Mark: s.Log.Mark,
	})
	if err != nil {
		return err
	}
	s.SetGuest(guest)
	s.CloseAtEnd(guest)
	s.Reached, _ = reached.Load().(string) // not stored if the template says ssh_host
	s.HostKey = hostKey(s)
	s.Log.Say("Connected to SSH!")
	return nil
}

// connect logs in, as long as the guest does not fetch the same thing over and over instead.
func (t *Set) connect(ctx context.Context, s *build.Session, r build.ConnectRequest) (provisioners.Guest, error) {
	f := seedFetches(s)
	if f == nil {
		return t.Parts.Communicator.Connect(ctx, r)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer f.watch(cancel)()
	guest, err := t.Parts.Communicator.Connect(ctx, r)
	if err == nil {
		f.start() // the next wait, after a thaw, does not count what this system fetched since
	}
	return guest, err
}
