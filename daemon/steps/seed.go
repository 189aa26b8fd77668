package steps

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/iso/seedhttp"
)

// Under QEMU's user networking the guest sees this host's loopback as userNetHost.
const (
	loopback    = "127.0.0.1"
	userNetHost = "10.0.2.2"
)

// seed is a seed server with the address that the guest uses for it.
type seed struct {
	*seedhttp.Server
	seen    string
	fetches *fetches
}

func (s seed) Seen() string { return s.seen }

// seedFetches is what the guest fetches from the session's seed server; nil without one.
func seedFetches(s *build.Session) *fetches {
	if server, ok := s.Seed.(seed); ok {
		return server.fetches
	}
	return nil
}

// serveSeed starts the seed server, bound to the address that only the guest reaches.
func (t *Set) serveSeed(ctx context.Context, s *build.Session) error {
	args := s.Plan.Seed
	if args.Empty() {
		return nil
	}
	bind, seen, err := seedHost(ctx, s)
	if err != nil {
		return fmt.Errorf("find out where the guest sees this host: %w", err)
	}
	fetched := &fetches{}
	cfg := seedhttp.Config{Now: t.Now, Log: func(r seedhttp.Request) {
		s.Log.SeedRequest(r.Method, r.Path, r.Status, r.Bytes)
		fetched.note(r)
	}}
	guestFacing, err := netip.ParseAddr(bind)
	if err != nil {
		return build.OurFault(fmt.Errorf("driver %s has the seed server listen on %q: %w", s.Driver.Name(), bind, err))
	}
	if cfg.Addr, err = args.BindAddr(guestFacing); err != nil {
		return err
	}
	cfg.PortMin, cfg.PortMax = args.Ports()
	if args.Directory != "" {
		if cfg.Root, err = s.Files.Dir(args.Directory); err != nil {
			return fmt.Errorf("http_directory %q: %w", args.Directory, err)
		}
	} else if cfg.Content, err = t.seedContent(s); err != nil {
		return err
	}
	// The server outlives this step: it closes with the session.
	server, err := seedhttp.Start(context.WithoutCancel(ctx), cfg)
	if err != nil {
		return err
	}
	s.Seed = seed{server, seen, fetched}
	s.CloseAtEnd(server)
	s.Log.Say("Starting HTTP server on port %d", server.Port())
	return nil
}

// seedContent renders http_content: it may carry the temporary public key.
func (t *Set) seedContent(s *build.Session) (map[string]string, error) {
	render := t.renderer(s)
	content := make(map[string]string, len(s.Plan.Seed.Content))
	for name, text := range s.Plan.Seed.Content {
		out, err := render(text, nil)
		if err != nil {
			return nil, fmt.Errorf("http_content %q: %w", name, err)
		}
		content[name] = out
	}
	return content, nil
}

// seedHost tells where to listen and what the guest calls it.
func seedHost(ctx context.Context, s *build.Session) (bind, seen string, err error) {
	if h, ok := s.Driver.(hypervisor.SeedHost); ok {
		return h.SeedHost(ctx, s.Plan.Machine)
	}
	return loopback, userNetHost, nil
}
