package disk

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/boxkiln/boxkiln/hypervisor/disk/vmdk"
	"github.com/boxkiln/boxkiln/internal/fsx"
)

// Form is a format of an image together with how it is laid out.
type Form string

// The forms that Fan writes.
const (
	FormQCOW2           Form = "qcow2"            // sparse, uncompressed: for boxes and for images that are run
	FormQCOW2Compressed Form = "qcow2-compressed" // smaller and slower to read: for image services
	FormRaw             Form = "raw"              // runs of zeros are holes of the file
	FormVMDK            Form = "vmdk"             // monolithicSparse: for machines of Workstation and Fusion
	FormVMDKSplit       Form = "vmdk-split"       // twoGbMaxExtentSparse: a descriptor and NAME-s001.vmdk ... beside it
	FormVMDKStream      Form = "vmdk-stream"      // streamOptimized with a footer: for OVF, OVA and VirtualBox boxes
	FormVHD             Form = "vhd"              // dynamic, at most 2040 GiB
	FormVHDX            Form = "vhdx"             // dynamic
	FormVDI             Form = "vdi"              // dynamic
)

// Format is the form's format in qemu-img's words, for Info, Check and Compare.
func (f Form) Format() string {
	switch f {
	case FormQCOW2, FormQCOW2Compressed:
		return QCOW2
	case FormVMDK, FormVMDKSplit, FormVMDKStream:
		return VMDK
	case FormVHD:
		return VPC
	}
	return string(f)
}

// VMDKOptions are what the descriptor of a VMDK says beside the size of the disk.
type VMDKOptions = vmdk.Options

// Target is an image that Fan writes.
type Target struct {
	Path string
	Form Form
	VMDK VMDKOptions // of the VMDK forms
	// Progress is called with bytes of the guest's disk, one call at a time for each target; it may be nil.
	Progress func(done, total int64)
	// Ready is called when the image is whole and has its name, while other targets may still be written: to pack it, for
	// instance. Those of several targets may run at once. Its error ends the fan as that of a target does. It may be nil.
	Ready func(ctx context.Context, w Written) error
}

// Written describes an image that Fan has written.
type Written struct {
	Path        string
	Form        Form
	VirtualSize int64 // of the guest's disk in bytes
	Size        int64 // of the file in bytes, holes included; of the descriptor only for FormVMDKSplit
	// SHA256 is the hex digest of the file, for manifests. Only FormVMDKStream is hashed while it is written; elsewhere it
	// is empty.
	SHA256 string
	// Extents are the further files of FormVMDKSplit.
	Extents []string
}

// FanOptions say what to read and what to make of it.
type FanOptions struct {
	Src, SrcFormat string
	Targets        []Target
	// Scratch is the folder for the flat copy of a source that is costly to read, as large as the guest's data. Default: that of the
	// first target. The copy is gone when Fan returns.
	Scratch string
	// Parallel is how many targets are written at once, and how many blocks of one are compressed at once. Default: one for
	// each processor, and no more targets than bounds the memory of qemu-img's processes.
	Parallel int
	// Volatile leaves it to the caller to make the images durable, if they are to be.
	Volatile bool
	// Progress is called with bytes of the guest's disk while the flat copy is made, before any target; it may be nil.
	Progress func(done, total int64)
}

// Fan writes one image in several forms, which are all equal to it byte by byte for a guest, and reads its data once: an
// image in another format is unpacked into a raw one first, which is a target itself or goes at the end.
//
// A target appears when it is whole. When one fails, or ctx ends, the others are stopped and nothing is left of any. The
// error wraps syscall.ENOSPC when a disk is full. The results are in the order of the targets.
func (t Tool) Fan(ctx context.Context, o FanOptions) ([]Written, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if err := o.makeAbsolute(); err != nil {
		return nil, err
	}
	info, err := t.Info(ctx, o.Src, o.SrcFormat)
	if err != nil {
		return nil, err
	}
	if err := o.checkSize(info.VirtualSize); err != nil {
		return nil, err
	}
	f := fan{Tool: t, FanOptions: o, size: info.VirtualSize, written: make([]Written, len(o.Targets))}
	if err := f.run(ctx); err != nil {
		return nil, errors.Join(err, f.undo())
	}
	return f.written, nil
}

// check finds what can be found before anything is written.
func (o FanOptions) check() error {
	err := needFormat("convert", o.Src, o.SrcFormat)
	if len(o.Targets) == 0 {
		err = errors.Join(err, fmt.Errorf("convert %q: name at least one target", o.Src))
	}
	seen := map[string]bool{}
	for _, t := range o.Targets {
		if _, known := writers[t.Form]; !known {
			err = errors.Join(err, fmt.Errorf("convert to %q: the form %q is not known", t.Path, t.Form))
		}
		if t.Form.Format() == VMDK && strings.ContainsAny(filepath.Base(t.Path), "\"\n\r") {
			err = errors.Join(err, fmt.Errorf("convert to %q: a VMDK holds its name, and cannot hold this one", t.Path))
		}
		if path := filepath.Clean(t.Path); seen[path] {
			err = errors.Join(err, fmt.Errorf("convert to %q: it is named twice", t.Path))
		} else {
			seen[path] = true
		}
	}
	return err
}

func (o FanOptions) checkSize(size int64) error {
	const maxVHD = 2040 << 30 // bytes
	for _, t := range o.Targets {
		if t.Form == FormVHD && size > maxVHD {
			return fmt.Errorf("convert %q to VHD: its disk has %d bytes, and a VHD at most %d; use %q", o.Src, size, int64(maxVHD), FormVHDX)
		}
	}
	return nil
}

// makeAbsolute keeps qemu-img from seeing a protocol in a name such as "json:x".
func (o *FanOptions) makeAbsolute() error {
	o.Targets = slices.Clone(o.Targets)
	var err, failed error
	if o.Src, err = filepath.Abs(o.Src); err != nil {
		failed = err
	}
	for i := range o.Targets {
		t := &o.Targets[i]
		if t.Path, err = filepath.Abs(t.Path); err != nil {
			failed = err
		}
	}
	return failed
}

// fan is one run of Fan.
type fan struct {
	Tool
	FanOptions
	size    int64 // of the guest's disk
	flat    Image // what the targets are made of
	written []Written
}

// writers are in the order in which targets are begun: what keeps the processors busy for longest comes first.
var writers = map[Form]struct {
	order int
	write func(f *fan, ctx context.Context, t Target, dst string) (sha256 string, err error)
}{
	FormVMDKStream:      {0, (*fan).stream},
	FormQCOW2Compressed: {1, (*fan).qemu},
	FormQCOW2:           {2, (*fan).qemu},
	FormVMDK:            {2, (*fan).vmdk},
	FormVMDKSplit:       {2, (*fan).vmdk},
	FormVHD:             {2, (*fan).qemu},
	FormVHDX:            {2, (*fan).qemu},
	FormVDI:             {2, (*fan).qemu},
	FormRaw:             {2, (*fan).qemu},
}

func (f *fan) run(ctx context.Context) error {
	first := slices.IndexFunc(f.Targets, func(t Target) bool { return t.Form == FormRaw })
	f.flat = Image{f.Src, f.SrcFormat}
	switch {
	case f.SrcFormat == Raw || len(f.Targets) == 1 && f.Targets[0].Form != FormVMDKStream:
		first = -1
	case first >= 0:
		if err := f.target(ctx, first); err != nil {
			return err
		}
		f.flat = Image{f.Targets[first].Path, Raw}
	default:
		scratch, err := f.unpack(ctx)
		if scratch != "" {
			defer os.RemoveAll(scratch)
		}
		if err != nil {
			return err
		}
	}
	return f.all(ctx, first)
}

// unpack makes the flat copy.
func (f *fan) unpack(ctx context.Context) (scratch string, err error) {
	scratch, err = os.MkdirTemp(cmp.Or(f.Scratch, filepath.Dir(f.Targets[0].Path)), fsx.TempPrefix+"flat-*")
	if err != nil {
		return "", err
	}
	flat := Image{filepath.Join(scratch, "flat.raw"), Raw}
	err = f.Convert(ctx, ConvertOptions{Src: f.Src, SrcFormat: f.SrcFormat, Dst: flat.Path, DstFormat: Raw, AnyOrder: true,
		Volatile: true, Progress: f.Progress})
	f.flat = flat
	return scratch, err
}

// all writes the targets, but for one that is there already.
func (f *fan) all(ctx context.Context, done int) error {
	order := make([]int, len(f.Targets))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return writers[f.Targets[a].Form].order - writers[f.Targets[b].Form].order
	})
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(f.parallel())
	for _, i := range order {
		g.Go(func() error {
			if i != done {
				if err := f.target(ctx, i); err != nil {
					return err
				}
			}
			if ready := f.Targets[i].Ready; ready != nil {
				return ready(ctx, f.written[i])
			}
			return nil
		})
	}
	return g.Wait()
}

// parallel is how many targets are written at once. A qemu-img takes 30 MB or so.
func (f *fan) parallel() int { return cmp.Or(f.Parallel, min(runtime.GOMAXPROCS(0), 4)) }

// target writes one target in a folder of its own, because a VMDK holds its name, and moves it to its place.
func (f *fan) target(ctx context.Context, i int) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	t := f.Targets[i]
	fail := func(err error) error { return fmt.Errorf("convert %q to %s %q: %w", f.Src, t.Form, t.Path, err) }
	dir, err := os.MkdirTemp(filepath.Dir(t.Path), fsx.TempPrefix+filepath.Base(t.Path)+"-*")
	if err != nil {
		return fail(err)
	}
	defer os.RemoveAll(dir)
	w := Written{Path: t.Path, Form: t.Form, VirtualSize: f.size}
	if w.SHA256, err = writers[t.Form].write(f, ctx, t, filepath.Join(dir, filepath.Base(t.Path))); err != nil {
		return fail(err)
	}
	if w.Extents, err = f.place(dir, t.Path); err != nil {
		return fail(err)
	}
	st, err := os.Stat(t.Path)
	if err != nil {
		return fail(err)
	}
	w.Size = st.Size()
	f.written[i] = w
	return nil
}

// place moves the files of a target from its folder to where they belong, the one with the target's name last.
func (f *fan) place(dir, path string) (extents []string, err error) {
	names, err := fs.Glob(os.DirFS(dir), "*")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if name == filepath.Base(path) {
			continue
		}
		extent := filepath.Join(filepath.Dir(path), name)
		if err := f.move(filepath.Join(dir, name), extent); err != nil {
			return extents, err
		}
		extents = append(extents, extent)
	}
	return extents, f.move(filepath.Join(dir, filepath.Base(path)), path)
}

func (f *fan) move(from, to string) error {
	if err := os.Rename(from, to); err != nil || f.Volatile {
		return err
	}
	return fsx.Sync(to)
}

// qemu has qemu-img write a target.
func (f *fan) qemu(ctx context.Context, t Target, dst string) (string, error) {
	o := ConvertOptions{Src: f.flat.Path, SrcFormat: f.flat.Format, Dst: dst, DstFormat: t.Form.Format(), Progress: t.Progress}
	switch t.Form {
	case FormQCOW2Compressed:
		o.Compress = true
	case FormRaw:
		o.AnyOrder = true // nobody can tell
	case FormVHD:
		o.Extra = []string{"-o", "force_size=on"} // otherwise the disk grows to a whole number of cylinders
	}
	return "", f.convert(ctx, o)
}

// vmdk has qemu-img write a target, and writes the descriptor anew: qemu-img's has a random CID and no UUID.
func (f *fan) vmdk(ctx context.Context, t Target, dst string) (string, error) {
	subformat := map[Form]string{FormVMDK: "monolithicSparse", FormVMDKSplit: "twoGbMaxExtentSparse"}[t.Form]
	o := t.VMDK.WithDefaults(f.size)
	err := f.convert(ctx, ConvertOptions{
		Src: f.flat.Path, SrcFormat: f.flat.Format, Dst: dst, DstFormat: VMDK, Progress: t.Progress,
		Extra: []string{"-o", fmt.Sprintf("subformat=%s,adapter_type=%s,hwversion=%d", subformat, o.Adapter, o.HWVersion)},
	})
	if err != nil {
		return "", err
	}
	return "", vmdk.Identify(dst, o)
}

// stream writes a target that is read from front to back.
func (f *fan) stream(ctx context.Context, t Target, dst string) (string, error) {
	src, err := os.Open(f.flat.Path)
	if err != nil {
		return "", err
	}
	defer src.Close()
	file, err := os.OpenFile(dst, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	err = vmdk.WriteStream(ctx, io.MultiWriter(fsx.EagerAt(file, 0), sum), src,
		vmdk.StreamOptions{Options: t.VMDK, Size: f.size, Parallel: f.Parallel, Progress: t.Progress})
	return hex.EncodeToString(sum.Sum(nil)), errors.Join(err, file.Close())
}

// undo removes what was placed.
func (f *fan) undo() error {
	var err error
	for _, w := range f.written {
		for _, path := range append(w.Extents, w.Path) {
			if path != "" {
				err = errors.Join(err, removeFile(path))
			}
		}
	}
	return err
}
