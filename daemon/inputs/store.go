package inputs

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/internal/fsx"
)

// Store holds contents under their sha256 in one directory.
type Store struct{ Dir string }

var digestPattern = regexp.MustCompile(`^[0-9a-f]{64}$`)

// ErrDigest is returned for a digest that is none, and for content that has another one.
var ErrDigest = errors.New("wrong sha256")

func (s Store) path(digest string) (string, error) {
	if !digestPattern.MatchString(digest) {
		return "", fmt.Errorf("%w: %q is not 64 lower-case hex digits", ErrDigest, digest)
	}
	return filepath.Join(s.Dir, digest), nil
}

// Missing returns those of the digests that the store lacks.
func (s Store) Missing(digests []string) ([]string, error) {
	var missing []string
	for _, d := range digests {
		path, err := s.path(d)
		if err != nil {
			return nil, err
		}
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			missing = append(missing, d)
		} else if err != nil {
			return nil, err
		}
	}
	return missing, nil
}

// Put stores what r holds, if it has the digest.
func (s Store) Put(digest string, r io.Reader) error {
	path, err := s.path(digest)
	if err != nil {
		return err
	}
	f, err := fsx.Create(path, 0o400)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(io.MultiWriter(f, h), r); err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != digest {
		return fmt.Errorf("%w: the content has %s, not %s; did the file change while it was sent?", ErrDigest, got, digest)
	}
	return f.Commit()
}

// View shows the inputs of a plan under the paths they had; relative names start at cwd. It fails if a content is missing.
func (s Store) View(ins []build.Input, cwd string) (*View, error) {
	v := &View{store: s, cwd: cwd, entries: map[string]entry{}}
	for _, in := range ins {
		if in.Mode.IsDir() {
			v.add(in)
			continue
		}
		path, err := v.content(in)
		if err != nil {
			return nil, err
		}
		if _, err := os.Stat(path); err != nil {
			return nil, fmt.Errorf("the content of %q is not here: %w", in.Path, err)
		}
		v.add(in)
	}
	return v, nil
}
