package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/boxkiln/boxkiln/boxregistry/blob"
	"github.com/boxkiln/boxkiln/boxregistry/blob/s3"
	"github.com/boxkiln/boxkiln/internal/fsx"
	"github.com/boxkiln/boxkiln/internal/layout"
)

// envBlobs is the environment variable that says where files of boxes are kept, like --blobs.
const envBlobs = "BOXKILN_BLOBS"

// ownBlobs is the value of --blobs for the data directory.
const ownBlobs = "file"

// blobPlace is where the files of boxes are kept.
type blobPlace struct {
	name string                                                        // as the user writes it
	open func(ctx context.Context, install string) (blob.Store, error) // nil for the data directory
}

// blobPlace finds out where the files of boxes are: by the switch, by the environment, or where they were the last time. A
// daemon that a build starts must not look for them elsewhere than the one that serves them.
func (e *environment) blobPlace(data layout.Dir, flag string) (blobPlace, error) {
	last, err := os.ReadFile(data.BlobPlace())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return blobPlace{}, err
	}
	name, from := ownBlobs, ""
	for _, c := range []struct{ name, from string }{{flag, "--blobs"}, {e.getenv(envBlobs), envBlobs}, {strings.TrimSpace(string(last)), data.BlobPlace()}} {
		if c.name != "" {
			name, from = c.name, c.from
			break
		}
	}
	if name == ownBlobs {
		return blobPlace{name: name}, nil
	}
	cfg, err := s3.ParseURL(name)
	if err != nil { // which may hold a key, so it is not shown
		return blobPlace{}, fmt.Errorf("%s: %w; or %q for the data directory", from, err, ownBlobs)
	}
	cfg.Spool = data.Staging()
	return blobPlace{name, func(ctx context.Context, install string) (blob.Store, error) {
		cfg.Owner = install
		return s3.Open(ctx, cfg)
	}}, nil
}

// remember keeps the place for the next daemon.
func (p blobPlace) remember(data layout.Dir) error {
	last, err := os.ReadFile(data.BlobPlace())
	if err == nil && string(last) == p.name+"\n" || errors.Is(err, fs.ErrNotExist) && p.name == ownBlobs {
		return nil
	}
	return fsx.WriteFile(data.BlobPlace(), []byte(p.name+"\n"), 0o644)
}
