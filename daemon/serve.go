package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/user"
	"strconv"
	"time"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/vagrantapi"
	"github.com/boxkiln/boxkiln/daemon/api"
	"github.com/boxkiln/boxkiln/daemon/wire"
	"github.com/boxkiln/boxkiln/internal/layout"
	"github.com/boxkiln/boxkiln/internal/sendfile"
	"github.com/boxkiln/boxkiln/web"
)

// server is one listener with its HTTP server.
type server struct {
	http     *http.Server
	listener net.Listener
}

func (s server) serve() error {
	if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// drainTime is how long requests that run may take when the daemon ends.
const drainTime = 5 * time.Second

func shutAll(servers []server) error {
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	var errs error
	for _, s := range servers {
		if err := s.http.Shutdown(ctx); err != nil {
			errs = errors.Join(errs, s.http.Close())
		}
	}
	return errs
}

func tcpAddress(servers []server) string {
	for _, s := range servers {
		if a, ok := s.listener.Addr().(*net.TCPAddr); ok {
			return a.String()
		}
	}
	return ""
}

// listen opens the socket and the TCP address.
func (d *Daemon) listen() ([]server, error) {
	handler, err := d.handler()
	if err != nil {
		return nil, err
	}
	socket, err := listenSocket(d.cfg.Data, d.cfg.SocketGroup)
	if err != nil {
		return nil, err
	}
	servers := []server{{newServer(handler, d.cfg.Log), socket}}
	if d.cfg.Listen == "" {
		return servers, nil
	}
	if err := checkListen(d.cfg.Listen, d.cfg.InsecureHTTP); err != nil {
		return nil, errors.Join(err, socket.Close())
	}
	tcp, err := net.Listen("tcp", d.cfg.Listen)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listen on %s: %w; choose another address with --listen", d.cfg.Listen, err), socket.Close())
	}
	// A page of another site must not make the browser of an admin change anything here.
	guarded := api.CheckHost(d.cfg.BaseURL.Host(), http.NewCrossOriginProtection().Handler(handler))
	return append(servers, server{newServer(guarded, d.cfg.Log), sendfile.Listener(tcp)}), nil
}

func newServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ConnContext:       api.ConnContext,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// checkListen refuses to send tokens and boxes over a network in clear without being told to.
func checkListen(addr string, insecure bool) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("--listen %q: write it like 127.0.0.1:8420", addr)
	}
	if ip := net.ParseIP(host); insecure || host == "localhost" || (ip != nil && ip.IsLoopback()) {
		return nil
	}
	return fmt.Errorf("--listen %q is not a loopback address, and tokens would cross the network in clear: put a proxy with TLS in front of 127.0.0.1, or accept it with --insecure-http", addr)
}

// listenSocket makes the daemon's socket. The lock of the data directory is held, so a socket that exists is a dead one.
func listenSocket(data layout.Dir, group string) (net.Listener, error) {
	path, err := data.Socket()
	if err != nil {
		return nil, err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	if err := openSocket(path, group); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func openSocket(path, group string) error {
	if group == "" {
		return os.Chmod(path, layout.SecretMode)
	}
	g, err := user.LookupGroup(group)
	if err != nil {
		return fmt.Errorf("--socket-group: %w", err)
	}
	gid, err := strconv.Atoi(g.Gid)
	if err != nil {
		return fmt.Errorf("--socket-group %q has no number: %w", group, err)
	}
	return errors.Join(os.Chown(path, -1, gid), os.Chmod(path, layout.SecretMode|0o060))
}

// handler puts the API, the registry and the pages behind one door.
func (d *Daemon) handler() (http.Handler, error) {
	pages, err := d.pages()
	if err != nil {
		return nil, err
	}
	d.vagrant = d.vagrantAPI(pages)
	door := api.Door{
		Tokens: d.tokens, Sessions: pages, Private: d.cfg.Private,
		API: &api.Server{
			Builds:      d.builds,
			Inputs:      d.builds.inputs,
			Tokens:      d.tokens,
			Audit:       d.audit,
			Resumer:     d.builds,
			Clouds:      d.builds,
			Explainer:   d.explain,
			Checkpoints: d.kept,
			BoxStore:    d.registry,
			Installed:   d.registry,
			Registry:    d.registry,
			Uploads:     d.uploads,
			Window:      d.builds,
			Imports:     d.moveIn.imports,
			Log:         d.cfg.Log,
			Now:         d.cfg.Now,
			Info:        wire.Info{Version: d.cfg.Version, Data: d.cfg.Data.Path()},
		},
		Others: []api.Routes{
			pages,
			api.Beside{Known: d.registry, Key: d.signer.Public(), Log: d.cfg.Log},
			d.vagrant,
		},
		NotFound: pages.NotFound,
	}
	if d.moveIn.mirror != nil {
		door.First = d.moveIn.mirror.Serve
	}
	return vagrantapi.CollapseSlashes(d.vagrant.Signed(door.Handler())), nil
}

// vagrantAPI is the registry as the clients of Vagrant Cloud know it.
func (d *Daemon) vagrantAPI(pages *web.Site) *vagrantapi.API {
	o := vagrantapi.Options{
		BaseURL: d.cfg.BaseURL, Page: pages.Box, Logger: d.cfg.Log, Now: d.cfg.Now,
		Accounts: d.tokens, Principals: d.tokens, Editor: d.registry, Uploads: d.uploads, Downloads: d.registry, Revision: d.revision,
		SignKey: d.builds.vault.links, NoAutoCreate: d.cfg.NoAutoCreate,
	}
	if d.cfg.RedirectDownloads {
		o.Links = d.registry
	}
	return vagrantapi.New(d.boxes(), o)
}

// revision is that of a box; there is none for those that other registries may change.
func (d *Daemon) revision(name boxregistry.Name) (revision uint64, keep bool) {
	mirror := d.moveIn.mirror
	return d.registry.Revision(), mirror == nil || !mirror.Mirrors(name.Org())
}
