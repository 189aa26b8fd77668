// Package vmdk makes and changes virtual disks for the simulator of VMware: real VMDK files, by qemu-img.
//
// What qemu-img cannot write is put right in the descriptor afterwards: the two kinds of ESX hosts, the adapter pvscsi.
// Not as VMware's own tools write them: streamOptimized disks have their grain directory at the head and no footer,
// and disks of VMFS are ordinary flat files.
package vmdk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// Kind is the kind of a disk's files, numbered as vmware-vdiskmanager's -t numbers them.
type Kind int

// The kinds of disks.
const (
	Sparse       Kind = iota // one growing file
	SplitSparse              // growing files of at most 2 GB each
	Flat                     // one file of full size, and a descriptor
	SplitFlat                // files of 2 GB each
	ESXFlat                  // the same as Flat, for an ESX host
	Stream                   // compressed, to be sent; no machine runs from it
	ESXThin                  // for an ESX host
	unknownKinds             // one past the last
)

// Valid tells whether there is such a kind.
func (k Kind) Valid() bool { return k >= Sparse && k < unknownKinds }

// subformats are qemu-img's names of the kinds, where a kind of ESX hosts begins as a flat one.
var subformats = [...]string{"monolithicSparse", "twoGbMaxExtentSparse", "monolithicFlat", "twoGbMaxExtentFlat", "monolithicFlat", "streamOptimized", "monolithicFlat"}

// Info is what there is to know of a disk.
type Info struct {
	CreateType string   // as its descriptor says, such as monolithicSparse
	Size       int64    // bytes that the guest sees
	Parent     string   // absolute path of the disk under it; empty for none
	Extents    []string // paths of the files that hold the data
}

// Growable tells whether the disk's files grow with what is written, so that they can shrink again.
func (i Info) Growable() bool {
	return i.CreateType == "monolithicSparse" || i.CreateType == "twoGbMaxExtentSparse"
}

// Kind is the number of the disk's kind.
func (i Info) Kind() Kind {
	for k, name := range subformats {
		if name == i.CreateType {
			return Kind(k)
		}
	}
	return ESXFlat
}

// ErrNotDisk is returned for a file that is no VMDK.
var ErrNotDisk = errors.New("not a virtual disk")

// Inspect looks at a disk. The error wraps fs.ErrNotExist for a missing file and ErrNotDisk for what is no VMDK.
func Inspect(ctx context.Context, path string) (Info, error) {
	path, err := filepath.Abs(path) // so that qemu-img answers with whole paths too
	if err != nil {
		return Info{}, err
	}
	if _, err := os.Stat(path); err != nil {
		return Info{}, err
	}
	out, err := qemuImg(ctx, "info", "-U", "-f", "vmdk", "--output=json", path)
	if err != nil {
		return Info{}, fmt.Errorf("%w: %w", ErrNotDisk, err)
	}
	var answer struct {
		Size    int64  `json:"virtual-size"`
		Backing string `json:"full-backing-filename"`
		Data    struct {
			Data struct {
				CreateType string `json:"create-type"`
				Extents    []struct {
					Filename string `json:"filename"`
				} `json:"extents"`
			} `json:"data"`
		} `json:"format-specific"`
	}
	if err := json.Unmarshal(out, &answer); err != nil {
		return Info{}, err
	}
	info := Info{CreateType: answer.Data.Data.CreateType, Size: answer.Size, Parent: answer.Backing}
	for _, e := range answer.Data.Data.Extents {
		info.Extents = append(info.Extents, e.Filename)
	}
	return info, nil
}

// Chain returns the paths of a disk and of all disks under it, itself first.
func Chain(ctx context.Context, path string) ([]string, error) {
	chain := []string{path}
	for {
		info, err := Inspect(ctx, path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if info.Parent == "" {
			return chain, nil
		}
		path = info.Parent
		chain = append(chain, path)
	}
}

// Create makes an empty disk for an adapter of VMware's: ide, lsilogic, buslogic or pvscsi.
func Create(ctx context.Context, path string, size int64, kind Kind, adapter string) error {
	if _, err := qemuImg(ctx, "create", "-q", "-f", "vmdk", "-o", options(kind, adapter), path, fmt.Sprint(size)); err != nil {
		return err
	}
	return finish(path, kind, adapter)
}

// Overlay makes a disk that holds what is written from now on, above parent. hint is how its descriptor names parent.
func Overlay(ctx context.Context, path, parent, hint string) error {
	options := options(Sparse, Adapter(parent))
	if _, err := qemuImg(ctx, "create", "-q", "-f", "vmdk", "-F", "vmdk", "-b", parent, "-o", options, path); err != nil {
		return err
	}
	return edit(path, func(text string) string {
		return strings.Replace(text, fmt.Sprintf("parentFileNameHint=%q", parent), fmt.Sprintf("parentFileNameHint=%q", hint), 1)
	})
}

// Convert writes what the guest sees of a disk into a new one of another kind.
func Convert(ctx context.Context, from, to string, kind Kind, adapter string) error {
	if _, err := qemuImg(ctx, "convert", "-q", "-f", "vmdk", "-O", "vmdk", "-o", options(kind, adapter), from, to); err != nil {
		return errors.Join(err, Remove(ctx, to))
	}
	return finish(to, kind, adapter)
}

// Grow writes a disk into a new one of more bytes. qemu-img cannot resize a VMDK in place.
func Grow(ctx context.Context, from, to string, size int64, kind Kind, adapter string) error {
	if err := Create(ctx, to, size, kind, adapter); err != nil {
		return err
	}
	if _, err := qemuImg(ctx, "convert", "-q", "-n", "-f", "vmdk", "-O", "vmdk", from, to); err != nil {
		return errors.Join(err, Remove(ctx, to))
	}
	return nil
}

// Commit writes what a disk holds into the disk under it.
func Commit(ctx context.Context, path string) error {
	_, err := qemuImg(ctx, "commit", "-q", "-d", "-f", "vmdk", path)
	return err
}

// Check looks for damage.
func Check(ctx context.Context, path string) error {
	_, err := qemuImg(ctx, "check", "-q", "-f", "vmdk", path)
	if err != nil && strings.Contains(err.Error(), "does not support checks") {
		return nil // a flat disk has nothing to check
	}
	return err
}

// Remove deletes a disk with the files that hold its data, but none under it. A disk that is not there is no error.
func Remove(ctx context.Context, path string) error {
	info, err := Inspect(ctx, path)
	if err != nil {
		return ignoreMissing(os.Remove(path))
	}
	for _, extent := range info.Extents {
		err = errors.Join(err, ignoreMissing(os.Remove(extent)))
	}
	return errors.Join(err, ignoreMissing(os.Remove(path)))
}

func ignoreMissing(err error) error {
	if os.IsNotExist(err) {
		return nil
	}
	return err
}

// Rename gives a disk another name, and the files that hold its data too, which are named after it.
func Rename(ctx context.Context, from, to string) error {
	info, err := Inspect(ctx, from)
	if err != nil {
		return err
	}
	names := map[string]string{}
	for _, extent := range info.Extents {
		suffix := strings.TrimPrefix(filepath.Base(extent), stem(from))
		if filepath.Base(extent) == filepath.Base(from) {
			suffix = filepath.Ext(to)
		}
		names[extent] = filepath.Join(filepath.Dir(to), stem(to)+suffix)
	}
	err = edit(from, func(text string) string {
		for old, name := range names {
			text = strings.ReplaceAll(text, strconv.Quote(filepath.Base(old)), strconv.Quote(filepath.Base(name)))
		}
		return text
	})
	names[from] = to
	for old, name := range names {
		if err == nil && old != name {
			err = ignoreMissing(os.Rename(old, name))
		}
	}
	return err
}

func stem(path string) string { return strings.TrimSuffix(filepath.Base(path), filepath.Ext(path)) }

// options are qemu-img's for a kind of disk. pvscsi is unknown to it.
func options(kind Kind, adapter string) string {
	if adapter != "ide" && adapter != "buslogic" {
		adapter = "lsilogic"
	}
	return fmt.Sprintf("subformat=%s,adapter_type=%s,hwversion=21", subformats[kind], adapter)
}

func qemuImg(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "qemu-img", args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return out, fmt.Errorf("qemu-img %s: %s", args[0], strings.TrimSpace(string(exit.Stderr)))
	}
	return out, err
}
