// Package delta describes one large file by what it has in common with another: the memory of a machine by that of the same
// machine a few minutes before.
//
// Both files are cut into pieces at places that their content chooses (a rolling "gear" hash, as in FastCDC, Xia et al.,
// USENIX ATC 2016), so that equal stretches give equal pieces wherever they lie: QEMU writes the pages of a guest in the
// order of their addresses, and one page more shifts all that follow. [Encode] writes a list of copies from the base and
// literal bytes; [Decode] follows it. The list is not compressed, and it says nothing of which base it belongs to: both are
// the caller's.
package delta

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// ErrCorrupt says that a delta cannot be followed.
var ErrCorrupt = errors.New("the delta is corrupt")

// magic begins every delta: the name and the version of the form. Then come operations, each a number whose lowest bits say
// what it is and whose others how many bytes it is about:
//
//	literal  that many bytes follow and are to be written
//	copy     a signed number follows: how far beyond the end of the last copy those bytes begin in the base
//	end      the number is the size of the whole
const magic = "BKD1"

const (
	opEnd     = 0
	opLiteral = 1
	opCopy    = 2
	opBits    = 2
)

// literalLimit is how many literal bytes are gathered before they are written.
const literalLimit = 1 << 20

// key is what a piece is known by: half of its sha256, which is wide enough never to meet by chance.
type key [16]byte

func keyOf(piece []byte) (k key) {
	sum := sha256.Sum256(piece)
	copy(k[:], sum[:])
	return k
}

// Encode reads base and target to their ends and writes to w how to make target from base.
func Encode(ctx context.Context, w io.Writer, base, target io.Reader) error {
	places := map[key]int64{}
	err := pieces(ctx, base, func(piece []byte, at int64) error {
		places[keyOf(piece)] = at
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the base: %w", err)
	}
	e := &encoder{w: bufio.NewWriterSize(w, literalLimit)}
	if _, err := e.w.WriteString(magic); err != nil {
		return err
	}
	err = pieces(ctx, target, func(piece []byte, _ int64) error {
		e.size += int64(len(piece))
		if at, ok := places[keyOf(piece)]; ok {
			return e.copy(at, int64(len(piece)))
		}
		return e.literal(piece)
	})
	if err != nil {
		return err
	}
	return e.end()
}

// encoder writes operations; neighbours become one.
type encoder struct {
	w       *bufio.Writer
	size    int64 // of the target so far
	pending []byte
	from, n int64 // the copy that is pending; n is 0 without one
	last    int64 // where the last copy ended in the base
}

func (e *encoder) copy(at, n int64) error {
	if err := e.flushLiteral(); err != nil {
		return err
	}
	if e.n > 0 && e.from+e.n == at {
		e.n += n
		return nil
	}
	if err := e.flushCopy(); err != nil {
		return err
	}
	e.from, e.n = at, n
	return nil
}

func (e *encoder) literal(piece []byte) error {
	if err := e.flushCopy(); err != nil {
		return err
	}
	if len(e.pending)+len(piece) > literalLimit {
		if err := e.flushLiteral(); err != nil {
			return err
		}
	}
	e.pending = append(e.pending, piece...)
	return nil
}

func (e *encoder) flushLiteral() error {
	if len(e.pending) == 0 {
		return nil
	}
	err := e.number(opLiteral, int64(len(e.pending)))
	if err == nil {
		_, err = e.w.Write(e.pending)
	}
	e.pending = e.pending[:0]
	return err
}

func (e *encoder) flushCopy() error {
	if e.n == 0 {
		return nil
	}
	if err := e.number(opCopy, e.n); err != nil {
		return err
	}
	_, err := e.w.Write(binary.AppendVarint(nil, e.from-e.last))
	e.last, e.n = e.from+e.n, 0
	return err
}

func (e *encoder) number(op uint64, n int64) error {
	_, err := e.w.Write(binary.AppendUvarint(nil, uint64(n)<<opBits|op))
	return err
}

func (e *encoder) end() error {
	return errors.Join(e.flushLiteral(), e.flushCopy(), e.number(opEnd, e.size), e.w.Flush())
}

// Decode writes to w what delta makes of base. A delta that was not written for a base of this content is found out only if
// it reaches beyond its end. The error wraps ErrCorrupt if delta or base are to blame.
func Decode(ctx context.Context, w io.Writer, base io.ReaderAt, delta io.Reader) error {
	d := &decoder{r: bufio.NewReaderSize(delta, literalLimit), base: base, w: w, buf: make([]byte, literalLimit)}
	head := make([]byte, len(magic))
	if _, err := io.ReadFull(d.r, head); err != nil || string(head) != magic {
		return fmt.Errorf("%w: it does not begin with %s", ErrCorrupt, magic)
	}
	for {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		ended, err := d.step()
		if ended || err != nil {
			return err
		}
	}
}

type decoder struct {
	r    *bufio.Reader
	base io.ReaderAt
	w    io.Writer
	buf  []byte
	size int64 // written so far
	last int64
}

// step follows one operation.
func (d *decoder) step() (ended bool, err error) {
	number, err := binary.ReadUvarint(d.r)
	if err != nil {
		return false, corrupt(err)
	}
	n := int64(number >> opBits)
	switch number & (1<<opBits - 1) {
	case opLiteral:
		return false, d.write(d.r, n)
	case opCopy:
		skip, err := binary.ReadVarint(d.r)
		if err != nil {
			return false, corrupt(err)
		}
		at := d.last + skip
		if at < 0 || at+n < at {
			return false, fmt.Errorf("%w: a copy begins at %d", ErrCorrupt, at)
		}
		d.last = at + n
		return false, d.write(io.NewSectionReader(d.base, at, n), n)
	case opEnd:
		if n != d.size {
			return true, fmt.Errorf("%w: it makes %d bytes instead of %d", ErrCorrupt, d.size, n)
		}
		return true, nil
	}
	return false, fmt.Errorf("%w: unknown operation", ErrCorrupt)
}

// write copies exactly n bytes.
func (d *decoder) write(src io.Reader, n int64) error {
	d.size += n
	for n > 0 {
		part := d.buf[:min(n, int64(len(d.buf)))]
		if _, err := io.ReadFull(src, part); err != nil {
			return corrupt(err)
		}
		if _, err := d.w.Write(part); err != nil {
			return err
		}
		n -= int64(len(part))
	}
	return nil
}

// corrupt is the error of bytes that are missing; others, such as those of a disk, stay what they are.
func corrupt(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it ends too early", ErrCorrupt)
	}
	return err
}
