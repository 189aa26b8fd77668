package zseek

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sync/errgroup"
)

// Sink is an empty file to unpack into.
type Sink interface {
	io.WriterAt
	Truncate(size int64) error
}

// Decompress unpacks the file of the given size into dst on so many cores. Every byte of src is also written to tee, in
// order and once, so that a checksum of the packed file is had on the way; its error ends the work. The error wraps
// ErrCorrupt when src is not what Compress wrote.
func Decompress(ctx context.Context, dst Sink, src io.ReaderAt, size int64, tee io.Writer, cores int) error {
	table, raw, err := readTable(src, size)
	if err != nil {
		return err
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(cores), zstd.WithDecoderMaxMemory(FrameSize), zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		return err
	}
	defer dec.Close()
	free, work := tasks(2*cores), make(chan *task, 2*cores)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(work)
		return feed(ctx, src, table, tee, free, work)
	})
	for range cores {
		g.Go(func() error { return unpack(dst, dec, free, work) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if _, err := tee.Write(raw); err != nil {
		return err
	}
	return dst.Truncate(total(table))
}

func total(table []frame) (n int64) {
	for _, f := range table {
		n += int64(f.size)
	}
	return n
}

// feed reads the frames in their order. Work cannot be full: it has room for every task there is.
func feed(ctx context.Context, src io.ReaderAt, table []frame, tee io.Writer, free <-chan *task, work chan<- *task) error {
	var from, at int64
	for _, f := range table {
		t, err := take(ctx, free)
		if err != nil {
			return err
		}
		if cap(t.in) < int(f.packed) {
			t.in = make([]byte, f.packed, max(f.packed, FrameSize/2))
		}
		t.in, t.at, t.size = t.in[:f.packed], at, int(f.size)
		if _, err := src.ReadAt(t.in, from); err != nil {
			return err
		}
		if _, err := tee.Write(t.in); err != nil {
			return err
		}
		from, at = from+int64(f.packed), at+int64(f.size)
		work <- t
	}
	return nil
}

// unpack is one core's share.
func unpack(dst io.WriterAt, dec *zstd.Decoder, free chan<- *task, work <-chan *task) error {
	for t := range work {
		if t.out == nil {
			t.out = make([]byte, 0, FrameSize)
		}
		out, err := dec.DecodeAll(t.in, t.out[:0])
		if err != nil || len(out) != t.size {
			return fmt.Errorf("%w: %d bytes instead of %d at %d (%v)", ErrCorrupt, len(out), t.size, t.at, err)
		}
		if err := writeSparse(dst, out, t.at); err != nil {
			return err
		}
		t.out = out
		free <- t
	}
	return nil
}

// holeSize is the smallest hole that is worth a write of its own: file systems keep whole blocks.
const holeSize = 64 << 10

// writeSparse writes b at its place, without those blocks that are all zeros.
func writeSparse(dst io.WriterAt, b []byte, at int64) error {
	var zeros [holeSize]byte
	begin := 0 // of what is to be written
	for i := 0; i < len(b); i += holeSize {
		end := min(i+holeSize, len(b))
		if !bytes.Equal(b[i:end], zeros[:end-i]) {
			continue
		}
		if err := writeAt(dst, b[begin:i], at+int64(begin)); err != nil {
			return err
		}
		begin = end
	}
	return writeAt(dst, b[begin:], at+int64(begin))
}

func writeAt(dst io.WriterAt, b []byte, at int64) error {
	if len(b) == 0 {
		return nil
	}
	_, err := dst.WriteAt(b, at)
	return err
}
