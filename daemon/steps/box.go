package steps

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/blob"
	"github.com/boxkiln/boxkiln/boxregistry/boxfile"
	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/internal/fsx"
	"github.com/boxkiln/boxkiln/iso"
)

// boxURL is what box://org/name?version=~>1.2&architecture=amd64 asks for.
type boxURL struct {
	name    boxregistry.Name
	version boxregistry.Requirement
	arch    boxregistry.Architecture
}

func parseBoxURL(text, arch string) (boxURL, error) {
	rest, found := strings.CutPrefix(text, iso.BoxScheme)
	if !found {
		return boxURL{}, fmt.Errorf("iso_url %q does not begin with %s", text, iso.BoxScheme)
	}
	path, query, _ := strings.Cut(rest, "?")
	q, err := url.ParseQuery(query)
	if err != nil {
		return boxURL{}, fmt.Errorf("iso_url %q: %w", text, err)
	}
	for key := range q {
		if key != "version" && key != "architecture" {
			return boxURL{}, fmt.Errorf("iso_url %q: %q is none of version, architecture", text, key)
		}
	}
	if a := q.Get("architecture"); a != "" {
		arch = a
	}
	requirement := q.Get("version")
	if requirement == "" {
		requirement = ">= 0"
	}
	var u boxURL
	var nameErr, versionErr, archErr error
	u.name, nameErr = boxregistry.ParseName(path)
	u.version, versionErr = boxregistry.ParseRequirement(requirement)
	u.arch, archErr = boxregistry.ParseArchitecture(arch)
	return u, errors.Join(nameErr, versionErr, archErr)
}

// fetchBox has the disk of a box of this registry on disk, unpacked, to start from. It is unpacked once per digest.
func (t *Set) fetchBox(ctx context.Context, s *build.Session) error {
	text := s.Plan.Media.ISOURL
	u, err := parseBoxURL(text, s.Plan.Machine.Arch)
	if err != nil {
		return err
	}
	if !s.Plan.DiskImage {
		return fmt.Errorf("iso_url %q is a disk: set disk_image = true", text)
	}
	found, err := t.Registry.Resolve(ctx, u.name, u.version, boxfile.Libvirt, u.arch)
	if err != nil {
		return fmt.Errorf("iso_url %q: %w", text, err)
	}
	s.Log.Say("Starting from box %s %s (sha256 %s)", found.Box, found.Version, found.File.Digest.Short())
	path := filepath.Join(t.MediaDir, "box-"+string(found.File.Digest)+".qcow2")
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		err = t.unpackBox(ctx, s, found.File, path)
		if err != nil {
			return fmt.Errorf("iso_url %q: %w", text, err)
		}
	} else if err != nil {
		return err
	}
	s.Media = boxMedium(found.File.Digest, path, text)
	s.BaseBox = iso.BoxScheme + found.Box.String() + "?" + url.Values{"version": {found.Version.String()}, "architecture": {string(found.File.Architecture)}}.Encode()
	return nil
}

// boxMedium is the disk of a box as a medium. It is known by the digest of the box.
func boxMedium(d blob.Digest, path, url string) iso.File {
	return iso.File{Path: path, URL: url, SHA256: iso.Digest{Algorithm: iso.SHA256, Hex: string(d)}}
}

func (t *Set) unpackBox(ctx context.Context, s *build.Session, file boxregistry.File, path string) error {
	r, err := t.openBox(ctx, file.Digest)
	if err != nil {
		return err
	}
	defer r.Close()
	disks, err := boxfile.ExtractDisks(ctx, r, s.Dirs.Scratch)
	if err != nil {
		return err
	}
	if len(disks) != 1 {
		return fmt.Errorf("the box has %d disks, and a build starts from one", len(disks))
	}
	// Scratch and media are below the same data directory, so this is a rename; two builds at once make the same file.
	if err := os.Rename(disks[0], path); err != nil {
		return err
	}
	return fsx.SyncDir(filepath.Dir(path))
}
