// Package disk makes, converts and looks at disk images with qemu-img.
//
// A [Tool] runs qemu-img and nothing else does. Every call names the format of every image: an image whose format is
// guessed lets a guest that writes a qcow2 header into its raw disk name any file of the host as its backing file.
// Where a format really is unknown, [DetectFormat] looks at the first bytes in Go; [ParseQCOW2] reads a header the same
// way, for images that come from strangers.
package disk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

// The formats that Boxkiln itself deals in, by qemu-img's names.
const (
	QCOW2 = "qcow2"
	Raw   = "raw"
	VMDK  = "vmdk"
	VDI   = "vdi"
	VHDX  = "vhdx"
	VPC   = "vpc" // VHD
)

// Tool runs qemu-img. The zero value finds it in PATH. Its methods may be called from several goroutines.
type Tool struct {
	// Path is the program to run; empty means "qemu-img".
	Path string
}

// CreateOptions are the optional parts of Create.
type CreateOptions struct {
	// Backing is the image under the new one, whose format BackingFormat must then name. Its path is made absolute.
	Backing, BackingFormat string
	// Extra are further switches for qemu-img, such as "-o", "preallocation=metadata".
	Extra []string
}

// Create makes an image of size bytes. With a backing image, size 0 means the size of that. What was at path is lost;
// when qemu-img fails nothing is left there.
func (t Tool) Create(ctx context.Context, path, format string, size int64, o CreateOptions) error {
	if err := needFormat("create", path, format); err != nil {
		return err
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	args := []string{"create", "-q", "-f", format}
	if o.Backing != "" {
		if err := needFormat("create over", o.Backing, o.BackingFormat); err != nil {
			return err
		}
		backing, err := filepath.Abs(o.Backing)
		if err != nil {
			return err
		}
		args = append(args, "-b", backing, "-F", o.BackingFormat)
	}
	args = append(append(args, o.Extra...), path)
	if size > 0 || o.Backing == "" {
		args = append(args, strconv.FormatInt(size, 10))
	}
	if _, err := t.output(ctx, args); err != nil {
		return errors.Join(fmt.Errorf("create %s image %q of %d bytes: %w", format, path, size, err), removeFile(path))
	}
	return nil
}

// Info is what qemu-img tells about an image. Sizes are bytes.
type Info struct {
	Format      string `json:"format"`
	VirtualSize int64  `json:"virtual-size"`
	ActualSize  int64  `json:"actual-size"` // what it takes up on this host
	ClusterSize int64  `json:"cluster-size"`
	// Backing is the image under it as written in the image, FullBacking the path to which that leads.
	Backing       string `json:"backing-filename"`
	FullBacking   string `json:"full-backing-filename"`
	BackingFormat string `json:"backing-filename-format"`
	// Dirty is set in an image that was not closed properly.
	Dirty bool `json:"dirty-flag"`
}

// Info looks at an image, which may be in use by a machine. An empty format stands for what DetectFormat says.
func (t Tool) Info(ctx context.Context, path, format string) (Info, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return Info{}, err
	}
	if format == "" {
		if format, err = DetectFormat(path); err != nil {
			return Info{}, err
		}
	}
	out, err := t.output(ctx, []string{"info", "-U", "--output=json", "-f", format, path})
	if err != nil {
		return Info{}, fmt.Errorf("look at %s image %q: %w", format, path, err)
	}
	var info Info
	if err := json.Unmarshal(out, &info); err != nil {
		return Info{}, fmt.Errorf("look at %s image %q: qemu-img's answer cannot be read: %w", format, path, err)
	}
	return info, nil
}

// Resize gives an image another size in bytes. It never shrinks one, because that would cut off what the guest wrote.
func (t Tool) Resize(ctx context.Context, path, format string, size int64, extra ...string) error {
	if err := needFormat("resize", path, format); err != nil {
		return err
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	args := slices.Concat([]string{"resize", "-q", "-f", format}, extra, []string{path, strconv.FormatInt(size, 10)})
	if _, err := t.output(ctx, args); err != nil {
		return fmt.Errorf("resize %s image %q to %d bytes: %w", format, path, size, err)
	}
	return nil
}

// Image is an image and its format.
type Image struct{ Path, Format string }

// Compare tells whether a guest would read the same from both images.
func (t Tool) Compare(ctx context.Context, a, b Image) (bool, error) {
	if err := errors.Join(needFormat("compare", a.Path, a.Format), needFormat("compare", b.Path, b.Format)); err != nil {
		return false, err
	}
	pathA, errA := filepath.Abs(a.Path)
	pathB, errB := filepath.Abs(b.Path)
	if err := errors.Join(errA, errB); err != nil {
		return false, err
	}
	_, err := t.output(ctx, []string{"compare", "-q", "-f", a.Format, "-F", b.Format, pathA, pathB})
	const differ = 1 // qemu-img(1): 0 identical, 1 different, 2 and up errors
	if exitStatus(err) == differ {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("compare images %q and %q: %w", a.Path, b.Path, err)
	}
	return true, nil
}

// CheckResult counts what Check found.
type CheckResult struct {
	Corruptions int64 `json:"corruptions"`
	Leaks       int64 `json:"leaks"`        // clusters that are lost but do no harm
	CheckErrors int64 `json:"check-errors"` // what the check itself could not read
	Total       int64 `json:"total-clusters"`
	Allocated   int64 `json:"allocated-clusters"`
}

// OK tells whether a guest can trust the image.
func (r CheckResult) OK() bool { return r.Corruptions == 0 && r.CheckErrors == 0 }

// Check examines the structure of an image that is not in use. Only formats with a structure can be checked: for raw
// it answers an empty result.
func (t Tool) Check(ctx context.Context, path, format string) (CheckResult, error) {
	if err := needFormat("check", path, format); err != nil {
		return CheckResult{}, err
	}
	if format == Raw {
		return CheckResult{}, nil
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return CheckResult{}, err
	}
	out, err := t.output(ctx, []string{"check", "--output=json", "-f", format, path})
	const corrupt, leaked = 2, 3 // qemu-img(1); the report is printed with both
	if status := exitStatus(err); err != nil && status != corrupt && status != leaked {
		return CheckResult{}, fmt.Errorf("check %s image %q: %w", format, path, err)
	}
	var r CheckResult
	if err := json.Unmarshal(out, &r); err != nil {
		return CheckResult{}, fmt.Errorf("check %s image %q: qemu-img's answer cannot be read: %w", format, path, err)
	}
	return r, nil
}

func needFormat(verb, path, format string) error {
	if format == "" {
		return fmt.Errorf("%s %q: name the format of the image (qcow2, raw ...)", verb, path)
	}
	return nil
}

func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
