//go:build !nolibvirt

package libvirt

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"

	"github.com/boxkiln/boxkiln/internal/fsx"
)

// copySparse copies a file durably and leaves holes where it holds nothing but zeros.
func copySparse(ctx context.Context, dst, src string) error {
	in, err := os.Open(src)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := fsx.Create(dst, 0o644)
	if err != nil {
		return err
	}
	defer out.Close()
	size, err := writeBlocks(out.File, ctxReader{ctx, in})
	if err != nil {
		return err
	}
	if err := out.Truncate(size); err != nil { // the last blocks may be a hole
		return err
	}
	return out.Commit()
}

// writeBlocks writes what it reads, block by block, except for blocks of zeros. It returns the length read.
func writeBlocks(out io.WriterAt, in io.Reader) (int64, error) {
	buf, zeros := make([]byte, 64<<10), make([]byte, 64<<10)
	var at int64
	for {
		n, err := io.ReadFull(in, buf)
		if n > 0 && !bytes.Equal(buf[:n], zeros[:n]) {
			if _, err := out.WriteAt(buf[:n], at); err != nil {
				return at, err
			}
		}
		at += int64(n)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return at, nil
		}
		if err != nil {
			return at, err
		}
	}
}
