package steps

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/pack"
	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/internal/fsx"
)

// packagingName is the file beside a kept artifact that says what is known of its packages.
const packagingName = "packaging.json"

// guestWanted tells whether the guest is to be asked which drivers it would have elsewhere.
func (k *kept) guestWanted(s *build.Session) bool {
	asked := len(s.Plan.Packages.Package) > 0 || k.set.importsImage(s.Plan)
	return k.machineNeeded(s) && asked && s.Plan.Communicator.Kind() == "ssh"
}

// checkGuest asks the guest for its drivers. A guest that cannot tell is no reason to fail.
func (t *Set) checkGuest(ctx context.Context, s *build.Session) error {
	if s.Guest == nil {
		return nil
	}
	text, err := askGuest(ctx, s.Guest, pack.GuestScript, fmt.Errorf("the guest did not tell its drivers within %s", recordTimeout))
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var g pack.Guest
	if err == nil {
		g, err = pack.ParseGuest(text)
	}
	if err == nil {
		s.Packaging.Guest, err = json.Marshal(g)
	}
	if err != nil {
		s.Log.Message("Which drivers the guest has is not known: %v", err)
	}
	return nil
}

// makePackages makes of the machine what the plan wants, besides what post-processors made.
func (t *Set) makePackages(ctx context.Context, s *build.Session) error {
	list, err := s.Plan.Packages.Wanted()
	if err != nil {
		return err
	}
	if s.Box != nil { // with what its user puts into it
		list = slices.DeleteFunc(list, func(p hypervisor.Package) bool { return string(p) == s.Box.Format })
	}
	if len(list) == 0 {
		return nil
	}
	dir, err := s.Outputs.Place(s.Plan.OutputDirectory())
	if err != nil {
		return err
	}
	options := pack.Options{Name: packageName(s), Hardware: pack.HardwareOf(s.Plan.Machine), GuestOS: s.Plan.Packages.PackageGuestOS,
		Scratch: s.Dirs.Scratch, Progress: s.Log.Progress,
		Import: func(ctx context.Context, p hypervisor.Package, r hypervisor.ImportRequest) (hypervisor.Artifact, error) {
			r.Args, r.Title = s.Plan.Imports[p], imageTitle(s)
			return t.importImage(ctx, s, t.Parts.Imports[p].Driver, string(p), r)
		}}
	if options.Guest, err = pack.ParseKnown(s.Packaging.Guest); err != nil {
		return err
	}
	s.Log.Say("Packaging for %s...", joined(list))
	made, warnings, err := pack.Packages(ctx, s.Made, list, dir, options)
	if err != nil {
		return build.OurFault(err)
	}
	s.Packaging.Warnings = warnings
	tellWarnings(s)
	for _, m := range made {
		addIDs(s, m.IDs)
		if err := takePackage(s, dir, m.Files); err != nil {
			return err
		}
	}
	tellPackages(s)
	return nil
}

// takePackage makes files of a package results of the build.
func takePackage(s *build.Session, dir string, files []hypervisor.File) error {
	for _, f := range files {
		if err := fsx.Sync(f.Path); err != nil {
			return build.OurFault(err)
		}
		rel, err := filepath.Rel(dir, f.Path)
		if err != nil {
			return err
		}
		if dest := filepath.Join(s.Plan.OutputDirectory(), rel); dest != f.Path {
			f.Dest = dest
		}
		addPackage(s, f)
	}
	return nil
}

// addPackage adds one file of a package to the results, made or restored. It may be one of the machine's own.
func addPackage(s *build.Session, f hypervisor.File) {
	s.Results = append(slices.DeleteFunc(s.Results, func(r hypervisor.File) bool { return r.Path == f.Path }), f)
	if f.Role == hypervisor.RoleBox {
		s.Boxes = append(s.Boxes, f)
	}
}

// tellPackages lists the packages in the summary of the build: a machine by its folder, images by their first file.
func tellPackages(s *build.Session) {
	var told []hypervisor.Package
	for _, f := range s.Results {
		switch {
		case f.Package == "" || slices.Contains(told, f.Package):
			continue
		case f.Role == hypervisor.RoleBox:
			s.Log.Artifact(fmt.Sprintf("'%s' provider box: %s", f.Package, f.Name()))
		case f.Package == hypervisor.PackageVMX:
			s.Log.Artifact(fmt.Sprintf("%s: machine in directory: %s", f.Package, filepath.Dir(f.Name())))
		default:
			s.Log.Artifact(fmt.Sprintf("%s: %s", f.Package, f.Name()))
		}
		told = append(told, f.Package)
	}
}

// tellWarnings puts what may go wrong with the packages into the log.
func tellWarnings(s *build.Session) {
	for _, text := range s.Packaging.Warnings {
		s.Log.Error("Warning: %s", text)
	}
}

// packageName names the packages, so that none is written over a file of the machine. Its only disk may have the name of the
// package that it is: then it becomes that.
func packageName(s *build.Session) string {
	name := s.Plan.PackageName()
	disks := 0
	for _, f := range s.Made.Files {
		if f.Role == hypervisor.RoleDisk {
			disks++
		}
	}
	for _, f := range s.Made.Files {
		ext := strings.TrimPrefix(filepath.Base(f.Path), name+".")
		if slices.Contains(s.Plan.Packages.Package, ext) && !(f.Format == ext && disks == 1) {
			return name + "-packages"
		}
	}
	return name
}

func joined(list []hypervisor.Package) string {
	var names []string
	for _, p := range list {
		names = append(names, string(p))
	}
	return strings.Join(names, ", ")
}

// keepPackaging writes what is known of the packages into the folder of an artifact that is kept.
func keepPackaging(s *build.Session, dir string) error {
	if len(s.Plan.Packages.Package) == 0 {
		return nil
	}
	data, err := json.Marshal(s.Packaging)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, packagingName), data, 0o600)
}

// keptPackaging reads what keepPackaging wrote.
func keptPackaging(dir string) (p build.Packaging, err error) {
	data, err := os.ReadFile(filepath.Join(dir, packagingName))
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &p)
	}
	return p, err
}

// removeMade removes the machine's own files when they are no result, and the folder if nothing else is in it.
func removeMade(s *build.Session, dir string) error {
	if len(s.Plan.Packages.Package) == 0 {
		return os.RemoveAll(dir)
	}
	var errs error
	for _, f := range s.Made.Files {
		if !slices.ContainsFunc(s.Results, func(r hypervisor.File) bool { return r.Path == f.Path }) {
			if err := os.Remove(f.Path); !errors.Is(err, fs.ErrNotExist) {
				errs = errors.Join(errs, err)
			}
		}
	}
	if left, err := os.ReadDir(dir); err == nil && len(left) == 0 {
		errs = errors.Join(errs, os.Remove(dir))
	}
	return errs
}
