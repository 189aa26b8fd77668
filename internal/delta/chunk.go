package delta

import (
	"context"
	"errors"
	"io"
)

// Sizes of pieces, in bytes. A page of 4 KiB that has changed should not spoil much beside it, and the list of pieces should
// stay small: a gigabyte of memory has some two hundred thousand.
const (
	minPiece = 1 << 10
	maxPiece = 16 << 10
	// cutMask has as many bits as the pieces have on average beyond minPiece: 12, for 4 KiB. They are the highest, which
	// depend on the last 64 bytes.
	cutMask = uint64(1<<12-1) << 52
	// window is how much is read at once.
	window = 1 << 20
)

// gear gives every byte a random number. They are part of the form only in so far as base and target must be cut alike, which
// happens in one call, so they may change.
var gear = func() (table [256]uint64) {
	state := uint64(0x9e3779b97f4a7c15)
	for i := range table { // splitmix64, Steele et al., OOPSLA 2014
		state += 0x9e3779b97f4a7c15
		z := state
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		table[i] = z ^ z>>31
	}
	return table
}()

// cut returns the length of the first piece of b, which holds maxPiece bytes or the end of the file.
func cut(b []byte) int {
	if len(b) <= minPiece {
		return len(b)
	}
	var h uint64
	limit := min(len(b), maxPiece)
	for i := minPiece; i < limit; i++ {
		h = h<<1 + gear[b[i]]
		if h&cutMask == 0 {
			return i + 1
		}
	}
	return limit
}

// pieces calls fn for each piece of r, with its place. The slice is only valid during the call.
func pieces(ctx context.Context, r io.Reader, fn func(piece []byte, at int64) error) error {
	buf := make([]byte, 0, window+maxPiece)
	var at int64
	for ended := false; !ended; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n, err := io.ReadFull(r, buf[len(buf):len(buf)+window])
		buf = buf[:len(buf)+n]
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			ended = true
		case err != nil:
			return err
		}
		rest := buf
		for len(rest) >= maxPiece || ended && len(rest) > 0 {
			size := cut(rest)
			if err := fn(rest[:size], at); err != nil {
				return err
			}
			rest, at = rest[size:], at+int64(size)
		}
		buf = buf[:copy(buf[:cap(buf)], rest)]
	}
	return nil
}
