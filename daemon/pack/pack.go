// Package pack makes Vagrant boxes of artifacts: it lays out the files as a provider wants them, writes the box's
// Vagrantfile and metadata, and hands the lot to boxfile, which streams it out.
//
// [Box] does it all. Each provider has a layout: a function that turns an artifact into the contents of a box,
// converting disks on the way where it must. A further provider is a further layout.
package pack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/boxkiln/boxkiln/boxregistry/boxfile"
	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/disk"
)

// Options say what box to make. The zero value makes one for the provider of the artifact, with Vagrant's defaults.
type Options struct {
	Provider     string // of Vagrant, default ProviderOf the artifact
	Architecture string // default: the artifact's
	// Vagrantfile is the text that the user wants in the box's Vagrantfile, after ours, so that it wins.
	Vagrantfile string
	Info        map[string]string // info.json
	// Include are further files, put into the box under their base names.
	Include  []string
	Hardware Hardware
	Level    int // of compression, as in boxfile.Options
	Parallel int // likewise
	// Scratch is an existing directory for disks that must be converted first; without it such an artifact is refused.
	Scratch string
	// Progress is called with bytes done of total under a title; it may be nil.
	Progress func(title string, done, total int64)
	Tool     disk.Tool
}

// Hardware is the machine on which the guest was installed, as far as Vagrant's default machine may differ from it. A
// zero field leaves it to Vagrant.
type Hardware struct {
	// Driver is "kvm" or "qemu" (emulation); the zero value means kvm.
	Driver    string
	CPUs      int
	MemoryMiB int
	Machine   string // q35, pc ...
	DiskBus   string // as in hypervisor.Disk: virtio, sata, scsi, virtio-scsi, ide
	NIC       string // model: virtio, e1000 ...
}

// ErrNoLayout says that boxes of a provider cannot be made yet.
var ErrNoLayout = errors.New("boxes for this provider cannot be made")

// ProviderOf names the provider of Vagrant that runs an artifact best.
func ProviderOf(a hypervisor.Artifact) (string, error) {
	for _, name := range []string{a.Builder, a.Driver} {
		switch name {
		case "qemu", "libvirt":
			return boxfile.Libvirt, nil
		}
	}
	return "", fmt.Errorf("%w: the artifact is of builder %q and driver %q; only qemu and libvirt are known", ErrNoLayout, a.Builder, a.Driver)
}

// job is one run of Box.
type job struct {
	artifact hypervisor.Artifact
	Options
	made []string // scratch files to remove
}

// Box writes a box made of an artifact to w, and says what is in it. Its scratch files are gone when it returns.
func Box(ctx context.Context, a hypervisor.Artifact, o Options, w io.Writer) (sum boxfile.Summary, err error) {
	j := &job{artifact: a, Options: o}
	if err := j.defaults(); err != nil {
		return boxfile.Summary{}, err
	}
	defer func() {
		for _, path := range j.made {
			err = errors.Join(err, os.Remove(path))
		}
	}()
	contents, err := j.layout(ctx)
	if err != nil {
		return boxfile.Summary{}, err
	}
	for _, path := range j.Include {
		contents.Files = append(contents.Files, boxfile.File{Name: filepath.Base(path), Path: path})
	}
	contents.Info = j.Info
	sum, err = boxfile.Write(ctx, w, contents, boxfile.Options{Level: j.Level, Parallel: j.Parallel, Progress: j.title("packing")})
	if err != nil {
		return boxfile.Summary{}, fmt.Errorf("pack a box for %s: %w", j.Provider, err)
	}
	return sum, nil
}

func (j *job) defaults() error {
	if j.Provider == "" {
		provider, err := ProviderOf(j.artifact)
		if err != nil {
			return err
		}
		j.Provider = provider
	}
	if j.Architecture == "" {
		j.Architecture = ArchitectureOf(j.artifact)
	}
	return nil
}

func (j *job) layout(ctx context.Context) (boxfile.Contents, error) {
	switch j.Provider {
	case boxfile.Libvirt:
		return j.libvirt(ctx)
	}
	return boxfile.Contents{}, fmt.Errorf("%w: %q; only %q is known", ErrNoLayout, j.Provider, boxfile.Libvirt)
}

// title returns a progress function for one stage, or nil.
func (j *job) title(title string) func(done, total int64) {
	if j.Progress == nil {
		return nil
	}
	return func(done, total int64) { j.Progress(title, done, total) }
}

// files returns the artifact's files of a role.
func (j *job) files(role hypervisor.Role) []hypervisor.File {
	var files []hypervisor.File
	for _, f := range j.artifact.Files {
		if f.Role == role {
			files = append(files, f)
		}
	}
	return files
}

// flat returns the path of a qcow2 image with the content of a disk that needs no other file, and its virtual size. That
// is the disk itself if it is such an image, otherwise a scratch file.
func (j *job) flat(ctx context.Context, f hypervisor.File) (string, int64, error) {
	format := f.Format
	if format == "" { // a file that somebody named as an artifact, rather than a disk that a guest wrote
		detected, err := disk.DetectFormat(f.Path)
		if err != nil {
			return "", 0, err
		}
		format = detected
	}
	path := f.Path
	if format == disk.QCOW2 {
		h, err := readHeader(path)
		if err != nil {
			return "", 0, err
		}
		if !h.HasBacking && !h.HasDataFile {
			return path, h.VirtualSize, nil
		}
	}
	path, err := j.convert(ctx, f.Path, format)
	if err != nil {
		return "", 0, err
	}
	h, err := readHeader(path)
	return path, h.VirtualSize, err
}

func (j *job) convert(ctx context.Context, src, format string) (string, error) {
	if j.Scratch == "" {
		return "", fmt.Errorf("%q is a %s image that must be converted, but there is no directory for that", src, format)
	}
	f, err := os.CreateTemp(j.Scratch, "pack-*.qcow2")
	if err != nil {
		return "", err
	}
	j.made = append(j.made, f.Name())
	if err := f.Close(); err != nil {
		return "", err
	}
	return f.Name(), j.Tool.Convert(ctx, disk.ConvertOptions{Src: src, SrcFormat: format, Dst: f.Name(), DstFormat: disk.QCOW2,
		Volatile: true, Progress: j.title("converting " + filepath.Base(src))})
}

func readHeader(path string) (disk.QCOW2Header, error) {
	f, err := os.Open(path)
	if err != nil {
		return disk.QCOW2Header{}, err
	}
	defer f.Close()
	head, err := io.ReadAll(io.LimitReader(f, disk.QCOW2HeaderSize))
	if err != nil {
		return disk.QCOW2Header{}, err
	}
	h, err := disk.ParseQCOW2(head)
	if err != nil {
		return disk.QCOW2Header{}, fmt.Errorf("%q: %w", path, err)
	}
	return h, nil
}

// vagrantfile joins our part and the user's.
func (j *job) vagrantfile(ours string) string {
	if j.Vagrantfile == "" {
		return ours
	}
	return ours + "\n# What follows is from the template's vagrantfile_template.\n" + strings.TrimRight(j.Vagrantfile, "\n") + "\n"
}

// CanMake tells whether boxes for a provider of Vagrant can be made.
func CanMake(provider string) bool { return provider == boxfile.Libvirt }

// ArchitectureOf names the architecture of an artifact as Vagrant does.
func ArchitectureOf(a hypervisor.Artifact) string {
	if a.Arch == "386" { // Vagrant's name, and packer-plugin-vagrant's
		return "i386"
	}
	return a.Arch
}
