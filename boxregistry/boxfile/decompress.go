package boxfile

import (
	"bufio"
	"compress/bzip2"
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// source is the box file: it hashes and counts what is read, and remembers an error that is not the box's fault.
type source struct {
	ctx  context.Context // of one Inspect
	r    io.Reader
	hash hash.Hash // nil when somebody else hashes
	size int64
	err  error
}

func (s *source) Read(p []byte) (int, error) {
	if s.ctx.Err() != nil {
		s.err = context.Cause(s.ctx)
		return 0, s.err
	}
	n, err := s.r.Read(p)
	if s.hash != nil {
		s.hash.Write(p[:n])
	}
	s.size += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// compressionGzip is how Summary calls the compression that Write uses.
const compressionGzip = "gzip"

// decompress returns the archive inside, told by the first bytes: what libarchive and so Vagrant reads.
func decompress(src io.Reader, window int64) (io.ReadCloser, string, error) {
	const ustar, header = 257, 512
	r := bufio.NewReaderSize(src, 128<<10)
	head, err := r.Peek(header)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, "", err
	}
	start := string(head)
	switch {
	case strings.HasPrefix(start, "\x1f\x8b"):
		z, err := gzip.NewReader(r)
		return z, compressionGzip, err
	case strings.HasPrefix(start, "\x28\xb5\x2f\xfd"):
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(uint64(window)))
		if err != nil {
			return nil, "", err
		}
		return z.IOReadCloser(), "zstd", nil
	case strings.HasPrefix(start, xzMagic):
		z, err := newXZReader(r, window)
		return io.NopCloser(z), "xz", err
	case strings.HasPrefix(start, "BZh"):
		return io.NopCloser(bzip2.NewReader(r)), "bzip2", nil
	case len(start) == header && strings.HasPrefix(start[ustar:], "ustar"):
		return io.NopCloser(r), "none", nil
	case strings.HasPrefix(start, "PK\x03\x04"):
		return nil, "", errors.New("it is a zip archive; boxes are tar archives, best with gzip")
	}
	return nil, "", errors.New("it is neither a tar archive nor one compressed with gzip, zstd, xz or bzip2")
}

// meter bounds what comes out of the decompressor.
type meter struct {
	r      io.Reader
	src    *source
	limits Limits
	n      int64
	err    error
}

// floor is how much any box may unpack to, however small it is.
const floor = 1 << 30

func (m *meter) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	m.n += int64(n)
	switch {
	case m.n > m.limits.Unpacked+floor: // headers and padding come on top of the entries
		m.err = fmt.Errorf("it unpacks to more than %d bytes", m.limits.Unpacked)
	case m.n > floor && m.n/m.limits.Ratio > m.src.size:
		m.err = fmt.Errorf("it unpacks to more than %d times its size", m.limits.Ratio)
	}
	if m.err != nil {
		return n, m.err
	}
	return n, err
}

// blame prefers the limit that was passed to what the archive reader made of it.
func (m *meter) blame(err error) error {
	if m.err != nil {
		return m.err
	}
	return err
}
