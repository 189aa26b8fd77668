package main

import (
	"archive/tar"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// source is an appliance that is read: a descriptor with files beside it, or an archive that was unpacked.
type source struct {
	*appliance
	dir  string
	temp bool
}

// openSource reads an OVF or OVA file and checks the digests of its manifest.
func openSource(path string) (*source, error) {
	s := &source{dir: filepath.Dir(path)}
	descriptor := path
	if strings.EqualFold(filepath.Ext(path), ".ova") {
		dir, err := os.MkdirTemp("", "import-")
		if err != nil {
			return nil, err
		}
		s.dir, s.temp = dir, true
		if descriptor, err = unpack(path, dir); err != nil {
			return nil, errors.Join(err, s.close())
		}
	}
	if err := s.open(path, descriptor); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *source) open(path, descriptor string) error {
	data, err := os.ReadFile(descriptor)
	if err != nil {
		return &comError{code: fileError, component: applianceWrap, text: fmt.Sprintf("Could not open file '%s' (VERR_FILE_NOT_FOUND)", path)}
	}
	if err := s.checkManifest(strings.TrimSuffix(descriptor, filepath.Ext(descriptor))); err != nil {
		return err
	}
	s.appliance, err = readOVF(path, data)
	if err != nil {
		return err
	}
	for i := range s.systems {
		s.systems[i].disks = s.disks
	}
	return nil
}

// close deletes what was unpacked.
func (s *source) close() error {
	if !s.temp {
		return nil
	}
	return os.RemoveAll(s.dir)
}

// file is the path of a file that a descriptor names.
func (s *source) file(href string) (string, error) {
	if href == "" || !filepath.IsLocal(href) {
		return "", &comError{code: fileError, component: applianceWrap, text: fmt.Sprintf("The name '%s' leads out of the appliance", href)}
	}
	path := filepath.Join(s.dir, href)
	if _, err := os.Stat(path); err != nil {
		return "", &comError{code: fileError, component: applianceWrap, text: fmt.Sprintf("Could not open the source file '%s' (VERR_FILE_NOT_FOUND)", path)}
	}
	return path, nil
}

func badArchive(path, format string, args ...any) error {
	return &comError{code: fileError, component: applianceWrap, text: fmt.Sprintf("Error reading OVA '%s': %s", path, fmt.Sprintf(format, args...))}
}

// unpack takes an archive apart and returns the path of its descriptor, which comes first.
func unpack(path, dir string) (string, error) {
	in, err := os.Open(path)
	if err != nil {
		return "", &comError{code: fileError, component: applianceWrap, text: fmt.Sprintf("Could not open the OVA file '%s' (VERR_FILE_NOT_FOUND)", path)}
	}
	defer in.Close()
	r := tar.NewReader(in)
	descriptor := ""
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", badArchive(path, "%v (VERR_TAR_UNEXPECTED_EOS)", err)
		}
		if h.Typeflag != tar.TypeReg || h.Name != filepath.Base(h.Name) || h.Name == ".." {
			return "", badArchive(path, "member '%s' is not a regular file in the archive's own folder (VERR_NOT_A_FILE)", h.Name)
		}
		if descriptor == "" {
			if !strings.EqualFold(filepath.Ext(h.Name), ".ovf") {
				return "", badArchive(path, "the first member '%s' is not an OVF file", h.Name)
			}
			descriptor = filepath.Join(dir, h.Name)
		}
		if err := newFile(filepath.Join(dir, h.Name), r); err != nil {
			return "", badArchive(path, "%v", err)
		}
	}
	if descriptor == "" {
		return "", badArchive(path, "there is no OVF file in it")
	}
	return descriptor, nil
}

var manifestLine = regexp.MustCompile(`^(SHA1|SHA256|SHA512)\s*\((.+)\)\s*=\s*([0-9a-fA-F]+)\s*$`)

// checkManifest compares every file that a manifest names, if there is one.
func (s *source) checkManifest(base string) error {
	data, err := os.ReadFile(base + ".mf")
	if err != nil {
		if _, err := os.Stat(base + ".cert"); err == nil {
			return &comError{code: fileError, component: applianceWrap, text: fmt.Sprintf("Malformed OVA: '%s.cert' without a manifest", filepath.Base(base))}
		}
		return nil
	}
	algorithms := map[string]func() hash.Hash{"SHA1": sha1.New, "SHA256": sha256.New, "SHA512": sha512.New}
	for _, line := range strings.Split(string(data), "\n") {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		found := manifestLine.FindStringSubmatch(line)
		if found == nil {
			return &comError{code: fileError, component: applianceWrap, text: fmt.Sprintf("Failed to parse manifest: '%s' (VERR_MANIFEST_MALFORMED)", line)}
		}
		path, err := s.file(found[2])
		if err != nil {
			return err
		}
		sum, err := digest(algorithms[found[1]](), path)
		if err != nil {
			return err
		}
		if !strings.EqualFold(sum, found[3]) {
			return &comError{code: fileError, component: applianceWrap, text: fmt.Sprintf(
				"%s digest of '%s' does not match (VERR_MANIFEST_DIGEST_MISMATCH)", found[1], found[2])}
		}
	}
	return nil
}
