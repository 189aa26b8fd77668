package post

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"github.com/dsnet/compress/bzip2"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/klauspost/pgzip"
	"github.com/pierrec/lz4/v4"
	"github.com/ulikunitz/xz"
)

func knownCodec(name string) bool {
	return slices.Contains([]string{"gz", "zst", "lz4", "xz", "bz2", "bgzf"}, name)
}

// newCodec returns a writer that compresses into w; its Close does not close w. Level 0 is the codec's default. gz, zst
// and lz4 use all processors.
func newCodec(name string, w io.Writer, level int) (io.WriteCloser, error) {
	switch name {
	case "":
		return plain{w}, nil
	case "gz":
		return pgzip.NewWriterLevel(w, orDefault(level, 6))
	case "zst":
		return zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(orDefault(2*level, 3)))) // 9 is zstd's 18
	case "lz4":
		return newLZ4(w, level)
	case "xz":
		return xz.NewWriter(w)
	case "bz2":
		return bzip2.NewWriter(w, &bzip2.WriterConfig{Level: orDefault(level, 9)})
	case "bgzf":
		return newBGZF(w, orDefault(level, 6))
	}
	return nil, fmt.Errorf("the format %q is not known", name)
}

func orDefault(level, d int) int {
	if level == 0 {
		return d
	}
	return level
}

type plain struct{ io.Writer }

func (plain) Close() error { return nil }

func newLZ4(w io.Writer, level int) (io.WriteCloser, error) {
	levels := []lz4.CompressionLevel{lz4.Fast, lz4.Level1, lz4.Level2, lz4.Level3, lz4.Level4, lz4.Level5, lz4.Level6, lz4.Level7, lz4.Level8, lz4.Level9}
	z := lz4.NewWriter(w)
	const allProcessors = -1
	err := z.Apply(lz4.CompressionLevelOption(levels[level]), lz4.ConcurrencyOption(allProcessors))
	return z, err
}

// bgzf writes blocked gzip: members of at most 64 KiB that tell their own size, so that readers can seek. Format: the
// SAM specification, section 4.1.
type bgzf struct {
	w     io.Writer
	level int
	block []byte
	out   bytes.Buffer
}

// bgzfBlock is how much data htslib puts into one member, so that it fits 64 KiB even if it cannot be compressed.
const bgzfBlock = 0xff00

func newBGZF(w io.Writer, level int) (*bgzf, error) {
	return &bgzf{w: w, level: level, block: make([]byte, 0, bgzfBlock)}, nil
}

func (b *bgzf) Write(p []byte) (int, error) {
	written := len(p)
	for len(p) > 0 {
		n := min(len(p), bgzfBlock-len(b.block))
		b.block, p = append(b.block, p[:n]...), p[n:]
		if len(b.block) == bgzfBlock {
			if err := b.flush(); err != nil {
				return 0, err
			}
		}
	}
	return written, nil
}

func (b *bgzf) flush() error {
	b.out.Reset()
	z, err := gzip.NewWriterLevel(&b.out, b.level)
	if err != nil {
		return err
	}
	z.Extra = []byte("BC\x02\x00\x00\x00") // the size goes into the last two bytes
	if _, err := z.Write(b.block); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	const sizeAt = 16
	binary.LittleEndian.PutUint16(b.out.Bytes()[sizeAt:], uint16(b.out.Len()-1))
	b.block = b.block[:0]
	_, err = b.w.Write(b.out.Bytes())
	return err
}

// Close writes what is left and the empty member that marks the end.
func (b *bgzf) Close() error {
	if len(b.block) > 0 {
		if err := b.flush(); err != nil {
			return err
		}
	}
	return b.flush()
}
