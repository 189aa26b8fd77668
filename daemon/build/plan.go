package build

import (
	"encoding/json"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/internal/schema"
	"github.com/boxkiln/boxkiln/iso"
	"github.com/boxkiln/boxkiln/iso/seedhttp"
	"github.com/boxkiln/boxkiln/provisioners"
	"github.com/boxkiln/boxkiln/template"
)

// PlanFormat is the version of the JSON form of a Plan. A daemon refuses plans of another one.
const PlanFormat = 1

// Plan is a template resolved for one source: pure data, made by the client, complete but for what only exists while
// the build runs (addresses, keys, the machine). Paths in it are as the user wrote them, relative to Cwd.
type Plan struct {
	Format int `json:"format" guest:"no"`
	// Label is how logs name the build, as Packer does: "qemu.debian", or the builder's name in a legacy template.
	Label     string `json:"label" guest:"no"`
	Builder   string `json:"builder" guest:"apart"` // the source's type
	Name      string `json:"name" guest:"apart"`    // the source's name
	BuildName string `json:"build_name" guest:"no"` // of the HCL build block; may be empty
	Driver    string `json:"driver" guest:"yes"`
	Template  string `json:"template" guest:"no"` // path as given on the command line
	// TemplateDir is the folder of the template and Cwd the directory in which the user started the build, both absolute.
	TemplateDir string `json:"template_dir" guest:"no"`
	Cwd         string `json:"cwd" guest:"no"`
	// RunUUID is one for all builds of a command (PACKER_RUN_UUID).
	RunUUID string `json:"run_uuid" guest:"no"`

	Media        iso.MediaArgs           `json:"media" guest:"inside"`
	CD           iso.CDArgs              `json:"cd" guest:"inside"`
	Floppy       iso.FloppyArgs          `json:"floppy" guest:"inside"`
	Seed         seedhttp.Args           `json:"seed" guest:"inside"`
	Boot         hypervisor.BootArgs     `json:"boot" guest:"inside"`
	Shutdown     hypervisor.ShutdownArgs `json:"shutdown" guest:"inside"`
	Communicator Communicator            `json:"communicator" guest:"inside"`
	Machine      hypervisor.Spec         `json:"machine" guest:"inside"`
	// DiskImage says that the media is a disk to start from rather than a CD to install from.
	DiskImage bool                  `json:"disk_image,omitempty" guest:"yes"`
	Output    hypervisor.OutputArgs `json:"output" guest:"inside"`
	// Packages are what else is made of the machine.
	Packages hypervisor.PackageArgs `json:"packages" guest:"inside"`
	// Imports are the arguments of those packages that a driver keeps, which only it decodes.
	Imports      map[hypervisor.Package]json.RawMessage `json:"imports,omitempty" guest:"no"`
	Publish      PublishArgs                            `json:"publish" guest:"inside"`
	Cache        CacheArgs                              `json:"cache" guest:"inside"`
	Provisioners []ProvisionPlan                        `json:"provisioners,omitempty" guest:"apart"`
	ErrorCleanup *ProvisionPlan                         `json:"error_cleanup,omitempty" guest:"no"`
	Post         [][]PostPlan                           `json:"post,omitempty" guest:"apart"`
	Options      Options                                `json:"options" guest:"no"`
	Inputs       []Input                                `json:"inputs,omitempty" guest:"apart"`
	// SourceFiles are the files of Machine.Source on the client's machine, absolute: itself, and what it names. None for a URL.
	SourceFiles []string `json:"source_files,omitempty" guest:"apart"`
	Origin      Origin   `json:"origin,omitzero" guest:"no"`
	// Volatile are the source's arguments whose value differs in every run.
	Volatile []template.Use `json:"volatile,omitempty" guest:"no"`
	// Secrets are the values that no log, event or file may show. They are sealed apart from the plan.
	Secrets []string `json:"secrets,omitempty" guest:"no"`
	// Private are sealed as Secrets are, but may show in logs: passwords such as "vagrant" are ordinary words.
	Private []string `json:"private,omitempty" guest:"no"`
}

// Communicator is everything about reaching the guest.
type Communicator struct {
	provisioners.CommunicatorArgs
	SSH          provisioners.SSHArgs          `json:"ssh" guest:"inside"`
	TemporaryKey provisioners.TemporaryKeyArgs `json:"temporary_key" guest:"inside"`
	Bastion      provisioners.BastionArgs      `json:"bastion" guest:"inside"`
	WinRM        provisioners.WinRMArgs        `json:"winrm" guest:"inside"`
	// AgentSocket is the client's SSH agent, for builds on the same machine.
	AgentSocket string `json:"agent_socket,omitempty" guest:"no"`
}

// PublishArgs say where the box of a build goes in the registry. They are arguments of a source, or come from the
// command line, so that a template stays valid for Packer.
type PublishArgs struct {
	Box         string `json:"box" doc:"Publish the box as org/name in Boxkiln's registry." guest:"no"`
	Version     string `json:"box_version" doc:"Version to publish, as Vagrant reads versions." guest:"no"`
	Description string `json:"box_description" doc:"Description of that version." guest:"no"`
	Smoke       bool   `json:"smoke" doc:"Boot the packed box once and log in before it is released." guest:"no"`
}

// CacheArgs say whether the stages of a source may be kept and used again, and for how long.
type CacheArgs struct {
	Cache       *bool           `json:"cache" doc:"Keep stages of the build and use them again. Default true." guest:"no"`
	CacheMaxAge schema.Duration `json:"cache_max_age" doc:"How old a kept stage may be to be used again, such as \"24h\" (the default)." guest:"no"`
}

// ProvisionPlan is one provisioner of a plan.
type ProvisionPlan struct {
	Type            string          `json:"type" guest:"yes"`
	Name            string          `json:"name,omitempty" guest:"no"`
	Args            json.RawMessage `json:"args" guest:"apart"`
	PauseBefore     time.Duration   `json:"pause_before,omitempty" guest:"no"`
	Timeout         time.Duration   `json:"timeout,omitempty" guest:"no"`
	MaxRetries      int             `json:"max_retries,omitempty" guest:"no"`
	ContinueOnError bool            `json:"continue_on_error,omitempty" guest:"no"`
	// Cache is false if the provisioner must run in every build.
	Cache       *bool         `json:"cache,omitempty" guest:"no"`
	CacheMaxAge time.Duration `json:"cache_max_age,omitempty" guest:"no"` // 0: what holds for the source
	// Volatile are the arguments whose value differs in every run.
	Volatile []template.Use `json:"volatile,omitempty" guest:"no"`
}

// PostPlan is one post-processor of a chain.
type PostPlan struct {
	Type              string          `json:"type" guest:"artifact"`
	Name              string          `json:"name,omitempty" guest:"no"`
	Args              json.RawMessage `json:"args" guest:"apart"`
	KeepInputArtifact *bool           `json:"keep_input_artifact,omitempty" guest:"artifact"`
	Volatile          []template.Use  `json:"volatile,omitempty" guest:"no"`
}

// Options are what the command line says about a build.
type Options struct {
	Force   bool    `json:"force,omitempty"`
	Debug   bool    `json:"debug,omitempty"`
	OnError OnError `json:"on_error,omitempty"`
	// Keep holds the machine of a failed build until somebody lets it go.
	Keep bool `json:"keep,omitempty"`
	// Direct lets the daemon write outputs where the template wants them; set for a client of the daemon's own user.
	Direct bool `json:"direct,omitempty"`
	// Founds lets the build's publication make the organisation that it goes into; set for administrators.
	Founds bool `json:"founds,omitempty"`
	// NoCache names what is not to be cached: provisioners by name or type, sources by label; "*" is everything.
	NoCache []string `json:"no_cache,omitempty"`
	// Fresh makes every stage anew and keeps it.
	Fresh bool `json:"fresh,omitempty"`
	// CacheMaxAge is how old kept stages may be where the template does not say; 0 for DefaultCacheMaxAge.
	CacheMaxAge time.Duration `json:"cache_max_age,omitempty"`
}

// OnError is what happens when a step fails. Meanings: packer build -on-error.
type OnError string

// The values of -on-error.
const (
	OnErrorCleanup OnError = "cleanup"
	OnErrorAbort   OnError = "abort"
	OnErrorAsk     OnError = "ask"
	// OnErrorRunCleanup runs the error-cleanup-provisioner and then leaves everything as OnErrorAbort does.
	OnErrorRunCleanup OnError = "run-cleanup-provisioner"
)

// Input is a file that a plan names, as it was when the client read it.
type Input struct {
	Path   string      `json:"path" guest:"apart"` // absolute, on the client's machine
	Mode   fs.FileMode `json:"mode" guest:"apart"` // with fs.ModeDir for a directory, which has no digest
	Size   int64       `json:"size" guest:"no"`
	Digest string      `json:"digest,omitempty" guest:"apart"` // sha256, hex
	// InPlace says that the daemon reads the file at Path itself, on the same machine and for the same user.
	InPlace bool `json:"in_place,omitempty" guest:"no"`
}

// ReadInPlace has the daemon read the files of an exported machine where they are, instead of being sent them: they are
// large. It is for a client of the daemon's own user on the same machine.
func (p *Plan) ReadInPlace() {
	for i := range p.Inputs {
		p.Inputs[i].InPlace = slices.Contains(p.SourceFiles, p.Inputs[i].Path)
	}
}

// Needs is what a build takes from its host while it runs.
type Needs struct {
	CPUs      int   `json:"cpus"`
	MemoryMiB int   `json:"memory_mib"`
	DiskBytes int64 `json:"disk_bytes"`
}

// packageShare is how much of the estimate for a disk is counted again for each package: it is compressed, or sparse.
const packageShare = 2

// installSlack is what an installation writes besides the installed system: packages, logs, the box.
const installSlack = 2 << 30

// Needs estimates what the build takes. Disks are sparse, and a full one is rare: a fixed share of each is counted, which
// a build host can overrule with its disk budget.
func (p *Plan) Needs() Needs {
	n := Needs{CPUs: p.Machine.CPUs, MemoryMiB: p.Machine.MemoryMiB, DiskBytes: installSlack}
	var disks int64
	for _, d := range p.Machine.Disks {
		disks += min(d.Size/8, installSlack)
	}
	n.DiskBytes += disks + disks/packageShare*int64(len(p.Packages.Package))
	return n
}

// CommunicatorNone is the communicator of guests that nobody logs in to.
const CommunicatorNone = "none"

// Kind is the communicator's type: ssh unless the template says otherwise.
func (c Communicator) Kind() string {
	if c.Communicator == "" {
		return "ssh"
	}
	return c.Communicator
}

// DefaultName is what a machine is called when the template does not name it, as Packer does.
func (p *Plan) DefaultName() string {
	if p.Output.VMName != "" {
		return p.Output.VMName
	}
	return "packer-" + p.Name
}

// OutputDirectory is where the machine's files go, as Packer chooses it.
func (p *Plan) OutputDirectory() string {
	if p.Output.Directory != "" {
		return p.Output.Directory
	}
	return "output-" + p.Name
}

// PackageName is what packages and the machine in them are called: the machine's name without an extension that only says
// what the disk was.
func (p *Plan) PackageName() string {
	name := filepath.Base(filepath.ToSlash(p.DefaultName()))
	switch ext := filepath.Ext(name); ext {
	case ".qcow2", ".raw", ".img", ".vmdk", ".box":
		return strings.TrimSuffix(name, ext)
	}
	return name
}
