package pack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/boxkiln/boxkiln/boxregistry/boxfile"
	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/disk"
	"github.com/boxkiln/boxkiln/internal/fsx"
)

// layout is how a package is made. It has one of the three functions.
type layout struct {
	// form is what the disks must be; "" for the ones that were exported.
	form disk.Form
	// compressed says that the disks of a box are compressed already.
	compressed bool
	box        func(ctx context.Context, disks []image) (boxfile.Contents, error)
	files      func(ctx context.Context, disks []image) ([]hypervisor.File, error)
	remote     func(ctx context.Context, disks []image) ([]hypervisor.RemoteID, error)
}

// layout finds the layout of a package for this artifact.
func (j *job) layout(p hypervisor.Package) (layout, error) {
	switch p {
	case hypervisor.PackageLibvirt:
		form, err := j.libvirtForm()
		return layout{form: form, box: j.libvirt}, err
	case hypervisor.PackageVirtualBox:
		if j.native(p) {
			return layout{box: j.exportedVirtualBox, compressed: true}, nil
		}
		return layout{form: disk.FormVMDKStream, box: j.virtualBox, compressed: true}, nil
	case hypervisor.PackageVMware:
		if j.runnable() {
			return layout{box: j.exportedVMware}, nil
		}
		return layout{form: disk.FormVMDK, box: j.vmware}, nil
	case hypervisor.PackageVMX:
		if j.runnable() {
			return layout{files: j.exportedVMX}, nil
		}
		return layout{form: disk.FormVMDK, files: j.vmx}, nil
	case hypervisor.PackageOVA:
		return layout{form: disk.FormVMDKStream, files: j.ova}, nil
	case hypervisor.PackageQCOW2:
		form, err := j.imageForm(p, disk.FormQCOW2)
		return layout{form: form, files: j.openStack}, err
	case hypervisor.PackageAMI:
		return layout{form: j.rawForm(), remote: j.remote(p)}, nil
	}
	form, ok := imageForms[p]
	if !ok {
		return layout{}, fmt.Errorf("package %q is not known", p)
	}
	form, err := j.imageForm(p, form)
	return layout{form: form, files: func(_ context.Context, disks []image) ([]hypervisor.File, error) { return images(disks) }}, err
}

// imageForm is what disks must be converted to for a package of images: nothing if the only one is in its place already, because
// the template gave it that name. A source is never written over.
func (j *job) imageForm(p hypervisor.Package, form disk.Form) (disk.Form, error) {
	disks := j.exported.disks
	for i := range disks {
		path := filepath.Join(j.dir, imageName(j.Name, i)+"."+string(p))
		if !slices.ContainsFunc(disks, func(d image) bool { return d.path == path }) {
			continue
		}
		ready := len(disks) == 1 && disks[0].format == form.Format()
		if ready && form == disk.FormQCOW2 {
			var err error
			if ready, err = disks[0].flat(); err != nil {
				return "", err
			}
		}
		if !ready {
			return "", fmt.Errorf("%q would be written over the disk that it is made of: give the machine another name", path)
		}
		delete(j.keeps, form)
		return "", nil
	}
	return form, nil
}

// imageForms are those of packages that are disk images.
var imageForms = map[hypervisor.Package]disk.Form{
	hypervisor.PackageRaw: disk.FormRaw, hypervisor.PackageVHD: disk.FormVHD, hypervisor.PackageVHDX: disk.FormVHDX,
}

// convert writes all disks in one form and returns them; with no form those that were exported.
func (j *job) convert(ctx context.Context, form disk.Form) ([]image, error) {
	if err := j.sizes(ctx); err != nil {
		return nil, err
	}
	if form == "" {
		return j.exported.disks, nil
	}
	var disks []image
	err := j.fan(ctx, []disk.Form{form}, func(_ context.Context, _ disk.Form, made []image) error { disks = made; return nil })
	return disks, err
}

// fan converts all disks into all forms. ready is called for each form when its last disk is whole, while others are still
// being written. The sizes of the disks must be known.
func (j *job) fan(ctx context.Context, forms []disk.Form, ready func(ctx context.Context, form disk.Form, disks []image) error) error {
	made := make(map[disk.Form][]image, len(forms))
	for _, f := range forms {
		made[f] = make([]image, len(j.exported.disks))
	}
	last := len(j.exported.disks) - 1
	for i, src := range j.exported.disks {
		var targets []disk.Target
		for _, form := range forms {
			path, err := j.diskPath(form, i)
			if err != nil {
				return err
			}
			images := made[form]
			images[i] = image{path, form.Format(), src.size}
			t := disk.Target{Path: path, Form: form, Progress: j.title("converting to " + string(form))}
			t.VMDK.UUID = j.diskUUID(i)
			if i == last {
				t.Ready = func(ctx context.Context, _ disk.Written) error { return ready(ctx, form, images) }
			}
			targets = append(targets, t)
		}
		scratch, err := j.scratchDir("flat")
		if err != nil {
			return err
		}
		_, err = j.Tool.Fan(ctx, disk.FanOptions{Src: src.path, SrcFormat: src.format, Targets: targets, Scratch: scratch, Parallel: j.Parallel, Volatile: true})
		if err != nil {
			return err
		}
	}
	return nil
}

// sizes looks at all disks before any is written.
func (j *job) sizes(ctx context.Context) error {
	for i, d := range j.exported.disks {
		info, err := j.Tool.Info(ctx, d.path, d.format)
		if err != nil {
			return err
		}
		j.exported.disks[i].size = info.VirtualSize
	}
	return nil
}

// diskPath is where the i-th disk of a form is written: where it stays, if it is a result itself, else in the scratch
// directory.
func (j *job) diskPath(form disk.Form, i int) (string, error) {
	if p, ok := j.keeps[form]; ok {
		if p == hypervisor.PackageVMX {
			dir, err := j.vmxDir()
			return filepath.Join(dir, j.diskName(i)), err
		}
		return j.own(filepath.Join(j.dir, imageName(j.Name, i)+"."+string(p))), nil
	}
	dir, err := j.scratchDir(string(form))
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, j.diskName(i)), nil
}

// diskName is the name of a disk in a machine of VMware's or VirtualBox's, as those give it.
func (j *job) diskName(i int) string { return fmt.Sprintf("%s-disk%03d.vmdk", j.Name, i+1) }

// imageName is the base name of the i-th image, as Packer's qemu builder names them.
func imageName(base string, i int) string {
	if i == 0 {
		return base
	}
	return fmt.Sprintf("%s-%d", base, i)
}

// Made is a package that was made: files, or ids of what a driver keeps.
type Made struct {
	Package hypervisor.Package
	Files   []hypervisor.File
	IDs     []hypervisor.RemoteID
}

// Packages makes packages of an artifact in the existing directory dir, in files named after o.Name. Provider of the options
// is not used. The warnings say what keeps the guest from starting, or from being reached, as one of them. On an error, and
// when ctx ends, nothing of the packages is left.
func Packages(ctx context.Context, a hypervisor.Artifact, list []hypervisor.Package, dir string, o Options) (made []Made, warnings []string, err error) {
	j, err := newJob(ctx, a, o)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, j.close()) }()
	r := run{job: j, list: list, made: make([]Made, len(list))}
	j.dir, j.keeps = dir, keeps(list)
	if err := r.all(ctx); err != nil {
		return nil, nil, errors.Join(err, r.remove())
	}
	return r.made, j.warnings(list), nil
}

// keeps tells which package a form's disks are the files of.
func keeps(list []hypervisor.Package) map[disk.Form]hypervisor.Package {
	kept := map[disk.Form]hypervisor.Package{}
	for _, p := range list {
		switch form, ok := imageForms[p]; {
		case ok:
			kept[form] = p
		case p == hypervisor.PackageQCOW2:
			kept[disk.FormQCOW2] = p
		case p == hypervisor.PackageVMX:
			kept[disk.FormVMDK] = p
		}
	}
	return kept
}

// run is one call of Packages.
type run struct {
	*job
	list []hypervisor.Package
	made []Made
}

// all makes those packages that need no conversion and converts for the others, both at once.
func (r *run) all(ctx context.Context) error {
	byForm := map[disk.Form][]int{}
	layouts := make([]layout, len(r.list))
	var forms []disk.Form
	for i, p := range r.list {
		l, err := r.layout(p)
		if err != nil {
			return err
		}
		layouts[i] = l
		if l.form != "" && byForm[l.form] == nil {
			forms = append(forms, l.form)
		}
		byForm[l.form] = append(byForm[l.form], i)
	}
	if err := r.sizes(ctx); err != nil {
		return err
	}
	several := func(ctx context.Context, form disk.Form, disks []image) error {
		g, ctx := errgroup.WithContext(ctx)
		for _, i := range byForm[form] {
			g.Go(func() error { return r.one(ctx, i, layouts[i], disks) })
		}
		return g.Wait()
	}
	g, ctx := errgroup.WithContext(ctx)
	if len(byForm[""]) > 0 {
		g.Go(func() error { return several(ctx, "", r.exported.disks) })
	}
	if len(forms) > 0 {
		g.Go(func() error { return r.fan(ctx, forms, several) })
	}
	return g.Wait()
}

// one makes package i.
func (r *run) one(ctx context.Context, i int, l layout, disks []image) error {
	p := r.list[i]
	var files []hypervisor.File
	var ids []hypervisor.RemoteID
	var err error
	switch {
	case l.box != nil:
		files, err = r.boxFile(ctx, p, l, disks)
	case l.remote != nil:
		ids, err = l.remote(ctx, disks)
	default:
		files, err = l.files(ctx, disks)
	}
	for n := range files {
		files[n].Package = p
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.made[i] = Made{p, files, ids}
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("make %s: %w", p, err)
	}
	return err
}

// own notes that a path is a result of this job, which goes when it fails.
func (j *job) own(path string) string {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.owned = append(j.owned, path)
	return path
}

// remove removes all results.
func (r *run) remove() error {
	var errs error
	for _, path := range r.owned {
		errs = errors.Join(errs, os.RemoveAll(path))
	}
	return errs
}

// boxFile packs a box into a file, which appears when it is whole.
func (r *run) boxFile(ctx context.Context, p hypervisor.Package, l layout, disks []image) ([]hypervisor.File, error) {
	path := r.own(filepath.Join(r.dir, r.Name+"."+string(p)+".box"))
	f, err := fsx.Create(path, 0o644)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	sum, err := r.box(ctx, p, l, disks, f)
	if err != nil {
		return nil, err
	}
	file := hypervisor.File{Path: path, Role: hypervisor.RoleBox, Format: string(p), Size: sum.Size, SHA256: sum.SHA256, VirtualSize: sum.VirtualSize}
	if file.Box, err = json.Marshal(sum); err != nil {
		return nil, err
	}
	return []hypervisor.File{file}, f.Place()
}

// images describes disks that are results.
func images(disks []image) ([]hypervisor.File, error) {
	var files []hypervisor.File
	for _, d := range disks {
		f, err := fileOf(d.path, hypervisor.RoleDisk)
		if err != nil {
			return nil, err
		}
		f.Format, f.VirtualSize = d.format, d.size
		files = append(files, f)
	}
	return files, nil
}

// fileOf describes a file that is there.
func fileOf(path string, role hypervisor.Role) (hypervisor.File, error) {
	st, err := os.Stat(path)
	if err != nil {
		return hypervisor.File{}, err
	}
	return hypervisor.File{Path: path, Role: role, Size: st.Size()}, nil
}

// ResultNames are the names of the files and folders that a package of one disk consists of.
func ResultNames(p hypervisor.Package, name string) []string {
	switch {
	case p.IsRemote():
		return nil
	case p.IsBox():
		return []string{name + "." + string(p) + ".box"}
	case p == hypervisor.PackageVMX:
		return []string{name + "-vmx"}
	case p == hypervisor.PackageQCOW2:
		return []string{name + ".qcow2", name + ".openstack.json"}
	}
	return []string{name + "." + string(p)}
}
