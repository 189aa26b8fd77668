package disk

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strconv"

	"github.com/boxkiln/boxkiln/internal/fsx"
)

// ConvertOptions say what to convert and how.
type ConvertOptions struct {
	Src, SrcFormat string
	Dst, DstFormat string
	// Compress writes compressed clusters (qcow2, streamOptimized vmdk).
	Compress bool
	// Parallel is how many reads go on at once; 0 leaves it to qemu-img.
	Parallel int
	// AnyOrder lets clusters be written in the order in which they are ready. That is faster, above all with Compress,
	// but the bytes of the image differ from run to run.
	AnyOrder bool
	// Volatile leaves it to the caller to make the image durable, if it is to be: most are read once and removed.
	Volatile bool
	// Extra are further switches for qemu-img, such as "-o", "subformat=streamOptimized".
	Extra []string
	// Progress is called with bytes of the guest's disk; it may be nil.
	Progress func(done, total int64)
}

// Convert writes a flattened copy of an image without its unused clusters: runs of zeros of 4 KiB and more become holes.
// Dst appears when it is whole and, unless it may be volatile, durable; on failure and cancellation nothing is left.
func (t Tool) Convert(ctx context.Context, o ConvertOptions) error {
	if err := errors.Join(needFormat("convert", o.Src, o.SrcFormat), needFormat("convert to", o.Dst, o.DstFormat)); err != nil {
		return err
	}
	src, err := filepath.Abs(o.Src)
	if err != nil {
		return err
	}
	dst, err := filepath.Abs(o.Dst)
	if err != nil {
		return err
	}
	part, err := fsx.Create(dst, 0o644)
	if err != nil {
		return err
	}
	defer part.Close()
	placed := o
	placed.Src, placed.Dst = src, part.Name()
	if err := t.convert(ctx, placed); err != nil {
		return fmt.Errorf("convert %s image %q to %s %q: %w", o.SrcFormat, o.Src, o.DstFormat, o.Dst, err)
	}
	if o.Volatile {
		return part.Place()
	}
	return part.Commit()
}

// convert writes straight to Dst, which is for the caller to remove on failure.
func (t Tool) convert(ctx context.Context, o ConvertOptions) error {
	watch, err := t.watch(ctx, o)
	if err != nil {
		return err
	}
	return t.run(ctx, o.args(), watch)
}

func (o ConvertOptions) args() []string {
	args := []string{"convert", "-f", o.SrcFormat, "-O", o.DstFormat, "-S", "4k"}
	if o.Progress != nil {
		args = append(args, "-p")
	}
	if o.Compress {
		args = append(args, "-c")
	}
	if o.Parallel > 0 {
		args = append(args, "-m", strconv.Itoa(min(o.Parallel, 16))) // qemu-img(1): at most 16
	}
	if o.AnyOrder {
		args = append(args, "-W")
	}
	args = append(args, o.Extra...)
	return append(args, o.Src, o.Dst)
}

// watch returns what reads qemu-img's progress. qemu-img tells percents, so the size is asked for first.
func (t Tool) watch(ctx context.Context, o ConvertOptions) (*progress, error) {
	if o.Progress == nil {
		return &progress{report: func(float64) {}}, nil
	}
	info, err := t.Info(ctx, o.Src, o.SrcFormat)
	if err != nil {
		return nil, err
	}
	return &progress{report: func(percent float64) {
		o.Progress(int64(math.Round(percent/100*float64(info.VirtualSize))), info.VirtualSize)
	}}, nil
}

// progress reads lines such as "    (12.34/100%)\r" and reports the percents.
type progress struct {
	report func(percent float64)
	number []byte
	open   bool // after "(", before "/"
}

const longestPercent = 16

func (p *progress) Write(b []byte) (int, error) {
	for _, c := range b {
		switch {
		case c == '(':
			p.open, p.number = true, p.number[:0]
		case c == '/' && p.open:
			p.open = false
			if percent, err := strconv.ParseFloat(string(p.number), 64); err == nil && percent >= 0 && percent <= 100 {
				p.report(percent)
			}
		case p.open && len(p.number) < longestPercent:
			p.number = append(p.number, c)
		}
	}
	return len(b), nil
}
