package boxfile

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"io"

	"github.com/ulikunitz/xz/lzma"
)

// xzReader reads the container of an xz file, format version 1.2.0, and leaves LZMA2 to the lzma package. That library
// has a reader for the container too, which allocates whatever dictionary a block asks for, up to 4 GiB; here each block
// is refused before. It reads one stream of any number of blocks, which is what xz, pixz and libarchive write.
type xzReader struct {
	r      *bufio.Reader
	window int64 // largest dictionary
	sum    func() hash.Hash
	block  *xzBlock
	done   bool
}

type xzBlock struct {
	in  *countReader
	out io.Reader
	sum hash.Hash
}

const xzMagic = "\xfd7zXZ\x00"

var errXZ = errors.New("xz: the data are damaged")

func newXZReader(r io.Reader, window int64) (*xzReader, error) {
	head := make([]byte, 12)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, err
	}
	flags, crc := head[6:8], binary.LittleEndian.Uint32(head[8:])
	if !bytes.HasPrefix(head, []byte(xzMagic)) || flags[0] != 0 || crc32.ChecksumIEEE(flags) != crc {
		return nil, errXZ
	}
	x := &xzReader{r: bufio.NewReader(r), window: window}
	switch flags[1] {
	case 0x0:
		x.sum = func() hash.Hash { return noHash{sha256.New()} }
	case 0x1:
		x.sum = func() hash.Hash { return crc32.NewIEEE() }
	case 0x4:
		x.sum = func() hash.Hash { return crc64.New(crc64.MakeTable(crc64.ECMA)) }
	case 0xa:
		x.sum = sha256.New
	default:
		return nil, fmt.Errorf("xz: check type %d is not known", flags[1])
	}
	return x, nil
}

// noHash stands for the absence of a check: it adds nothing after a block.
type noHash struct{ hash.Hash }

func (noHash) Write(p []byte) (int, error) { return len(p), nil }
func (noHash) Sum(b []byte) []byte         { return b }
func (noHash) Size() int                   { return 0 }

func (x *xzReader) Read(p []byte) (int, error) {
	for !x.done {
		if x.block == nil {
			if err := x.next(); err != nil {
				return 0, err
			}
			continue
		}
		n, err := x.block.out.Read(p)
		x.block.sum.Write(p[:n])
		if errors.Is(err, io.EOF) {
			err = x.endBlock()
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
	return 0, io.EOF
}

// next starts the next block, or reads the index and footer if there is none.
func (x *xzReader) next() error {
	size, err := x.r.ReadByte()
	if err != nil {
		return noEOF(err)
	}
	if size == 0 {
		x.done = true
		return x.tail()
	}
	head := make([]byte, (int(size)+1)*4)
	head[0] = size
	if _, err := io.ReadFull(x.r, head[1:]); err != nil {
		return noEOF(err)
	}
	body := head[:len(head)-4]
	if crc32.ChecksumIEEE(body) != binary.LittleEndian.Uint32(head[len(body):]) {
		return errXZ
	}
	dict, err := blockDict(body[1:], x.window)
	if err != nil {
		return err
	}
	in := &countReader{r: x.r}
	out, err := lzma.Reader2Config{DictCap: dict}.NewReader2(in)
	if err != nil {
		return err
	}
	x.block = &xzBlock{in: in, out: out, sum: x.sum()}
	return nil
}

// blockDict reads the rest of a block header and returns the size of the dictionary of its only filter, LZMA2.
func blockDict(b []byte, window int64) (int, error) {
	const filters, hasPacked, hasUnpacked, lzma2 = 0x3f, 0x40, 0x80, 0x21
	flags := b[0]
	r := bytes.NewReader(b[1:])
	for _, present := range []byte{flags & hasPacked, flags & hasUnpacked} {
		if present == 0 {
			continue
		}
		if _, err := binary.ReadUvarint(r); err != nil {
			return 0, errXZ
		}
	}
	filter := make([]byte, 3) // id, size of properties, properties
	if _, err := io.ReadFull(r, filter); err != nil {
		return 0, errXZ
	}
	if flags&filters != 0 || filter[0] != lzma2 || filter[1] != 1 {
		return 0, errors.New("xz: a filter other than LZMA2 is used")
	}
	dict, err := lzma.DecodeDictCap(filter[2])
	if err != nil {
		return 0, err
	}
	if dict > window {
		return 0, fmt.Errorf("xz: a dictionary of %d bytes is asked for; %d are allowed", dict, window)
	}
	return int(max(dict, lzma.MinDictCap)), nil
}

func (x *xzReader) endBlock() error {
	b := x.block
	x.block = nil
	after := make([]byte, padding(b.in.n)+b.sum.Size())
	if _, err := io.ReadFull(x.r, after); err != nil {
		return noEOF(err)
	}
	got := b.sum.Sum(nil)
	want := after[len(after)-len(got):]
	if b.sum.Size() < sha256.Size { // the CRCs are stored with the lowest byte first
		want = reversed(want)
	}
	if !bytes.Equal(got, want) {
		return errXZ
	}
	return nil
}

// tail reads index and footer. What they say about blocks is of no use to us; that nothing follows them is.
func (x *xzReader) tail() error {
	in := &countReader{r: x.r, n: 1} // the 0 that announced the index
	records, err := binary.ReadUvarint(in)
	for range 2 * records {
		if err == nil {
			_, err = binary.ReadUvarint(in)
		}
		if err != nil {
			return noEOF(err)
		}
	}
	if err != nil {
		return noEOF(err)
	}
	const crc, footer = 4, 12
	rest := make([]byte, padding(in.n)+crc+footer)
	if _, err := io.ReadFull(x.r, rest); err != nil {
		return noEOF(err)
	}
	if !bytes.HasSuffix(rest, []byte("YZ")) {
		return errXZ
	}
	for { // stream padding
		b, err := x.r.ReadByte()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if b != 0 {
			return errors.New("xz: something follows the first stream")
		}
	}
}

func padding(n int64) int { return int(-n & 3) }

func reversed(b []byte) []byte {
	r := make([]byte, len(b))
	for i := range b {
		r[len(b)-1-i] = b[i]
	}
	return r
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// countReader counts, and reads single bytes without reading ahead.
type countReader struct {
	r *bufio.Reader
	n int64
}

func (c *countReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

func (c *countReader) ReadByte() (byte, error) {
	b, err := c.r.ReadByte()
	if err == nil {
		c.n++
	}
	return b, err
}
