// Package pack makes packages of machines that are off: Vagrant boxes, appliances, machines of other products, disk images.
//
// [Packages] makes several at once of one artifact: each disk is read once and written in all the formats that are wanted,
// and what needs one of them is packed as soon as it is there. [Box] makes a single box into a stream. Each package has a
// layout: a function that turns the disks, in the format that it asks for, into the contents of a box or into files. A machine
// that is described anew gets the controllers and cards for which its guest has drivers, as far as the guest told
// ([GuestScript]), and [Warnings] say where that cannot be.
//
// Artifacts come from any driver: disks alone, or what VirtualBox and VMware export, of which boxes of their own are made
// without another copy of the disks, or images in a cloud, of which a box has the ids alone. [Open] reads the same out of a box, an appliance or an image of anybody's.
package pack

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

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
	// Name is what the machine is called in descriptions of it, and files are named after it. Default "box".
	Name string
	// Guest is what the guest told, and GuestOS the system in it if somebody knows better, such as "debian/12".
	Guest   Guest
	GuestOS string
	// Verify has the structure of the disks checked before they are read: qemu-img takes zeros for what is cut off. It is for files
	// of somebody else; a driver's export is new.
	Verify bool
	// Override says what counts whatever the artifact says.
	Override Override
	// Progress is called with bytes done of total under a title; it may be nil.
	Progress func(title string, done, total int64)
	Tool     disk.Tool
	// Import has a driver make an image of raw disks and keep it, for packages that are no files; it may be nil for others.
	Import func(ctx context.Context, p hypervisor.Package, r hypervisor.ImportRequest) (hypervisor.Artifact, error)
}

// Override is what somebody knows better; zero fields leave the machine as it is.
type Override struct {
	CPUs, MemoryMiB int
	UEFI            *bool
	// DiskBus and NIC are those that the guest was installed on, as in Hardware: it has drivers for them, wherever it came from.
	DiskBus, NIC string
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
	if hypervisor.AMIs(a.IDs) {
		return boxfile.AWS, nil
	}
	for _, name := range []string{a.Builder, a.Driver} {
		switch {
		case name == "qemu", name == "libvirt":
			return boxfile.Libvirt, nil
		case name == "virtualbox", strings.HasPrefix(name, "virtualbox-"):
			return boxfile.VirtualBox, nil
		case name == "vmware", strings.HasPrefix(name, "vmware-"):
			return boxfile.VMwareDesktop, nil
		}
	}
	return "", fmt.Errorf("%w: the artifact is of builder %q and driver %q; only those of libvirt, VirtualBox, VMware and EC2 are known",
		ErrNoLayout, a.Builder, a.Driver)
}

// job is one run of Box or Packages.
type job struct {
	artifact hypervisor.Artifact
	Options
	exported exported
	work     string // directory of ours in Scratch; "" while nothing needed one

	dir   string                           // of Packages: where results go
	keeps map[disk.Form]hypervisor.Package // of Packages: whose files the disks of a form are

	mu    sync.Mutex
	owned []string // results, some of them folders
}

// newJob looks at the artifact.
func newJob(ctx context.Context, a hypervisor.Artifact, o Options) (*job, error) {
	j := &job{artifact: a, Options: o}
	j.Architecture = cmp.Or(j.Architecture, ArchitectureOf(a))
	err := j.open(ctx)
	if err == nil && o.Verify {
		err = j.verify(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, j.close())
	}
	j.Name = CleanName(cmp.Or(j.Name, "box"))
	j.override()
	return j, nil
}

func (j *job) override() {
	o := j.Override
	j.Hardware.CPUs = cmp.Or(o.CPUs, j.Hardware.CPUs)
	j.Hardware.MemoryMiB = cmp.Or(o.MemoryMiB, j.Hardware.MemoryMiB)
	j.Hardware.DiskBus, j.Hardware.NIC = cmp.Or(o.DiskBus, j.Hardware.DiskBus), cmp.Or(o.NIC, j.Hardware.NIC)
	if o.UEFI != nil {
		j.artifact.UEFI = *o.UEFI
	}
}

// validName is what is written into descriptions of machines, archives and file systems of all kinds without quotes.
var validName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$`)

// ValidName tells whether packages and the machine in them can have a name.
func ValidName(name string) bool { return validName.MatchString(name) }

// CleanName makes a name that they can have.
func CleanName(name string) string {
	clean := strings.Map(func(r rune) rune {
		if r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("._-", r)) {
			return r
		}
		return '-'
	}, name)
	clean = strings.TrimLeft(clean, "._-")
	if clean == "" {
		return "box"
	}
	const longest = 80
	return clean[:min(len(clean), longest)]
}

// close removes what the job made beside its results.
func (j *job) close() error {
	if j.work == "" {
		return nil
	}
	return os.RemoveAll(j.work)
}

// Box writes a box made of an artifact to w, and says what is in it. Its scratch files are gone when it returns.
func Box(ctx context.Context, a hypervisor.Artifact, o Options, w io.Writer) (sum boxfile.Summary, err error) {
	if o.Provider == "" {
		if o.Provider, err = ProviderOf(a); err != nil {
			return boxfile.Summary{}, err
		}
	}
	if !CanMake(o.Provider) {
		return boxfile.Summary{}, fmt.Errorf("%w: %q; known are libvirt, virtualbox, vmware_desktop and aws", ErrNoLayout, o.Provider)
	}
	if o.Provider == boxfile.AWS {
		return remoteBox(ctx, a, o, w)
	}
	p := hypervisor.Package(o.Provider)
	j, err := newJob(ctx, a, o)
	if err != nil {
		return boxfile.Summary{}, err
	}
	defer func() { err = errors.Join(err, j.close()) }()
	l, err := j.layout(p)
	if err != nil {
		return boxfile.Summary{}, err
	}
	disks, err := j.convert(ctx, l.form)
	if err != nil {
		return boxfile.Summary{}, err
	}
	return j.box(ctx, p, l, disks, w)
}

// remoteBox writes a box of what lies in a cloud: there are no disks to look at.
func remoteBox(ctx context.Context, a hypervisor.Artifact, o Options, w io.Writer) (boxfile.Summary, error) {
	j := &job{artifact: a, Options: o}
	j.Architecture = cmp.Or(j.Architecture, ArchitectureOf(a))
	contents, err := j.aws()
	if err != nil {
		return boxfile.Summary{}, err
	}
	return j.write(ctx, boxfile.AWS, layout{}, contents, w)
}

// box lays out a box and streams it to w.
func (j *job) box(ctx context.Context, p hypervisor.Package, l layout, disks []image, w io.Writer) (boxfile.Summary, error) {
	contents, err := l.box(ctx, disks)
	if err != nil {
		return boxfile.Summary{}, err
	}
	return j.write(ctx, string(p), l, contents, w)
}

// write adds what all boxes have and streams the box to w.
func (j *job) write(ctx context.Context, provider string, l layout, contents boxfile.Contents, w io.Writer) (boxfile.Summary, error) {
	contents.Metadata.Provider, contents.Metadata.Architecture = provider, j.Architecture
	var err error
	if contents.Metadata.Machine, err = j.note(); err != nil {
		return boxfile.Summary{}, err
	}
	for _, path := range j.Include {
		contents.Files = append(contents.Files, boxfile.File{Name: filepath.Base(path), Path: path})
	}
	contents.Info = j.Info
	sum, err := boxfile.Write(ctx, w, contents, boxfile.Options{Level: j.level(l), Parallel: j.Parallel, Progress: j.title("packing " + provider)})
	if err != nil {
		return boxfile.Summary{}, fmt.Errorf("pack a box for %s: %w", provider, err)
	}
	return sum, nil
}

// level of compression. Disks that are compressed already get no smaller by doing it again.
func (j *job) level(l layout) int {
	if j.Level == 0 && l.compressed {
		return boxfile.Stored
	}
	return j.Level
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
func CanMake(provider string) bool {
	return provider == boxfile.AWS || hypervisor.Package(provider).IsBox()
}

// ArchitectureOf names the architecture of an artifact as Vagrant does.
func ArchitectureOf(a hypervisor.Artifact) string {
	if a.Arch == "386" { // Vagrant's name, and packer-plugin-vagrant's
		return "i386"
	}
	return a.Arch
}
