package iso

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
)

// Digest tells by which digest the medium would be known after Fetch, without downloading it: the one that the template
// declares, or else the sha256 of the bytes if they are on this machine. known is false if they are not. Only a checksum
// file that the template names is looked at over the network. Bytes are hashed once; then a seal remembers the digest
// as long as path, size and time of the file stay the same.
func (c *Cache) Digest(ctx context.Context, src Source) (d Digest, known bool, err error) {
	want, err := ParseChecksum(src.Checksum)
	if err != nil {
		return Digest{}, false, fmt.Errorf("iso_checksum: %w", err)
	}
	if want.Digest.Hex != "" {
		return want.Digest, true, nil
	}
	sums := sumFiles{cache: c, cwd: src.Cwd}
	var errs []error
	for _, u := range src.URLs {
		loc, err := parseLocation(u, src.Cwd)
		if err != nil {
			return Digest{}, false, fmt.Errorf("iso_url: %w", err)
		}
		if want.File != "" {
			d, err = sums.find(ctx, want.File, loc)
		} else {
			d, err = c.bytes(ctx, src, loc)
		}
		switch {
		case err == nil:
			return d, true, nil
		case ctx.Err() != nil:
			return Digest{}, false, context.Cause(ctx)
		case want.File != "" || !errors.Is(err, fs.ErrNotExist):
			errs = append(errs, err)
		}
	}
	return Digest{}, false, errors.Join(errs...)
}

// bytes is the sha256 of a medium that is on this machine: where it lies, or in the cache.
func (c *Cache) bytes(ctx context.Context, src Source, loc location) (Digest, error) {
	path := loc.path
	if loc.url != nil {
		path = c.target(src, loc, Digest{})
		if _, ok := c.seals.load(path); !ok { // what is no download of ours is not the medium
			return Digest{}, fs.ErrNotExist
		}
	}
	sealed, _, err := c.seals.verify(ctx, path, Digest{}, func(int64) {})
	return Digest{Algorithm: SHA256, Hex: sealed.Digests[SHA256]}, err
}
