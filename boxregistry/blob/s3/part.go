package s3

import (
	"bytes"
	"io"
	"os"
)

const (
	// growEvery is after how many parts their size doubles. S3 takes 10000 parts: with 8 MiB at first that is 8 GiB in
	// the first thousand and 8 TiB in all, more than an object may have.
	growEvery = 1000
	// memoryPart is how many bytes a part may have that waits in memory; larger ones wait in a file.
	memoryPart = 16 << 20
)

// partSize is how many bytes the part with this number has, counted from 1.
func partSize(first int64, number int32) int64 {
	return min(first<<((number-1)/growEvery), maxPart)
}

// part takes the bytes of one part until they are sent.
type part struct {
	store *Store
	size  int64 // bytes that it takes
	n     int64 // bytes that it has
	mem   []byte
	file  *os.File // instead of mem; it has no name any more
}

func (s *Store) newPart(size int64) (*part, error) {
	p := &part{store: s, size: size}
	if size <= memoryPart {
		if b, ok := s.buffers.Get().(*[]byte); ok && int64(cap(*b)) >= size {
			p.mem = (*b)[:0]
		}
		return p, nil
	}
	f, err := os.CreateTemp(s.spool, "boxkiln-part-")
	if err != nil {
		return nil, err
	}
	p.file = f
	if err := os.Remove(f.Name()); err != nil {
		p.free()
		return nil, err
	}
	return p, nil
}

func (p *part) full() bool { return p.n == p.size }

// Write takes what fits, and returns how much that was, without an error.
func (p *part) Write(b []byte) (n int, err error) {
	b = b[:min(int64(len(b)), p.size-p.n)]
	n = len(b)
	if p.file != nil {
		n, err = p.file.Write(b)
	} else {
		p.grow(len(b))
		p.mem = append(p.mem, b...)
	}
	p.n += int64(n)
	return n, err
}

// grow makes room for n bytes more: a little for what may stay little, and then at once for a whole part.
func (p *part) grow(n int) {
	const little = 256 << 10
	need := len(p.mem) + n
	if need <= cap(p.mem) {
		return
	}
	room := p.size
	if need <= little {
		room = min(little, p.size)
	}
	p.mem = append(make([]byte, 0, room), p.mem...)
}

// reader reads what was written, from its start and as often as it takes.
func (p *part) reader() io.ReadSeeker {
	if p.file != nil {
		return io.NewSectionReader(p.file, 0, p.n)
	}
	return bytes.NewReader(p.mem)
}

// free gives the memory back, or the file.
func (p *part) free() {
	if p.file != nil {
		_ = p.file.Close() // it has no name: with its descriptor it is gone
		return
	}
	if int64(cap(p.mem)) == p.size {
		p.store.buffers.Put(&p.mem)
	}
}
