package fsx

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// EachExtent calls do for the extents of the first size bytes of a file, in order and without gaps.
func EachExtent(f *os.File, size int64, do func(Extent) error) error {
	for off := int64(0); off < size; {
		data, err := unix.Seek(int(f.Fd()), off, unix.SEEK_DATA)
		switch {
		case errors.Is(err, unix.ENXIO): // only a hole is left
			return do(Extent{off, size, true})
		case err != nil: // this file system cannot tell
			return do(Extent{off, size, false})
		}
		if data = min(data, size); data > off {
			if err := do(Extent{off, data, true}); err != nil {
				return err
			}
		}
		if data == size {
			return nil
		}
		end, err := unix.Seek(int(f.Fd()), data, unix.SEEK_HOLE)
		if err != nil {
			end = size
		}
		end = min(end, size)
		if err := do(Extent{data, end, false}); err != nil {
			return err
		}
		off = end
	}
	return nil
}
