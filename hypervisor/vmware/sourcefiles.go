package vmware

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/boxkiln/boxkiln/hypervisor/ovf"
	"github.com/boxkiln/boxkiln/hypervisor/vmx"
)

// SourceFiles lists the files that an exported machine consists of: an OVA is one; an OVF names its disks, and a manifest may lie
// beside it; a VMX names disks, which consist of parts and stand on others, and there may be snapshots.
func SourceFiles(dir fs.FS, name string) ([]string, error) {
	if _, err := fs.Stat(dir, name); err != nil {
		return nil, err
	}
	s := sourceFiles{dir: dir, files: []string{name}}
	var err error
	switch strings.ToLower(path.Ext(name)) {
	case ".ovf":
		err = s.ovf(name)
	case ".vmx":
		err = s.vmx(name)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return s.files, nil
}

// sourceFiles collects files that lie in dir.
type sourceFiles struct {
	dir   fs.FS
	files []string
}

// add adds a file that another one names.
func (s *sourceFiles) add(name string) error {
	if !fs.ValidPath(name) || path.Base(name) != name {
		return fmt.Errorf("it names the file %q: only files beside it are taken", name)
	}
	if !slices.Contains(s.files, name) {
		s.files = append(s.files, name)
	}
	return nil
}

// addIfThere adds a file that need not be there.
func (s *sourceFiles) addIfThere(name string) error {
	if _, err := fs.Stat(s.dir, name); err != nil {
		return nil
	}
	return s.add(name)
}

func (s *sourceFiles) ovf(name string) error {
	f, err := s.dir.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	d, err := ovf.Read(f)
	if err != nil {
		return err
	}
	for _, file := range d.Files {
		if err := s.add(file.Name); err != nil {
			return err
		}
	}
	return s.addIfThere(strings.TrimSuffix(name, path.Ext(name)) + ".mf")
}

func (s *sourceFiles) vmx(name string) error {
	f, err := s.parse(name)
	if err != nil {
		return err
	}
	for _, d := range disksOf(f) {
		if err := s.disk(d.File); err != nil {
			return err
		}
	}
	base := strings.TrimSuffix(name, path.Ext(name))
	nvram, ok := f.Get("nvram")
	if !ok {
		nvram = base + ".nvram"
	}
	return errors.Join(s.addIfThere(nvram), s.snapshots(base+".vmsd"))
}

// parse reads a VMX file, or another one in its form.
func (s *sourceFiles) parse(name string) (*vmx.File, error) {
	f, err := s.dir.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return vmx.Parse(f)
}

// disk adds a disk, its parts and what it stands on.
func (s *sourceFiles) disk(name string) error {
	if slices.Contains(s.files, name) {
		return nil
	}
	if err := s.add(name); err != nil {
		return err
	}
	f, err := s.dir.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	d, err := readImage(f)
	if err != nil {
		return fmt.Errorf("disk %s: %w", name, err)
	}
	for _, e := range d.Extents {
		if d.whole || e.File == "" {
			continue
		}
		if err := s.add(e.File); err != nil {
			return err
		}
	}
	if d.linked() {
		return s.disk(d.Parent)
	}
	return nil
}

// snapshots adds what a list of snapshots names.
func (s *sourceFiles) snapshots(name string) error {
	if _, err := fs.Stat(s.dir, name); err != nil {
		return nil
	}
	f, err := s.parse(name)
	if err != nil {
		return err
	}
	if err := s.add(name); err != nil {
		return err
	}
	for _, key := range f.Keys() {
		value, _ := f.Get(key)
		switch strings.ToLower(path.Ext(value)) {
		case ".vmsn":
			err = s.addIfThere(value)
		case ".vmdk":
			err = s.disk(value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
