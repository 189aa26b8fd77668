package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/pack"
	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/internal/fsx"
)

// convertOptions are the switches of `boxkiln convert`.
type convertOptions struct {
	packages     []string
	output, name string
	guestOS      string
	region       string
	firmware     string
	arch         string
	cpus, memory int
	force, json  bool
}

func newConvertCommand(env *environment) *cobra.Command {
	o := &convertOptions{}
	cmd := &cobra.Command{
		Use: "convert [switches] FILE...", Short: "Make a box, an appliance or a disk image into others",
		Long: `Make a machine in a file into boxes of other providers, appliances and images, with the same disks:

  boxkiln convert web.box --package virtualbox,vmware_desktop
  boxkiln convert disk.qcow2 --package ova --name web --guest-os debian/12 --memory 1024
  boxkiln convert machine.ova --package libvirt,qcow2 --output /srv/images
  boxkiln convert web.box --package ami --region eu-west-1 --name web-1.4

FILE is a Vagrant box (libvirt, virtualbox, vmware_desktop), an .ova, an .ovf or .vmx with its disks beside it, or an image
(qcow2, raw, vmdk, vdi, vhd, vhdx). Several images are the disks of one machine. Controllers and network cards become what the
other product has and the guest has drivers for, as far as the file tells; a box that Boxkiln built does. No daemon is needed.
An AMI is named as --name says and made with the credentials of the AWS tools; if boxkiln is killed meanwhile, the same command goes on.` + exitHelp,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return runConvert(cmd.Context(), env, o, args) },
	}
	f := cmd.Flags()
	f.StringSliceVar(&o.packages, "package", nil, "what to make: `LIST` of "+packageNames())
	f.StringVarP(&o.output, "output", "o", ".", "folder for the results")
	f.StringVar(&o.name, "name", "", "name of the results, and of the machine in them; default: that of the file")
	f.StringVar(&o.guestOS, "guest-os", "", "system in the guest, such as debian/12 or windows/2022, if the file does not say")
	f.StringVar(&o.firmware, "firmware", "", "bios or uefi, if the file does not say; default bios")
	f.StringVar(&o.arch, "architecture", "", "architecture of the guest, as Vagrant names it, if the file does not say; default amd64")
	f.IntVar(&o.cpus, "cpus", 0, "processors of the machine; default: what the file says, or 1")
	f.IntVar(&o.memory, "memory", 0, "memory of the machine in MiB; default: what the file says, or 1024")
	f.StringVar(&o.region, "region", "", "region of the AMI; default: that of the environment (AWS_REGION) or the profile (AWS_PROFILE)")
	f.BoolVar(&o.force, "force", false, "replace results that are there already")
	f.BoolVar(&o.json, "json", false, "print an object with all that was made")
	return cmd
}

// check finds mistakes before anything is read.
func (o *convertOptions) check() ([]hypervisor.Package, error) {
	list, err := hypervisor.ParsePackages(o.packages)
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("nothing to make: give --package with some of %s", packageNames())
	}
	if o.firmware != "" && o.firmware != "bios" && o.firmware != "uefi" {
		err = errors.Join(err, fmt.Errorf("--firmware=%s: use bios or uefi", o.firmware))
	}
	if o.cpus < 0 || o.memory < 0 {
		err = errors.Join(err, fmt.Errorf("--cpus=%d, --memory=%d: neither can be negative", o.cpus, o.memory))
	}
	if o.name != "" && !pack.ValidName(o.name) {
		err = errors.Join(err, fmt.Errorf("--name=%q: use letters, digits, dots, - and _, beginning with a letter or digit", o.name))
	}
	if o.guestOS != "" && !pack.KnownSystem(o.guestOS) {
		err = errors.Join(err, fmt.Errorf("--guest-os=%q is not known: write ID/VERSION of /etc/os-release, such as debian/12, or linux", o.guestOS))
	}
	return list, err
}

func runConvert(ctx context.Context, env *environment, o *convertOptions, files []string) error {
	list, err := o.check()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(o.output, 0o755); err != nil {
		return fmt.Errorf("--output: %w", err)
	}
	// Everything is made in a folder beside the results, and moved when all of it is there.
	work, err := os.MkdirTemp(o.output, fsx.TempPrefix+"convert-*")
	if err != nil {
		return fmt.Errorf("--output: %w", err)
	}
	err = o.convert(ctx, env, list, files, work)
	return errors.Join(err, os.RemoveAll(work))
}

func (o *convertOptions) convert(ctx context.Context, env *environment, list []hypervisor.Package, files []string, work string) error {
	show := newConvertPrinter(env, o.json)
	defer show.close()
	source, err := pack.Open(ctx, files, work)
	if err != nil {
		return err
	}
	options := o.options(&source, work)
	options.Progress = show.progress(options.Name)
	if err := o.free(list, options.Name, files); err != nil {
		return err
	}
	results := filepath.Join(work, "results")
	if err := os.Mkdir(results, 0o755); err != nil {
		return err
	}
	ami := &amiImport{drivers: env.drivers(slog.New(slog.DiscardHandler))(convertInstall), dir: o.output, region: o.region, log: env.stderr}
	options.Import = ami.run
	made, warnings, err := pack.Packages(ctx, source.Artifact, list, results, options)
	if err == nil {
		err = o.move(made, results)
	}
	if err = ami.end(ctx, err); err != nil {
		return err
	}
	return show.end(made, warnings)
}

// options put what the user said over what the files say.
func (o *convertOptions) options(s *pack.Source, scratch string) pack.Options {
	p := pack.Options{Name: s.Name, Hardware: s.Hardware, Guest: s.Guest, GuestOS: s.GuestOS, Scratch: scratch, Verify: true,
		Override: pack.Override{CPUs: o.cpus, MemoryMiB: o.memory, DiskBus: s.Hardware.DiskBus, NIC: s.Hardware.NIC}}
	if o.name != "" {
		p.Name = o.name
	}
	p.Name = pack.CleanName(p.Name)
	if o.guestOS != "" {
		p.GuestOS = o.guestOS
	}
	if o.arch != "" {
		s.Artifact.Arch = o.arch
	}
	if o.firmware != "" {
		uefi := o.firmware == "uefi"
		p.Override.UEFI = &uefi
	}
	return p
}

// free looks whether the results have room, before the work.
func (o *convertOptions) free(list []hypervisor.Package, name string, files []string) error {
	var errs error
	for _, p := range list {
		for _, base := range pack.ResultNames(p, name) {
			path := filepath.Join(o.output, base)
			st, err := os.Lstat(path)
			switch {
			case errors.Is(err, fs.ErrNotExist):
			case err != nil:
				errs = errors.Join(errs, err)
			case isOneOf(st, files):
				errs = errors.Join(errs, fmt.Errorf("%s would be replaced by %q of itself: give another --name or --output", path, p))
			case !o.force:
				errs = errors.Join(errs, fmt.Errorf("%s is there already: remove it, give -force to replace it, or another --name or --output", path))
			}
		}
	}
	return errs
}

func isOneOf(st os.FileInfo, files []string) bool {
	return slices.ContainsFunc(files, func(name string) bool {
		other, err := os.Stat(name)
		return err == nil && os.SameFile(st, other)
	})
}

// move puts the results into the output folder, each at once, and changes the paths of made.
func (o *convertOptions) move(made []pack.Made, from string) error {
	for _, m := range made {
		for i := range m.Files {
			if err := fsx.Sync(m.Files[i].Path); err != nil {
				return err
			}
			rel, err := filepath.Rel(from, m.Files[i].Path)
			if err != nil {
				return err
			}
			m.Files[i].Path = filepath.Join(o.output, rel)
		}
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		to := filepath.Join(o.output, e.Name())
		if o.force {
			if err := os.RemoveAll(to); err != nil {
				return err
			}
		}
		if err := os.Rename(filepath.Join(from, e.Name()), to); err != nil {
			return err
		}
	}
	return fsx.SyncDir(o.output)
}

// convertPrinter shows a conversion: bars on a terminal, then what was made.
type convertPrinter struct {
	env  *environment
	out  io.Writer
	bars *bars // nil without a terminal
	json bool
}

func newConvertPrinter(env *environment, asJSON bool) *convertPrinter {
	p := &convertPrinter{env: env, out: env.stdout, json: asJSON}
	if !asJSON && term.IsTerminal(int(env.stdout.Fd())) {
		p.bars = newBars(env.stdout)
	}
	return p
}

func (p *convertPrinter) close() {
	if p.bars != nil {
		p.bars.close()
		p.bars = nil
	}
}

func (p *convertPrinter) progress(label string) func(title string, done, total int64) {
	bars := p.bars
	if bars == nil {
		return nil
	}
	return func(title string, done, total int64) {
		bars.progress(build.Event{Label: label, Text: title, Done: done, Total: total})
	}
}

// converted is what --json prints.
type converted struct {
	Packages []convertedPackage `json:"packages"`
	Warnings []string           `json:"warnings,omitempty"`
}

type convertedPackage struct {
	Package hypervisor.Package    `json:"package"`
	Files   []hypervisor.File     `json:"files"`
	IDs     []hypervisor.RemoteID `json:"ids,omitempty"`
}

// end tells what was made. Warnings come from the guest, so they are not for the terminal as they are.
func (p *convertPrinter) end(made []pack.Made, warnings []string) error {
	p.close()
	if p.json {
		out := converted{Warnings: warnings}
		for _, m := range made {
			for i := range m.Files {
				m.Files[i].Box = nil
			}
			out.Packages = append(out.Packages, convertedPackage{m.Package, m.Files, m.IDs})
		}
		return json.NewEncoder(p.env.stdout).Encode(out)
	}
	for _, text := range warnings {
		fmt.Fprintf(p.env.stderr, "Warning: %s\n", harmless(text, false))
	}
	for _, m := range made {
		if len(m.IDs) > 0 {
			fmt.Fprintf(p.out, "==> %s: %s\n", m.Package, hypervisor.JoinIDs(m.IDs))
			continue
		}
		var names []string
		var size int64
		for _, f := range m.Files {
			names = append(names, f.Path)
			size += f.Size
		}
		fmt.Fprintf(p.out, "==> %s: %s (%s)\n", m.Package, strings.Join(names, ", "), sizeFlag(size))
	}
	return nil
}
