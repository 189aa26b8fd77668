package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/boxkiln/boxkiln/test/bench/figures"
)

// What is asked of downloads: our speed as a share of nginx's.
const (
	askedOfOne     = 0.75
	askedOfSixteen = 0.95
)

// downloads compares us with Debian's nginx, which serves the same file from the same disk to the same client.
func downloads(ctx context.Context, b *bench) error {
	n, err := startNginx(ctx, b.work, b.kiln.file)
	if err != nil {
		return err
	}
	defer n.stop()
	for _, c := range []struct {
		clients int
		asked   float64
	}{{1, askedOfOne}, {16, askedOfSixteen}} {
		list, err := figures.Pairs(b.rounds,
			func() (float64, error) { return speed(ctx, b.kiln.url+b.kiln.path, b.kiln.size, c.clients) },
			func() (float64, error) { return speed(ctx, n.url, b.kiln.size, c.clients) })
		if err != nil {
			return err
		}
		var ours, theirs []float64
		for _, p := range list {
			ours, theirs = append(ours, p.Ours), append(theirs, p.Theirs)
		}
		b.report.Figure(fmt.Sprintf("%d clients, Boxkiln, MB/s", c.clients), figures.Median(ours))
		b.report.Figure(fmt.Sprintf("%d clients, nginx, MB/s", c.clients), figures.Median(theirs))
		b.report.AtLeast(fmt.Sprintf("%d clients, ratio", c.clients), figures.Median(figures.Ratios(list)), c.asked)
	}
	return nil
}

// speed lets clients download a file of that size at once, and is what they receive together, in MB/s. The client is curl,
// as Vagrant's is.
func speed(ctx context.Context, url string, size int64, clients int) (float64, error) {
	g, ctx := errgroup.WithContext(ctx)
	began := time.Now()
	for range clients {
		g.Go(func() error {
			out, err := exec.CommandContext(ctx, "curl", "-sSf", "-o", os.DevNull, "-w", "%{size_download}", url).Output()
			if err == nil && string(out) != fmt.Sprint(size) {
				err = fmt.Errorf("%s sent %s of %d bytes", url, out, size)
			}
			return err
		})
	}
	err := g.Wait()
	return float64(size) * float64(clients) / time.Since(began).Seconds() / 1e6, err
}

// nginx is Debian's, with the settings of its nginx.conf that concern files.
type nginx struct {
	url string
	cmd *exec.Cmd
}

const nginxConf = `daemon off;
%s
worker_processes auto;
pid %[2]s/nginx.pid;
error_log %[2]s/error.log;
events { worker_connections 768; }
http {
	sendfile on;
	tcp_nopush on;
	access_log off;
	client_body_temp_path %[2]s/body; proxy_temp_path %[2]s/proxy; fastcgi_temp_path %[2]s/fastcgi; uwsgi_temp_path %[2]s/uwsgi; scgi_temp_path %[2]s/scgi;
	default_type application/octet-stream;
	server { listen %[3]s; location = /vagrant.box { alias %[4]s; } }
}
`

func startNginx(ctx context.Context, work, file string) (*nginx, error) {
	dir := filepath.Join(work, "nginx")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	user := ""
	if os.Getuid() == 0 {
		user = "user root;" // who can read the file wherever it is
	}
	conf := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, nginxConf, user, dir, address, file), 0o644); err != nil {
		return nil, err
	}
	n := &nginx{url: "http://" + address + "/vagrant.box", cmd: exec.CommandContext(ctx, "nginx", "-p", dir, "-c", conf)}
	n.cmd.Stderr = os.Stderr
	n.cmd.Cancel = func() error { return n.cmd.Process.Signal(syscall.SIGTERM) }
	if err := n.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%w; `apt-get install nginx-light` brings it", err)
	}
	if err := listens(ctx, address); err != nil {
		n.stop()
		return nil, err
	}
	return n, nil
}

// stop ends nginx and its workers. How it ends is no matter.
func (n *nginx) stop() {
	_ = n.cmd.Process.Signal(syscall.SIGTERM)
	_ = n.cmd.Wait()
}
