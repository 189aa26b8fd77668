// Package catalog measures what the catalog of a large box costs, since every "vagrant up" fetches all of it.
//
// [Fill] publishes a box with many versions, [Measure] asks a daemon for its catalog over many connections at once, as a
// fleet does that comes up. The client that asks does as little as it can, for it runs on the processors that are
// measured: it writes a request, reads the answer into one buffer and looks at nothing but its length.
package catalog

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/boxkiln/boxkiln/boxregistry"
)

// The box that Fill publishes.
const (
	Box      = "bench/fleet"
	Versions = 200
)

// files of each version, as provider and architecture.
var files = [][2]string{
	{"libvirt", "amd64"}, {"libvirt", "arm64"}, {"virtualbox", "amd64"}, {"virtualbox", "arm64"}, {"vmware_desktop", "amd64"}, {"vmware_desktop", "arm64"},
}

// Publisher is what Fill needs of a registry.
type Publisher interface {
	CreateBox(ctx context.Context, b boxregistry.Box) error
	CreateVersion(ctx context.Context, name boxregistry.Name, v boxregistry.Version, description string) error
	Publish(ctx context.Context, p boxregistry.Publication) error
	Release(ctx context.Context, name boxregistry.Name, v boxregistry.Version, channels ...boxregistry.Channel) error
}

// Fill publishes Box with all its versions. Every file of it is the given one, whose bytes are stored already.
func Fill(ctx context.Context, to Publisher, f boxregistry.File) error {
	name, err := boxregistry.ParseName(Box)
	if err != nil {
		return err
	}
	if err := to.CreateBox(ctx, boxregistry.Box{Name: name, ShortDescription: "a fleet's box", Description: "It has been built every night."}); err != nil {
		return err
	}
	for n := range Versions {
		v, err := boxregistry.ParseVersion(fmt.Sprintf("20261120.%d.0", n))
		if err != nil {
			return err
		}
		if err := release(ctx, to, name, v, f); err != nil {
			return err
		}
	}
	return nil
}

func release(ctx context.Context, to Publisher, name boxregistry.Name, v boxregistry.Version, f boxregistry.File) error {
	if err := to.CreateVersion(ctx, name, v, "Packages of the night."); err != nil {
		return err
	}
	for _, place := range files {
		f.Provider, f.Architecture = boxregistry.Provider(place[0]), boxregistry.Architecture(place[1])
		if err := to.Publish(ctx, boxregistry.Publication{Box: name, Version: v, File: f}); err != nil {
			return err
		}
	}
	return to.Release(ctx, name, v)
}

// Load says how a daemon is asked.
type Load struct {
	URL         string // http://host:port
	Connections int
	WarmUp      time.Duration // not measured
	Time        time.Duration
}

// Result is what Measure saw.
type Result struct {
	Rate float64       // requests in a second
	P99  time.Duration // what 99 of 100 requests took at most
	Size int           // of a catalog, in bytes
}

// String is the line that the benchmark prints.
func (r Result) String() string {
	return fmt.Sprintf("catalog: %.0f requests/s, p99 %.1f ms", r.Rate, float64(r.P99.Microseconds())/1000)
}

// Measure asks for the catalog of Box again and again on every connection.
func Measure(ctx context.Context, l Load) (Result, error) {
	size, err := check(ctx, l.URL)
	if err != nil {
		return Result{}, err
	}
	address := strings.TrimPrefix(l.URL, "http://")
	began := time.Now().Add(l.WarmUp)
	took := make([][]time.Duration, l.Connections)
	group, ctx := errgroup.WithContext(ctx)
	for i := range took {
		group.Go(func() (err error) {
			took[i], err = ask(ctx, address, size, began, l.Time)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return Result{}, err
	}
	all := slices.Sorted(slices.Values(slices.Concat(took...)))
	if len(all) == 0 {
		return Result{}, errors.New("no request was answered in the time of the benchmark")
	}
	return Result{Rate: float64(len(all)) / l.Time.Seconds(), P99: all[len(all)*99/100], Size: size}, nil
}

// check makes sure that the catalog is what it should be, and returns its size.
func check(ctx context.Context, base string) (size int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/"+Box, nil)
	if err != nil {
		return 0, err
	}
	req.Header.Set("User-Agent", "Vagrant/2.4.9")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	var body bytes.Buffer
	if _, err := body.ReadFrom(res.Body); err != nil {
		return 0, err
	}
	var c struct {
		Versions []struct{ Providers []struct{} }
	}
	if err := json.Unmarshal(body.Bytes(), &c); err != nil {
		return 0, fmt.Errorf("the catalog: %w", err)
	}
	if len(c.Versions) != Versions || len(c.Versions[0].Providers) != len(files) {
		return 0, fmt.Errorf("the catalog has %d versions, want %d of %d files", len(c.Versions), Versions, len(files))
	}
	return body.Len(), nil
}

// ask sends one request after the other over one connection, and returns how long those took that ended within the
// measured time.
func ask(ctx context.Context, address string, size int, began time.Time, length time.Duration) (took []time.Duration, err error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	request := []byte("GET /" + Box + " HTTP/1.1\r\nHost: " + address + "\r\nUser-Agent: Vagrant/2.4.9\r\nAccept: application/json\r\n\r\n")
	buf := make([]byte, size+4096)
	for {
		sent := time.Now()
		if _, err := conn.Write(request); err != nil {
			return took, err
		}
		if err := answer(conn, buf, size); err != nil {
			return took, err
		}
		now := time.Now()
		if now.After(began.Add(length)) {
			return took, nil
		}
		if sent.After(began) {
			took = append(took, now.Sub(sent))
		}
	}
}

// answer reads one answer, whose body has a size that is known.
func answer(conn net.Conn, buf []byte, size int) error {
	have, head := 0, -1
	for head < 0 || have < head+size {
		n, err := conn.Read(buf[have:])
		if err != nil {
			return err
		}
		have += n
		if head < 0 {
			if i := bytes.Index(buf[:have], []byte("\r\n\r\n")); i >= 0 {
				head = i + 4
			}
		}
	}
	if !bytes.HasPrefix(buf, []byte("HTTP/1.1 200 ")) || !bytes.Contains(buf[:head], []byte("Content-Length: "+strconv.Itoa(size)+"\r\n")) {
		return fmt.Errorf("unexpected answer: %s", buf[:head])
	}
	return nil
}
