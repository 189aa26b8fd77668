package post

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/boxkiln/boxkiln/boxregistry/boxfile"
	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/pack"
	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/internal/fsx"
)

// VagrantArgs are the arguments of the vagrant post-processor. Source: packer-plugin-vagrant post-processor/vagrant.
type VagrantArgs struct {
	CompressionLevel *int            `json:"compression_level" doc:"0 (none) to 9 (small); -1 for the default." guest:"no"`
	Include          []string        `json:"include" doc:"Further files for the box." arg:"local" guest:"no"`
	Output           string          `json:"output" doc:"The box. Default packer_{{.BuildName}}_{{.Provider}}_{{.Architecture}}.box." arg:"late" guest:"no"`
	Override         json.RawMessage `json:"override" doc:"Other arguments for single providers, by their names." guest:"no"`
	Template         string          `json:"vagrantfile_template" doc:"File whose text is added to the box's Vagrantfile." arg:"local" guest:"no"`
	Generated        bool            `json:"vagrantfile_template_generated" doc:"The template is made during the build." guest:"no"`
	Provider         string          `json:"provider_override" doc:"Provider of the box, if not that of the builder." guest:"no"`
	Architecture     string          `json:"architecture" doc:"Architecture of the box. Default: that of the guest." guest:"no"`
}

const defaultBoxName = "packer_{{.BuildName}}_{{.Provider}}_{{.Architecture}}.box"

type vagrant struct {
	args  VagrantArgs
	env   build.PostEnv
	cloud bool // Process was given what lies in a cloud
}

// KeepsInput implements build.KeepsInput. A box for a cloud only names what it was made of.
func (v *vagrant) KeepsInput() (keep, force bool) { return v.cloud, v.cloud }

// NewVagrant makes the post-processor that packs boxes.
func NewVagrant(args json.RawMessage, env build.PostEnv) (build.PostProcessor, error) {
	a, err := decode[VagrantArgs](args)
	if err != nil {
		return nil, err
	}
	return &vagrant{args: a, env: env}, nil
}

// CheckVagrant finds mistakes in the arguments.
func CheckVagrant(args json.RawMessage) error {
	a, err := decode[VagrantArgs](args)
	if err != nil {
		return err
	}
	errs := a.check()
	overrides, err := a.overrides()
	if err != nil {
		return errors.Join(errs, err)
	}
	for provider := range overrides {
		o, err := a.forProvider(provider)
		if err == nil {
			err = o.check()
		}
		if err != nil {
			errs = errors.Join(errs, fmt.Errorf("override of %q: %w", provider, err))
		}
	}
	return errs
}

func (a VagrantArgs) check() error {
	if a.Provider != "" && !pack.CanMake(a.Provider) {
		return fmt.Errorf("provider_override %q: %w", a.Provider, pack.ErrNoLayout)
	}
	_, err := a.level()
	return err
}

// VagrantInputs lists the local files that the arguments name.
func VagrantInputs(args json.RawMessage) ([]string, error) {
	a, err := decode[VagrantArgs](args)
	if err != nil {
		return nil, err
	}
	overrides, err := a.overrides()
	if err != nil {
		return nil, err
	}
	all := []VagrantArgs{a}
	for provider := range overrides {
		o, err := a.forProvider(provider)
		if err != nil {
			return nil, err
		}
		all = append(all, o)
	}
	var names []string
	for _, a := range all {
		names = append(names, a.Include...)
		if a.Template != "" && !a.Generated {
			names = append(names, a.Template)
		}
	}
	return names, nil
}

func (a VagrantArgs) overrides() (map[string]json.RawMessage, error) {
	if len(a.Override) == 0 {
		return nil, nil
	}
	var m map[string]json.RawMessage
	if err := json.Unmarshal(a.Override, &m); err != nil {
		return nil, errors.New("override must be an object of providers, such as { libvirt = { compression_level = 9 } }")
	}
	return m, nil
}

// forProvider returns the arguments with those of override for the provider put over them.
func (a VagrantArgs) forProvider(provider string) (VagrantArgs, error) {
	overrides, err := a.overrides()
	if err != nil || overrides[provider] == nil {
		return a, err
	}
	d := json.NewDecoder(bytes.NewReader(overrides[provider]))
	d.DisallowUnknownFields()
	err = d.Decode(&a)
	return a, err
}

// level translates Packer's level, where 0 is none and -1 the default.
func (a VagrantArgs) level() (int, error) {
	switch {
	case a.CompressionLevel == nil || *a.CompressionLevel == -1:
		return 0, nil
	case *a.CompressionLevel == 0:
		return boxfile.Stored, nil
	case *a.CompressionLevel < -1 || *a.CompressionLevel > 9:
		return 0, fmt.Errorf("compression_level %d: use 0 (none) to 9 (small)", *a.CompressionLevel)
	}
	return *a.CompressionLevel, nil
}

// Process packs the box and returns it as the artifact.
func (v *vagrant) Process(ctx context.Context, a hypervisor.Artifact) (hypervisor.Artifact, error) {
	o, err := v.options(a)
	if err != nil {
		return a, err
	}
	args, err := v.args.forProvider(o.Provider)
	if err != nil {
		return a, fmt.Errorf("override of %q: %w", o.Provider, err)
	}
	data := map[string]string{"ArtifactId": artifactID(a), "BuildName": v.env.Vars.BuildName, "Provider": o.Provider, "Architecture": o.Architecture}
	if err := v.fill(&o, args, data); err != nil {
		return a, err
	}
	if args.Output == "" {
		args.Output = defaultBoxName
	}
	dest, err := v.env.Render(args.Output, data)
	if err != nil {
		return a, fmt.Errorf("output: %w", err)
	}
	box, err := place(v.env, dest, hypervisor.RoleBox)
	if err != nil {
		return a, err
	}
	v.cloud = o.Provider == boxfile.AWS
	fmt.Fprintf(v.env.Out, "Creating Vagrant box for '%s' provider\n", o.Provider)
	if err := write(ctx, a, o, &box); err != nil {
		return a, err
	}
	fmt.Fprintf(v.env.Out, "Box %s: %d bytes, sha256 %s\n", box.Name(), box.Size, box.SHA256)
	a.Files, a.IDs, a.Arch = []hypervisor.File{box}, nil, o.Architecture
	return a, nil
}

// options are those that the name of the box depends on.
func (v *vagrant) options(a hypervisor.Artifact) (pack.Options, error) {
	o := pack.Options{Provider: v.args.Provider, Architecture: v.args.Architecture, Scratch: v.env.Scratch, Progress: v.env.Progress,
		Hardware: pack.HardwareOf(v.env.Machine)}
	if o.Provider == "" {
		provider, err := pack.ProviderOf(a)
		if err != nil {
			return o, fmt.Errorf("%w; set provider_override", err)
		}
		o.Provider = provider
	}
	if o.Architecture == "" {
		o.Architecture = pack.ArchitectureOf(a)
	}
	return o, nil
}

// fill adds what is read from files.
func (v *vagrant) fill(o *pack.Options, args VagrantArgs, data map[string]string) error {
	var err error
	if o.Level, err = args.level(); err != nil {
		return err
	}
	if args.Template != "" {
		text, err := v.template(args)
		if err != nil {
			return fmt.Errorf("vagrantfile_template: %w", err)
		}
		if o.Vagrantfile, err = v.env.Render(text, data); err != nil {
			return fmt.Errorf("vagrantfile_template %q: %w", args.Template, err)
		}
	}
	for _, name := range args.Include {
		path, err := v.include(name)
		if err != nil {
			return fmt.Errorf("include: %w", err)
		}
		o.Include = append(o.Include, path)
	}
	return nil
}

// template reads the user's Vagrantfile: from the inputs, or where the build made it.
func (v *vagrant) template(args VagrantArgs) (string, error) {
	if args.Generated {
		text, err := os.ReadFile(local(v.env, args.Template))
		return string(text), err
	}
	f, err := v.env.Files.Open(args.Template)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	return string(text), err
}

// include brings a file of the user into the scratch directory, from where it is packed under its base name.
func (v *vagrant) include(name string) (string, error) {
	src, err := v.env.Files.Open(name)
	if err != nil {
		return "", err
	}
	defer src.Close()
	if st, err := src.Stat(); err != nil || !st.Mode().IsRegular() {
		return "", errors.Join(err, fmt.Errorf("%q is not a regular file", name))
	}
	dir, err := os.MkdirTemp(v.env.Scratch, "include-*") // two may have the same base name, which the box then refuses
	if err != nil {
		return "", err
	}
	dst, err := os.Create(filepath.Join(dir, filepath.Base(name)))
	if err != nil {
		return "", err
	}
	_, err = io.Copy(dst, src)
	return dst.Name(), errors.Join(err, dst.Close())
}

// write packs the box into its place, where it appears when it is whole.
func write(ctx context.Context, a hypervisor.Artifact, o pack.Options, box *hypervisor.File) error {
	f, err := fsx.Create(box.Path, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	sum, err := pack.Box(ctx, a, o, f)
	if err != nil {
		return err
	}
	box.Size, box.SHA256, box.VirtualSize, box.Format = sum.Size, sum.SHA256, sum.VirtualSize, o.Provider
	if box.Box, err = json.Marshal(sum); err != nil {
		return err
	}
	return f.Commit()
}
