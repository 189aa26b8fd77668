package iso

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
)

// maxSumFile bounds a checksum file; Debian's and Fedora's are a few KiB.
const maxSumFile = 10 << 20

// sumFiles reads the checksum file of one fetch, once for all its URLs.
type sumFiles struct {
	cache *Cache
	cwd   string
	text  string
	read  bool
}

// find looks up the digest of the medium at loc.
func (s *sumFiles) find(ctx context.Context, ref string, loc location) (Digest, error) {
	file, err := parseLocation(ref, s.cwd)
	if err != nil {
		return Digest{}, fmt.Errorf("iso_checksum: %w", err)
	}
	if !s.read {
		if s.text, err = s.load(ctx, file); err != nil {
			return Digest{}, fmt.Errorf("iso_checksum: checksum file %s: %w", file, err)
		}
		s.read = true
	}
	d, err := FindChecksum(s.text, loc.urlPath())
	if err != nil {
		return Digest{}, fmt.Errorf("iso_checksum: checksum file %s %w", file, err)
	}
	return d, nil
}

func (s *sumFiles) load(ctx context.Context, file location) (string, error) {
	if file.url == nil {
		f, err := os.Open(file.path)
		if err != nil {
			return "", cause(err)
		}
		defer f.Close()
		return readSums(f)
	}
	var text string
	err := s.cache.retry(ctx, func() (bool, error) {
		return false, s.cache.get(ctx, file, nil, func(resp *http.Response) error {
			if resp.StatusCode != http.StatusOK {
				return &statusError{resp.StatusCode}
			}
			var err error
			text, err = readSums(resp.Body)
			return err
		})
	}, func(error) {})
	return text, err
}

func readSums(r io.Reader) (string, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxSumFile+1))
	if err != nil {
		return "", err
	}
	if len(data) > maxSumFile {
		return "", errors.New("is larger than 10 MiB: is it a checksum file?")
	}
	return string(data), nil
}
