package steps

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/hypervisor"
)

// uploads tells whether the machine has something for its guest.
func uploads(s *build.Session) bool {
	_, ok := s.Machine.(hypervisor.Uploader)
	return ok && s.Guest != nil
}

// uploadTools sends what the hypervisor wants its guests to have: its version, its guest tools.
func (t *Set) uploadTools(ctx context.Context, s *build.Session) error {
	list, err := s.Machine.(hypervisor.Uploader).Uploads(ctx)
	if err != nil {
		return build.OurFault(err)
	}
	for _, u := range list {
		s.Log.Say("Uploading %s", u.What)
		if err := upload(ctx, s, u); err != nil {
			return fmt.Errorf("upload %s to %q in the guest: %w", u.What, u.To, err)
		}
	}
	return nil
}

func upload(ctx context.Context, s *build.Session, u hypervisor.Upload) error {
	var src io.Reader = strings.NewReader(u.Text)
	if u.Path != "" {
		f, err := os.Open(u.Path)
		if err != nil {
			return err
		}
		defer f.Close()
		src = f
	}
	return s.Guest.Put(ctx, u.To, 0o644, src)
}
