package steps

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/blob"
	"github.com/boxkiln/boxkiln/boxregistry/boxfile"
	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/pack"
	"github.com/boxkiln/boxkiln/hypervisor"
)

// copyBuffer is what one read of a box takes.
const copyBuffer = 1 << 20

// ReleaseGate knows the other builds of a run. A version is released by the last build that publishes into it.
type ReleaseGate interface {
	// Published notes that a build's file is in its version, and tells whether all others of its run that publish there
	// have theirs in too. waiting names those that have not, or never will.
	Published(ctx context.Context, s *build.Session) (all bool, waiting []string, err error)
}

// publication is where a plan publishes.
func publication(p *build.Plan) (boxregistry.Publication, error) {
	name, nameErr := boxregistry.ParseName(p.Publish.Box)
	version, versionErr := boxregistry.ParseVersion(p.Publish.Version)
	arch, archErr := boxregistry.ParseArchitecture(p.Machine.Arch)
	provider, providerErr := boxregistry.ParseProvider(vagrantProvider(p.Driver))
	return boxregistry.Publication{Box: name, Version: version, VersionDescription: p.Publish.Description,
			File: boxregistry.File{Provider: provider, Architecture: arch}, Replace: true},
		errors.Join(nameErr, versionErr, archErr, providerErr)
}

// checkPublication refuses before the work what could not be published after it.
func (t *Set) checkPublication(ctx context.Context, p *build.Plan) error {
	if p.Publish.Box == "" {
		return nil
	}
	pub, err := publication(p)
	if err != nil {
		return err
	}
	providers := []boxregistry.Provider{pub.File.Provider}
	if p.Packages.MakesBox() {
		providers = nil
		for _, name := range p.Packages.Package {
			switch p := hypervisor.Package(name); {
			case p.IsBox():
				providers = append(providers, boxregistry.Provider(name))
			case p == hypervisor.PackageAMI:
				providers = append(providers, boxfile.AWS)
			}
		}
	}
	for _, pub.File.Provider = range providers {
		if err := t.Registry.Check(ctx, pub); err != nil {
			return fmt.Errorf("publish %s %s: %w", p.Publish.Box, p.Publish.Version, err)
		}
	}
	return nil
}

// publish puts the boxes into the registry and releases the version, if the plan publishes; then it removes the machine's
// own files, unless they are a result.
func (t *Set) publish(ctx context.Context, s *build.Session) error {
	if s.Plan.Publish.Box != "" {
		if err := t.publishBoxes(ctx, s); err != nil {
			return fmt.Errorf("publish %s %s: %w", s.Plan.Publish.Box, s.Plan.Publish.Version, err)
		}
	}
	if s.KeepMade || s.Plan.Machine.Remote {
		return nil
	}
	dir, err := s.Outputs.Place(s.Plan.OutputDirectory())
	if err != nil {
		return err
	}
	return removeMade(s, dir)
}

// publishBoxes publishes every box of the build, each as a provider of one version, which is released when all are in.
func (t *Set) publishBoxes(ctx context.Context, s *build.Session) error {
	var published []boxregistry.Publication
	list, err := parcels(s)
	if err != nil {
		return err
	}
	for _, p := range list {
		pub, err := t.publishBox(ctx, s, p)
		if err != nil {
			return err
		}
		published = append(published, pub)
	}
	return t.release(ctx, s, published)
}

// parcel is one box to publish: a file, or else what is packed straight into the store.
type parcel struct {
	box      *hypervisor.File
	made     hypervisor.Artifact // to pack when there is no file
	provider string              // of made; empty for that of the driver
}

var errNothing = errors.New("the build made neither a file nor an image, so there is no box: do not publish it")

// parcels lists the boxes of the build. What nobody has packed yet is packed of the machine's own files, and of what it became
// in a cloud.
func parcels(s *build.Session) ([]parcel, error) {
	var list []parcel
	switch {
	case s.Box != nil:
		list = append(list, parcel{box: s.Box})
	case len(s.Boxes) == 0 && !s.Plan.Machine.Remote && !s.Plan.Packages.MakesBox():
		list = append(list, parcel{made: s.Made})
	}
	for i := range s.Boxes {
		list = append(list, parcel{box: &s.Boxes[i]})
	}
	if hypervisor.AMIs(s.IDs) && !slices.ContainsFunc(list, func(p parcel) bool { return p.box != nil && p.box.Format == boxfile.AWS }) {
		list = append(list, parcel{provider: boxfile.AWS, made: hypervisor.Artifact{
			Builder: s.Made.Builder, Driver: s.Made.Driver, Arch: s.Made.Arch, IDs: s.IDs}})
	}
	switch {
	case len(list) > 0:
		return list, nil
	case len(s.IDs) == 0:
		return nil, errNothing
	}
	return nil, fmt.Errorf("%w: Vagrant knows no box for %s: do not publish it", pack.ErrNoLayout, hypervisor.JoinIDs(s.IDs))
}

func (t *Set) publishBox(ctx context.Context, s *build.Session, p parcel) (boxregistry.Publication, error) {
	pub, err := publication(s.Plan)
	if err != nil {
		return pub, err
	}
	if p.provider != "" {
		pub.File.Provider = boxregistry.Provider(p.provider)
	}
	if p.box == nil || p.box.Package == "" {
		s.Log.Say("Publishing %s %s...", pub.Box, pub.Version)
	} else {
		s.Log.Say("Publishing %s %s for %s...", pub.Box, pub.Version, p.box.Package)
	}
	var sum hash.Hash
	if err := t.storeBox(ctx, s, p, &pub, &sum); err != nil {
		return pub, err
	}
	smokeErr := t.smoke(ctx, s, &pub) // before the provenance, which tells of it
	if ctx.Err() != nil {
		return pub, context.Cause(ctx)
	}
	if err := t.attest(ctx, s, &pub, sum); err != nil {
		return pub, err
	}
	if err := t.Registry.Publish(ctx, pub); err != nil {
		return pub, err
	}
	return pub, t.noteSmoke(ctx, pub, smokeErr)
}

// release opens the version to clients, if this is the last build of its run that publishes there.
func (t *Set) release(ctx context.Context, s *build.Session, published []boxregistry.Publication) error {
	all, waiting, err := t.Gate.Published(ctx, s)
	if err != nil {
		return err
	}
	pub := published[0]
	if !all {
		s.Log.Say("%s %s stays a draft until %v have published too", pub.Box, pub.Version, waiting)
		return nil
	}
	if err := t.Registry.Release(ctx, pub.Box, pub.Version); err != nil {
		return err
	}
	var files []string
	for _, p := range published {
		files = append(files, fmt.Sprintf("%s, %s", p.File.Provider, p.File.Architecture))
	}
	s.Log.Artifact(fmt.Sprintf("Published and released: %s %s (%s)", pub.Box, pub.Version, strings.Join(files, "; ")))
	return nil
}

// storeBox puts the box's bytes into the blob store, keeps what is in them and completes the publication. sum will be what
// the box's signature signs.
func (t *Set) storeBox(ctx context.Context, s *build.Session, p parcel, pub *boxregistry.Publication, sum *hash.Hash) error {
	known, err := t.boxBytes(ctx, s, p, pub, sum)
	if err != nil {
		return err
	}
	if err := placeBox(pub, known); err != nil {
		return err
	}
	pub.File.Firmware = firmwareOf(s)
	return build.OurFault(t.Registry.SetContents(ctx, pub.File.Digest, known))
}

// firmwareOf is the firmware in the registry's words; empty where a cloud chooses it.
func firmwareOf(s *build.Session) string {
	switch {
	case s.Plan.Machine.Firmware.UEFI:
		return "uefi"
	case s.Plan.Machine.Remote:
		return ""
	}
	return "bios"
}

// boxBytes stores the box in one pass, and tells what is in it. One that no post-processor made is packed straight into the
// store. One that our packer made is copied: its digest shows that nobody has changed it, and the packer said what is in it.
// Every other is inspected while it is copied.
func (t *Set) boxBytes(ctx context.Context, s *build.Session, p parcel, pub *boxregistry.Publication, sum *hash.Hash) (boxfile.Summary, error) {
	box := p.box
	if box == nil {
		return t.store(ctx, box, sum, func(w io.Writer) (boxfile.Summary, error) { return t.packBox(ctx, s, p.made, pub, w) })
	}
	if said, ok := saidOf(box); ok {
		known, err := t.store(ctx, box, sum, func(w io.Writer) (boxfile.Summary, error) { return said, copyBox(ctx, box, w) })
		if !errors.Is(err, blob.ErrDigestMismatch) {
			return known, err
		}
	}
	return t.store(ctx, box, sum, func(w io.Writer) (boxfile.Summary, error) { return inspectBox(ctx, box, w) })
}

// store makes a blob of what write writes, if that has the digest that write tells.
func (t *Set) store(ctx context.Context, box *hypervisor.File, sum *hash.Hash, write func(io.Writer) (boxfile.Summary, error)) (boxfile.Summary, error) {
	w, err := t.openWriter(ctx, box, sum)
	if err != nil {
		return boxfile.Summary{}, build.OurFault(err)
	}
	defer w.Close()
	known, err := write(w)
	if err != nil {
		return boxfile.Summary{}, err
	}
	_, err = w.Commit(ctx, blob.Digest(known.SHA256))
	return known, build.OurFault(err)
}

// saidOf is what the packer said of a box that it made. Boxes of others have nothing of the kind, and those that an earlier
// version kept as artifacts have less.
func saidOf(box *hypervisor.File) (said boxfile.Summary, ok bool) {
	err := json.Unmarshal(box.Box, &said)
	return said, err == nil && said.SHA256 != ""
}

// copyBox copies a box that is described already.
func copyBox(ctx context.Context, box *hypervisor.File, w io.Writer) error {
	f, err := os.Open(box.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	stop := context.AfterFunc(ctx, func() { f.Close() }) // ends the copy
	_, err = io.CopyBuffer(w, struct{ io.Reader }{f}, make([]byte, copyBuffer))
	if !stop() {
		return context.Cause(ctx)
	}
	return err
}

// inspectBox copies a box of anybody's and looks at it on the way.
func inspectBox(ctx context.Context, box *hypervisor.File, w io.Writer) (boxfile.Summary, error) {
	f, err := os.Open(box.Path)
	if err != nil {
		return boxfile.Summary{}, err
	}
	defer f.Close()
	known, err := boxfile.Inspect(ctx, io.TeeReader(f, w), boxfile.Limits{})
	if err != nil {
		return boxfile.Summary{}, fmt.Errorf("%s: %w", box.Name(), err)
	}
	return known, nil
}

// placeBox publishes a box for the provider that it says it is for, and for its architecture if it names one.
func placeBox(pub *boxregistry.Publication, known boxfile.Summary) (err error) {
	f := &pub.File
	f.Digest, f.Size, f.UnpackedSize, f.VirtualSize = blob.Digest(known.SHA256), known.Size, known.Unpacked, known.VirtualSize
	if arch := known.Metadata.Architecture; arch != "" {
		if f.Architecture, err = boxregistry.ParseArchitecture(arch); err != nil {
			return err
		}
	}
	f.Provider, err = boxregistry.ParseProvider(known.Metadata.Provider)
	return err
}

func (t *Set) packBox(ctx context.Context, s *build.Session, made hypervisor.Artifact, pub *boxregistry.Publication, w io.Writer) (boxfile.Summary, error) {
	s.Log.Say("Packing the box...")
	return pack.Box(ctx, made, pack.Options{
		Provider: string(pub.File.Provider), Architecture: string(pub.File.Architecture),
		Hardware: pack.HardwareOf(s.Plan.Machine), Scratch: s.Dirs.Scratch, Progress: s.Log.Progress,
	}, w)
}

// openBox opens the stored file of a publication.
func (t *Set) openBox(ctx context.Context, d blob.Digest) (io.ReadSeekCloser, error) {
	r, _, err := t.Registry.OpenBlob(ctx, d)
	return r, err
}
