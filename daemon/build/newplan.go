package build

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/bootcmd"
	"github.com/boxkiln/boxkiln/internal/schema"
	"github.com/boxkiln/boxkiln/template"
)

// PackerVersion is the version of Packer whose behaviour templates get.
const PackerVersion = template.PackerVersion

// PlanOptions are what a plan depends on besides the template.
type PlanOptions struct {
	Cwd         string // absolute
	RunUUID     string
	AgentSocket string
	Publish     PublishArgs // of the command line; what it sets wins
	Packages    []string    // of the command line, instead of the template's; nil leaves those
	Options     Options
}

// Problem is a mistake in a template that the schema could not find, at the block it is in.
type Problem struct {
	Pos  template.Pos
	Text string
}

func (p *Problem) Error() string { return p.Text }

// Template describes the parts for package template.
func (p Parts) Template() template.Parts {
	t := template.Parts{Sources: map[string]*schema.Block{}, Provisioners: map[string]*schema.Block{},
		PostProcessors: map[string]*schema.Block{}, DataSources: map[string]*schema.Block{}, Aliases: p.Aliases}
	for name, k := range p.Sources {
		t.Sources[name] = k.Schema
	}
	for name, k := range p.Provisioners {
		t.Provisioners[name] = k.Schema
	}
	for name, k := range p.PostProcessors {
		t.PostProcessors[name] = k.Schema
	}
	for name, b := range p.DataSources {
		t.DataSources[name] = b
	}
	return t
}

// NewPlan resolves one source of a template. It is pure: the files that the plan needs are named by InputNames and read
// by the client. All problems are returned, joined, each a *Problem.
func NewPlan(t *template.Template, src *template.Source, parts Parts, o PlanOptions) (*Plan, error) {
	kind, ok := parts.Sources[src.Type]
	if !ok || kind.Planner == nil {
		return nil, &Problem{src.Pos, fmt.Sprintf("%s cannot be built: %s", src.Label(), src.Missing)}
	}
	p := &Plan{
		Format: PlanFormat, Label: src.Label(), Builder: src.Type, Name: src.Name, BuildName: src.BuildName,
		Driver: kind.Driver, Template: t.Path, TemplateDir: t.Dir, Cwd: o.Cwd, RunUUID: o.RunUUID,
		Options: o.Options, Volatile: src.Volatile, Secrets: t.Secrets, Private: t.Private,
	}
	c := planner{parts: parts, plan: p}
	c.source(src, kind)
	c.communicator(src, o)
	c.packages(o.Packages, src)
	c.publish(o.Publish, src)
	c.provisioners(src)
	c.postProcessors(src)
	return p, errors.Join(c.problems...)
}

type planner struct {
	parts    Parts
	plan     *Plan
	problems []error
}

func (c *planner) problem(pos template.Pos, err error) {
	if err == nil {
		return
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			c.problem(pos, e)
		}
		return
	}
	c.problems = append(c.problems, &Problem{pos, err.Error()})
}

func (c *planner) all(pos template.Pos, errs []error) {
	for _, err := range errs {
		c.problem(pos, err)
	}
}

// source decodes the groups of a source's arguments.
func (c *planner) source(src *template.Source, kind SourceKind) {
	p := c.plan
	var own struct {
		DiskImage    bool   `json:"disk_image"`
		ACPIShutdown bool   `json:"acpi_shutdown"`
		DisableStop  bool   `json:"disable_stop_instance"` // how a cloud calls disable_shutdown
		ISOMD5       string `json:"iso_md5"`               // what iso_checksum was once called
	}
	for _, into := range []any{&p.Media, &p.CD, &p.Floppy, &p.Seed, &p.Boot, &p.Shutdown, &p.Output, &p.Packages, &p.Publish, &p.Cache, &own} {
		c.problem(src.Pos, json.Unmarshal(src.Args, into))
	}
	p.DiskImage = own.DiskImage
	p.Shutdown.DisableShutdown = p.Shutdown.DisableShutdown || own.DisableStop
	if own.ACPIShutdown { // the power button is what is pressed without a command
		p.Shutdown.ShutdownCommand = ""
	}
	c.problem(src.Pos, maxAge(time.Duration(p.Cache.CacheMaxAge)))
	if p.Media.ISOChecksum == "" && p.Media.ISOChecksumURL == "" && own.ISOMD5 != "" {
		p.Media.ISOChecksum = "md5:" + own.ISOMD5
	}
	if !kind.NoMedium || p.Media.ISOURL != "" || len(p.Media.ISOURLs) > 0 {
		c.all(src.Pos, p.Media.Validate())
	}
	c.all(src.Pos, p.CD.Validate())
	c.all(src.Pos, p.Floppy.Validate())
	c.all(src.Pos, p.Seed.Validate())
	c.bootCommand(src)
	spec, err := kind.Planner.Plan(src.Args)
	c.problem(src.Pos, err)
	p.Machine = spec
}

// actions are what is filled in while the build runs; a digit can stand for them wherever a token takes something.
var actions = regexp.MustCompile(`\{\{.*?\}\}`)

// bootCommand finds mistakes in a boot command that no rendering can mend.
func (c *planner) bootCommand(src *template.Source) {
	b := c.plan.Boot
	if len(b.BootCommand) > 0 && len(b.BootSteps) > 0 {
		c.problem(src.Pos, errors.New("boot_command and boot_steps exclude each other: keep one"))
	}
	for i, step := range b.BootSteps {
		if len(step) == 0 || len(step) > 2 {
			c.problem(src.Pos, fmt.Errorf("boot_steps[%d]: write it like [\"<enter>\", \"what it does\"]", i))
		}
	}
	text := actions.ReplaceAllString(strings.Join(b.BootCommand, ""), "1")
	program, _, err := bootcmd.Parse(text)
	if err == nil {
		if _, seed := program.Looks(); seed && c.plan.Seed.Empty() {
			err = ErrNothingServed
		}
	}
	if err != nil {
		c.problem(src.Pos, fmt.Errorf("boot_command: %w", err))
	}
}

// ErrNothingServed is the mistake of a boot command that waits for a seed server which the template does not have.
var ErrNothingServed = errors.New("<waitSeed>: the template serves nothing to wait for; set http_directory or http_content, or use a plain <wait10s>")

func (c *planner) communicator(src *template.Source, o PlanOptions) {
	com := &c.plan.Communicator
	for _, into := range []any{&com.CommunicatorArgs, &com.SSH, &com.TemporaryKey, &com.Bastion, &com.WinRM} {
		c.problem(src.Pos, json.Unmarshal(src.Args, into))
	}
	var old struct {
		KeyPath string `json:"ssh_key_path"` // what ssh_private_key_file was once called
	}
	c.problem(src.Pos, json.Unmarshal(src.Args, &old))
	if com.SSH.PrivateKeyFile == "" {
		com.SSH.PrivateKeyFile = old.KeyPath
	}
	com.AgentSocket = o.AgentSocket
	switch com.Kind() {
	case CommunicatorNone:
		if len(src.Provisioners) > 0 {
			c.problem(src.Pos, fmt.Errorf("communicator = \"none\" cannot run the %d provisioners of %s", len(src.Provisioners), src.Label()))
		}
	case "ssh":
		c.problem(src.Pos, c.parts.Communicator.Check(*com))
	case "winrm":
		c.problem(src.Pos, errors.New("communicator = \"winrm\" validates, but cannot be built yet: use ssh"))
	default:
		c.problem(src.Pos, fmt.Errorf("communicator = %q is none of ssh, winrm, none", com.Communicator))
	}
}

func (c *planner) packages(flags []string, src *template.Source) {
	p := &c.plan.Packages
	if flags != nil && !c.plan.Machine.Remote { // those of the command line are for the sources of which disks come to this host
		p.Package = flags
	}
	list, err := p.Wanted()
	c.problem(src.Pos, err)
	for _, name := range list {
		if name.IsRemote() {
			c.importPackage(name, src)
		}
	}
}

// importPackage reads the arguments of a package that a driver keeps.
func (c *planner) importPackage(name hypervisor.Package, src *template.Source) {
	kind, ok := c.parts.Imports[name]
	if !ok {
		c.problem(src.Pos, fmt.Errorf("package %q cannot be made: this Boxkiln has no driver for it", name))
		return
	}
	var blocks map[string]json.RawMessage
	if err := json.Unmarshal(src.Args, &blocks); err != nil {
		c.problem(src.Pos, err)
		return
	}
	args := blocks[kind.Argument]
	if len(args) == 0 || string(args) == "null" {
		args = json.RawMessage("{}")
	}
	if err := kind.Check(args); err != nil {
		c.problem(src.Pos, fmt.Errorf("%s: %w", kind.Argument, err))
	}
	if c.plan.Imports == nil {
		c.plan.Imports = map[hypervisor.Package]json.RawMessage{}
	}
	c.plan.Imports[name] = args
}

func (c *planner) publish(flags PublishArgs, src *template.Source) {
	pub := &c.plan.Publish
	if flags.Box != "" {
		pub.Box = flags.Box
	}
	if flags.Version != "" {
		pub.Version = flags.Version
	}
	if flags.Description != "" {
		pub.Description = flags.Description
	}
	pub.Smoke = pub.Smoke || flags.Smoke
	c.problem(src.Pos, pub.Validate())
	if names := c.plan.Packages.Package; pub.Box != "" && len(names) > 0 && !c.plan.Packages.MakesBox() {
		c.problem(src.Pos, fmt.Errorf("%s is to be published, and package = %q makes no box: add libvirt, virtualbox or vmware_desktop", pub.Box, names))
	}
}

func (c *planner) provisioners(src *template.Source) {
	for _, pr := range src.Provisioners {
		c.plan.Provisioners = append(c.plan.Provisioners, c.provisioner(pr))
	}
	if src.ErrorCleanup != nil {
		p := c.provisioner(*src.ErrorCleanup)
		c.plan.ErrorCleanup = &p
	}
}

func (c *planner) provisioner(pr template.Provisioner) ProvisionPlan {
	kind := c.parts.Provisioners[pr.Type]
	switch {
	case kind.New == nil:
		c.problem(pr.Pos, fmt.Errorf("provisioner %q: %s", pr.Type, missing(kind.Schema)))
	case kind.Check != nil:
		c.problem(pr.Pos, kind.Check(pr.Args))
	}
	c.problem(pr.Pos, maxAge(pr.CacheMaxAge))
	return ProvisionPlan{Type: pr.Type, Name: pr.Name, Args: pr.Args, PauseBefore: pr.PauseBefore,
		Timeout: pr.Timeout, MaxRetries: pr.MaxRetries, ContinueOnError: pr.ContinueOnError,
		Cache: pr.Cache, CacheMaxAge: pr.CacheMaxAge, Volatile: pr.Volatile}
}

// maxAge checks an age limit.
func maxAge(d time.Duration) error {
	if d < 0 {
		return fmt.Errorf("cache_max_age = %s: an age above 0 is needed; cache = false keeps a stage out of the cache", d)
	}
	return nil
}

func (c *planner) postProcessors(src *template.Source) {
	for _, chain := range src.PostProcessors {
		var out []PostPlan
		for _, pp := range chain {
			kind := c.parts.PostProcessors[pp.Type]
			switch {
			case kind.New == nil:
				c.problem(pp.Pos, fmt.Errorf("post-processor %q: %s", pp.Type, missing(kind.Schema)))
			case kind.Check != nil:
				c.problem(pp.Pos, kind.Check(pp.Args))
			}
			out = append(out, PostPlan{Type: pp.Type, Name: pp.Name, Args: pp.Args, KeepInputArtifact: pp.KeepInputArtifact, Volatile: pp.Volatile})
		}
		c.plan.Post = append(c.plan.Post, out)
	}
}

func missing(b *schema.Block) string {
	if b == nil || b.Missing == "" {
		return "it is not built yet"
	}
	return b.Missing
}

// InputNames lists the local files, directories and globs that a plan needs, as written in the template.
func InputNames(p *Plan, parts Parts) ([]string, error) {
	var names []string
	add := func(more ...string) {
		for _, n := range more {
			if n != "" {
				names = append(names, n)
			}
		}
	}
	add(p.Seed.Directory)
	add(p.CD.Files...)
	add(p.Floppy.Files...)
	add(p.Floppy.Dirs...)
	add(p.SourceFiles...)
	add(slices.Sorted(maps.Values(p.Machine.Reads))...)
	add(parts.Communicator.Inputs(p.Communicator)...)
	var errs []error
	list := func(inputs func(json.RawMessage) ([]string, error), args json.RawMessage) {
		if inputs == nil {
			return
		}
		more, err := inputs(args)
		errs = append(errs, err)
		add(more...)
	}
	for _, pr := range p.Provisioners {
		list(parts.Provisioners[pr.Type].Inputs, pr.Args)
	}
	if p.ErrorCleanup != nil {
		list(parts.Provisioners[p.ErrorCleanup.Type].Inputs, p.ErrorCleanup.Args)
	}
	for _, chain := range p.Post {
		for _, pp := range chain {
			list(parts.PostProcessors[pp.Type].Inputs, pp.Args)
		}
	}
	for i, n := range names {
		names[i] = filepath.FromSlash(n)
	}
	return names, errors.Join(errs...)
}
