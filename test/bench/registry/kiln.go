package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/boxkiln/boxkiln/boxregistry"
	blobfs "github.com/boxkiln/boxkiln/boxregistry/blob/fs"
	boxstore "github.com/boxkiln/boxkiln/boxregistry/store"
	"github.com/boxkiln/boxkiln/internal/layout"
	"github.com/boxkiln/boxkiln/internal/sqlitedb"
	"github.com/boxkiln/boxkiln/test/bench/catalog"
)

// kiln is a daemon over a data directory of its own.
type kiln struct {
	data layout.Dir
	url  string // http://127.0.0.1:port
	file string // of the box, on disk
	size int64  // of the box, in bytes
	path string // of its download
	cmd  *exec.Cmd
	log  *os.File
}

// startKiln publishes a box of that many bytes, none of which compresses, and starts the daemon.
func startKiln(ctx context.Context, program, work string, size int64) (*kiln, error) {
	data, err := layout.Data(filepath.Join(work, "data"))
	if err != nil {
		return nil, err
	}
	if err := data.Make(); err != nil {
		return nil, err
	}
	k := &kiln{data: data, size: size}
	if err := k.publish(ctx); err != nil {
		return nil, fmt.Errorf("publish a box: %w", err)
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	if k.log, err = os.Create(filepath.Join(work, "daemon.log")); err != nil {
		return nil, err
	}
	k.url = "http://" + address
	k.cmd = exec.CommandContext(ctx, program, "serve", "--data", data.Path(), "--listen", address)
	k.cmd.Stdout, k.cmd.Stderr = k.log, k.log
	k.cmd.Cancel = func() error { return k.cmd.Process.Signal(syscall.SIGTERM) }
	if err := k.cmd.Start(); err != nil {
		return nil, err
	}
	if err := listens(ctx, address); err != nil {
		return nil, errors.Join(fmt.Errorf("the daemon, whose log is %s: %w", k.log.Name(), err), k.stop())
	}
	return k, nil
}

// publish puts bench/box 1.0 into the registry, and the box of the catalog's measure, before the daemon owns it.
func (k *kiln) publish(ctx context.Context) error {
	db, err := sqlitedb.Open(ctx, k.data.DB())
	if err != nil {
		return err
	}
	blobs, err := blobfs.Open(k.data.Blobs(), k.data.Staging())
	if err != nil {
		return errors.Join(err, db.Close())
	}
	registry, err := boxstore.New(ctx, db, blobs, nil)
	if err != nil {
		return errors.Join(err, db.Close())
	}
	f, err := release(ctx, registry, noise(k.size))
	if err == nil {
		err = catalog.Fill(ctx, registry, f)
	}
	digest := f.Digest
	k.file = filepath.Join(k.data.Blobs(), string(digest[:min(2, len(digest))]), string(digest))
	k.path = "/bench/boxes/box/versions/1.0/providers/libvirt/amd64/" + digest.Short() + "/vagrant.box"
	return errors.Join(err, db.Close())
}

func release(ctx context.Context, registry *boxstore.Registry, content io.Reader) (boxregistry.File, error) {
	name, nameErr := boxregistry.ParseName("bench/box")
	version, err := boxregistry.ParseVersion("1.0")
	if err := errors.Join(nameErr, err); err != nil {
		return boxregistry.File{}, err
	}
	f, err := registry.Add(ctx, boxregistry.Publication{Box: name, Version: version,
		File: boxregistry.File{Provider: "libvirt", Architecture: "amd64"}}, content)
	if err != nil {
		return f, err
	}
	return f, registry.Release(ctx, name, version)
}

// noise is n bytes that do not compress and are the same in every run.
func noise(n int64) io.Reader { return io.LimitReader(rand.NewChaCha8([32]byte{}), n) }

// peakMemory is the largest resident memory that the daemon had until now, in bytes.
func (k *kiln) peakMemory() (int64, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", k.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			return kib << 10, err
		}
	}
	return 0, errors.New("the system does not tell VmHWM")
}

// stop ends the daemon.
func (k *kiln) stop() error {
	return errors.Join(k.cmd.Process.Signal(syscall.SIGTERM), k.cmd.Wait(), k.log.Close())
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// listens waits until somebody listens at an address.
func listens(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("nobody listens on %s: %w", address, err)
		}
	}
}
