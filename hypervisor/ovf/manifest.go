package ovf

import (
	"bufio"
	"context"
	"crypto/sha1" //nolint:gosec // old manifests have nothing else
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
)

// Algorithm is a hash function of a manifest, as manifests spell it.
type Algorithm string

// The algorithms that are read. SHA256 is written: all readers take it.
const (
	SHA1   Algorithm = "SHA1"
	SHA256 Algorithm = "SHA256"
	SHA512 Algorithm = "SHA512"
)

// New returns a hash of the algorithm, nil if it is not known.
func (a Algorithm) New() hash.Hash {
	switch a {
	case SHA1:
		return sha1.New() //nolint:gosec // see above
	case SHA256:
		return sha256.New()
	case SHA512:
		return sha512.New()
	}
	return nil
}

// Sum is the digest of a file of a package.
type Sum struct {
	File      string
	Algorithm Algorithm
	Hex       string // in lower case
}

// Manifest lists the digests of a package's files, the descriptor's first.
type Manifest []Sum

// maxManifest is the longest manifest that is read, in bytes.
const maxManifest = 1 << 20

// manifestLine takes what VirtualBox ("SHA1 (box.ovf) = ..."), ovftool ("SHA256(box.ovf)= ...") and openssl ("SHA2-256(box.ovf)= ...")
// write.
var manifestLine = regexp.MustCompile(`^(SHA-?1|SHA(?:2-)?256|SHA(?:2-)?512)\s*\((.+)\)\s*=\s*([0-9a-fA-F]+)$`)

// ReadManifest reads a manifest in any spelling that VirtualBox, ovftool and openssl have. Empty lines and comments (#) are passed over.
func ReadManifest(r io.Reader) (Manifest, error) {
	limited := &io.LimitedReader{R: r, N: maxManifest + 1}
	lines := bufio.NewScanner(limited)
	var m Manifest
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(strings.TrimPrefix(lines.Text(), "\ufeff"))
		if line == "" || line[0] == '#' {
			continue
		}
		sum, err := parseSum(line)
		if err != nil {
			return nil, fmt.Errorf("line %d of the manifest: %w", n, err)
		}
		if _, twice := m.Sum(sum.File); twice {
			return nil, fmt.Errorf("line %d of the manifest: %q is there twice", n, sum.File)
		}
		m = append(m, sum)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read the manifest: %w", err)
	}
	if limited.N <= 0 {
		return nil, fmt.Errorf("the manifest is longer than %d bytes", maxManifest)
	}
	return m, nil
}

func parseSum(line string) (Sum, error) {
	parts := manifestLine.FindStringSubmatch(line)
	if parts == nil {
		return Sum{}, fmt.Errorf("%q is not of the form SHA256(file)= digest", line)
	}
	algorithm := Algorithm(strings.NewReplacer("-", "", "SHA2-", "SHA").Replace(parts[1]))
	if want := algorithm.New().Size() * 2; len(parts[3]) != want {
		return Sum{}, fmt.Errorf("a digest of %q with %d digits: %s has %d", parts[2], len(parts[3]), algorithm, want)
	}
	if !fs.ValidPath(parts[2]) || strings.Contains(parts[2], "\\") {
		return Sum{}, fmt.Errorf("%q leads out of the package", parts[2])
	}
	return Sum{File: parts[2], Algorithm: algorithm, Hex: strings.ToLower(parts[3])}, nil
}

// Write writes "SHA256(name)= hex" lines, which all readers take.
func (m Manifest) Write(w io.Writer) error {
	var b strings.Builder
	for _, s := range m {
		if strings.ContainsAny(s.File, "\r\n") || s.File == "" {
			return fmt.Errorf("%q cannot be in a manifest", s.File)
		}
		fmt.Fprintf(&b, "%s(%s)= %s\n", s.Algorithm, s.File, s.Hex)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Sum returns the digest of a file.
func (m Manifest) Sum(file string) (Sum, bool) {
	for _, s := range m {
		if s.File == file {
			return s, true
		}
	}
	return Sum{}, false
}

// CheckDir compares the files of a folder with the manifest: all of them must be there and have their digests.
func (m Manifest) CheckDir(ctx context.Context, dir string) error {
	var errs []error
	for _, s := range m {
		got, err := sumFile(ctx, filepath.Join(dir, filepath.FromSlash(s.File)), s.Algorithm)
		if err != nil {
			errs = append(errs, fmt.Errorf("the manifest lists %q: %w", s.File, err))
		} else if got != s.Hex {
			errs = append(errs, s.mismatch(got))
		}
	}
	return errors.Join(errs...)
}

func (s Sum) mismatch(got string) error {
	return fmt.Errorf("%s digest of %q does not match: it is %s, and the manifest says %s: the file is damaged or was changed; get it again, "+
		"or remove the manifest if you changed it yourself", s.Algorithm, s.File, got, s.Hex)
}

// SumFiles makes a manifest of files of a folder, in SHA256.
func SumFiles(ctx context.Context, dir string, names ...string) (Manifest, error) {
	var m Manifest
	for _, name := range names {
		sum, err := sumFile(ctx, filepath.Join(dir, filepath.FromSlash(name)), SHA256)
		if err != nil {
			return nil, err
		}
		m = append(m, Sum{File: name, Algorithm: SHA256, Hex: sum})
	}
	return m, nil
}

func sumFile(ctx context.Context, name string, algorithm Algorithm) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := algorithm.New()
	if _, err := io.Copy(h, reading{ctx, f}); err != nil {
		return "", err
	}
	return sumOf(h), nil
}

func sumOf(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }

// reading stops with its context.
type reading struct {
	ctx context.Context
	r   io.Reader
}

func (r reading) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.r.Read(p)
}

// manifestName is what the manifest of a descriptor is called.
func manifestName(descriptor string) string {
	return strings.TrimSuffix(descriptor, path.Ext(descriptor)) + ".mf"
}
