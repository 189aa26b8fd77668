// Package hypervisor is the port to whatever runs virtual machines.
//
// A [Driver] creates machines from a [Spec] and finds them again by [Handle]; a [Machine] is started, typed at, looked
// at, waited for, exported and destroyed. What only some hypervisors can do are abilities of their own ([Keyboard],
// [Screen]): assert for them, and report [ErrUnsupported] when they are absent. Every driver runs the conformance suite
// in hypervisortest. Drivers never import each other; the daemon sees only this package.
package hypervisor

import (
	"context"
	"encoding/json"
	"errors"
	"image"
	"io"
	"net"
	"strconv"
	"time"
)

// Sentinel errors of every driver. Errors wrap them, so test with errors.Is.
var (
	ErrNotFound    = errors.New("machine not found")
	ErrUnsupported = errors.New("not supported by this driver")
	// ErrCrashed is what Wait returns when a machine ended in another way than a clean power-off.
	ErrCrashed = errors.New("machine ended without a clean power-off")
	// ErrUnreachable says that the hypervisor did not answer at all, so nothing was made.
	ErrUnreachable = errors.New("the hypervisor cannot be reached")
	// ErrForeign is returned instead of touching a machine that has the name of ours but not our tag.
	ErrForeign = errors.New("a machine of that name exists and is not ours")
)

// Driver is one hypervisor or cloud.
type Driver interface {
	// Name is the name in the table of drivers, such as "libvirt".
	Name() string
	// Probe looks at what works here: versions, the accelerator, formats. It has no side effects.
	Probe(ctx context.Context) (Capabilities, error)
	// Create makes the machine and its disks, powered off. It is idempotent on spec.Name: a machine of that name with
	// the same tag is returned; one with another tag is ErrForeign.
	Create(ctx context.Context, spec Spec) (Machine, error)
	// Open finds a machine again. It returns ErrNotFound if there is none.
	Open(ctx context.Context, h Handle) (Machine, error)
	// List returns the machines that carry this installation's tag, and no others.
	List(ctx context.Context) ([]Handle, error)
}

// Machine is a virtual machine under a driver. Its methods may be called from several goroutines.
type Machine interface {
	Handle() Handle
	// Start powers it on; nil if it runs already.
	Start(ctx context.Context) error
	State(ctx context.Context) (State, error)
	// Wait blocks until the machine is off: nil after a clean power-off, ErrCrashed otherwise.
	Wait(ctx context.Context) error
	// Shutdown asks the guest to power off by ACPI and returns at once.
	Shutdown(ctx context.Context) error
	// Destroy powers it off, undefines it and deletes what the driver made for it. It returns nil if all that is gone.
	Destroy(ctx context.Context) error
	// Guest tells where the host reaches a TCP port of the guest. The machine must be running. When the guest has no
	// address yet, the error is ErrNoAddress: ask again later.
	Guest(ctx context.Context, port int) (Endpoint, error)
	// Export writes the disks of a powered-off machine, flattened and compacted, and its firmware variables into dir.
	Export(ctx context.Context, dir string, o ExportOptions) (Artifact, error)
}

// ErrNoAddress says that the guest cannot be reached yet because its address is not known.
var ErrNoAddress = errors.New("the guest has no address yet")

// Keyboard is the ability of a Machine to take key events.
type Keyboard interface {
	// Type plays the events in order, no two closer than pace, and returns when the last one was accepted. A pace below
	// what the driver knows to be safe is raised to that; 0 asks for just that.
	Type(ctx context.Context, keys []KeyEvent, pace time.Duration) error
}

// Screen is the ability of a Machine to show its picture.
type Screen interface {
	Capture(ctx context.Context) (image.Image, error)
}

// SerialPort is the ability of a Machine to tell where its first serial port is being written on this host.
type SerialPort interface {
	SerialLog() string
}

// Planner is the pure half of a driver: it turns the driver's own template arguments into a Spec without names, paths or
// tags (Spec.Name, Tag, Dir, CDs and Floppy are filled in by the build). It runs in the client, so it may not look at
// this host. Errors name the argument and the value.
type Planner interface {
	Plan(args json.RawMessage) (Spec, error)
}

// Key is a key of a US keyboard, named as in QEMU's QKeyCode enumeration (qapi/ui.json): "a", "ret", "shift", "f1".
type Key string

// KeyEvent is one change of the keyboard.
type KeyEvent struct {
	Key  Key
	Down bool
}

// State is what a machine is doing.
type State string

// The states. Absent is what a destroyed machine answers.
const (
	Off     State = "off"
	Running State = "running"
	Paused  State = "paused"
	Crashed State = "crashed"
	Absent  State = "absent"
)

// Tag marks a machine as ours. A driver keeps it with the machine (libvirt: domain metadata) and never touches a machine
// whose Install differs.
type Tag struct {
	Install string `json:"install"` // random id of this data directory
	Build   string `json:"build"`
	Attempt int    `json:"attempt"`
}

// Handle finds a machine again after a restart. It is plain data.
type Handle struct {
	Driver string `json:"driver"`
	Name   string `json:"name"`
	UUID   string `json:"uuid,omitempty"`
	// URI is the connection the machine lives on, where a driver has several (libvirt_uri).
	URI string `json:"uri,omitempty"`
	Tag Tag    `json:"tag"`
	// Dir is the directory of the machine's files, which Destroy empties of what the driver made.
	Dir string `json:"dir,omitempty"`
}

// Firmware is what the machine starts with.
type Firmware struct {
	UEFI bool `json:"uefi,omitempty" guest:"yes"`
	// Code and Vars override the files that the driver would choose.
	Code string `json:"code,omitempty" guest:"yes"`
	Vars string `json:"vars,omitempty" guest:"yes"`
}

// Disk is one disk of a Spec. Sizes are bytes.
type Disk struct {
	Size      int64  `json:"size" guest:"yes"`
	Format    string `json:"format" guest:"no"`     // qcow2 or raw
	Interface string `json:"interface" guest:"yes"` // virtio, sata, scsi, virtio-scsi, ide
	// Image is an existing image to start from. With Backing the disk is an overlay of it, otherwise a copy.
	Image       string `json:"image,omitempty" guest:"apart"`
	ImageFormat string `json:"image_format,omitempty" guest:"no"`
	Backing     bool   `json:"backing,omitempty" guest:"no"`
	KeepSize    bool   `json:"keep_size,omitempty" guest:"yes"` // do not resize Image to Size
	Cache       string `json:"cache,omitempty" guest:"no"`
	Discard     string `json:"discard,omitempty" guest:"no"`
	DetectZero  string `json:"detect_zeroes,omitempty" guest:"no"`
}

// Network is how the guest is connected.
type Network struct {
	// Name is a hypervisor network; empty means user networking with forwards.
	Name  string `json:"name,omitempty" guest:"yes"`
	Model string `json:"model" guest:"yes"`
	MAC   string `json:"mac,omitempty" guest:"yes"`
	// Forward lists guest TCP ports that the host must reach (user networking).
	Forward []int `json:"forward,omitempty" guest:"no"`
	// HostAddress is the address under which the guest sees servers of this host; empty: the driver knows.
	HostAddress string `json:"host_address,omitempty" guest:"no"`
}

// Spec is the machine to create.
type Spec struct {
	Name      string   `json:"name" guest:"no"`
	Tag       Tag      `json:"tag" guest:"no"`
	Dir       string   `json:"dir" guest:"no"`   // absolute, exists, belongs to this machine alone
	Arch      string   `json:"arch" guest:"yes"` // amd64, arm64 ... (Go's names)
	CPUs      int      `json:"cpus" guest:"yes"`
	MemoryMiB int      `json:"memory_mib" guest:"yes"`
	Firmware  Firmware `json:"firmware" guest:"yes"`
	Disks     []Disk   `json:"disks" guest:"yes"`
	CDs       []string `json:"cds,omitempty" guest:"no"` // absolute paths of images; the first is what it boots from
	Floppy    string   `json:"floppy,omitempty" guest:"no"`
	Network   Network  `json:"network" guest:"yes"`
	// Source is an exported machine (.ovf, .ova, .vmx) to start from instead of making one, as the template names it: a path
	// or URL. When the build runs it is an absolute path on this host, with the files that it names beside it.
	Source string `json:"source,omitempty" guest:"apart"`
	// SourceChecksum is that of the file Source alone, in the forms of iso_checksum; empty for none. SourceTarget is where a
	// download of it is kept; empty for the cache.
	SourceChecksum string `json:"source_checksum,omitempty" guest:"apart"`
	SourceTarget   string `json:"source_target,omitempty" guest:"no"`
	// Fetched are the paths of what the driver's Fetches asked for, by name.
	Fetched map[string]string `json:"fetched,omitempty" guest:"no"`
	// Remote says that the machine runs in a cloud and becomes images there: its Export writes no file, and returns their ids.
	Remote bool `json:"remote,omitempty" guest:"no"`
	// Reads are files of the client that the driver wants on this host when it makes the machine, by name: paths as the template
	// writes them. They are in Fetched under the same names.
	Reads map[string]string `json:"reads,omitempty" guest:"apart"`
	// Force removes what is in the way of the result, such as an image of the same name.
	Force bool `json:"force,omitempty" guest:"no"`
	// AuthorizedKey is a line of authorized_keys that a cloud gives to the guest; empty for none.
	AuthorizedKey string `json:"authorized_key,omitempty" guest:"no"`
	// HTTP is the seed server's port on this host, for arguments that name it; 0 without one.
	HTTPPort int `json:"http_port,omitempty" guest:"no"`
	// Options are the driver's own arguments, which only that driver decodes.
	Options json.RawMessage `json:"options,omitempty" guest:"apart"`
}

// Endpoint is a TCP address on or through this host.
type Endpoint struct {
	Host string `json:"host"`
	Port int    `json:"port"`
}

// String returns host:port, with brackets round an IPv6 host.
func (e Endpoint) String() string { return net.JoinHostPort(e.Host, strconv.Itoa(e.Port)) }

// Capabilities is what Probe found.
type Capabilities struct {
	Available bool `json:"available"`
	// Absent says that the hypervisor's programs are not installed: nobody has to mend what nobody uses.
	Absent      bool     `json:"absent,omitempty"`
	Version     string   `json:"version"`
	Accelerator string   `json:"accelerator"` // "kvm", "tcg"; empty where it has no meaning
	Notes       []string `json:"notes,omitempty"`
	// Problems say what does not work and how to mend it.
	Problems []Problem `json:"problems,omitempty"`
}

// Problem is something that does not work here, with its remedy.
type Problem struct {
	What   string `json:"what"`
	Remedy string `json:"remedy"`
}

// ExportOptions say how disks leave the machine.
type ExportOptions struct {
	Format   string // as the template says, such as qcow2, raw, ovf or ova; empty for the driver's default
	Compress bool   // compressed clusters (qemu-img convert -c)
	// KeepHoles skips the rewrite that drops unused clusters (Packer's skip_compaction).
	SkipCompaction bool
	// Volatile says that the caller syncs the files that it keeps.
	Volatile bool
	// Name is the base name of the files: Name, Name-1, Name-2 ... as Packer's qemu builder names them.
	Name     string
	Progress func(done, total int64) // may be nil
	Log      io.Writer               // may be nil
}

// Role says what a file of an artifact is.
type Role string

// The roles.
const (
	RoleDisk  Role = "disk"
	RoleNVRAM Role = "nvram"
	RoleBox   Role = "box"
	// RoleDescriptor describes the machine whose disks lie beside it (.ovf, .vmx); RoleManifest holds the checksums of both (.mf).
	RoleDescriptor Role = "descriptor"
	RoleManifest   Role = "manifest"
	// RoleAppliance is a machine in one file (.ova).
	RoleAppliance Role = "appliance"
	RoleOther     Role = "other"
)

// File is one file of an artifact.
type File struct {
	Path string `json:"path"` // where it lies on this host
	// Dest is where the template wants it, as written there; empty if that is Path.
	Dest        string `json:"dest,omitempty"`
	Role        Role   `json:"role"`
	Format      string `json:"format,omitempty"`
	Size        int64  `json:"size"`
	VirtualSize int64  `json:"virtual_size,omitempty"` // of a disk, bytes
	SHA256      string `json:"sha256,omitempty"`
	// Package is what the file is part of, if the machine was made into packages.
	Package Package `json:"package,omitempty"`
	// Box is what the packer knows of a box that it made, for whoever publishes it: the summary of package boxfile, which
	// names the bytes that it is about. It is carried as JSON, because what is in a box is no matter of a hypervisor.
	Box json.RawMessage `json:"box,omitempty"`
}

// Name is the file as its user knows it: Dest, or else Path.
func (f File) Name() string {
	if f.Dest != "" {
		return f.Dest
	}
	return f.Path
}

// Artifact is what a build made: files, or ids in a cloud.
type Artifact struct {
	// Builder is the template's source type ("qemu"); post-processors such as manifest print it.
	Builder string     `json:"builder,omitempty"`
	Driver  string     `json:"driver,omitempty"`
	Arch    string     `json:"arch,omitempty"`
	UEFI    bool       `json:"uefi,omitempty"`
	Files   []File     `json:"files,omitempty"`
	IDs     []RemoteID `json:"ids,omitempty"`
}

// SeedHost is the ability of a Driver to tell where the seed server of a machine has to listen (bind) and under which
// address the guest sees it (seen), before the machine exists. Without it the driver's guests see this host's loopback
// as 10.0.2.2, as under user networking.
type SeedHost interface {
	SeedHost(ctx context.Context, spec Spec) (bind, seen string, err error)
}
