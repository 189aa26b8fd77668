package fsx

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestEachExtent: extents cover what was asked for without gaps, data are in extents of data, and holes are told where the
// file system knows them.
func TestEachExtent(t *testing.T) {
	t.Parallel()
	const size, length, data = 9<<20 + 77, 9 << 20, 1 << 20
	f, err := os.Create(filepath.Join(t.TempDir(), "sparse"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	_, err1 := f.WriteAt(make([]byte, 100<<10), data)
	_, err2 := f.WriteAt([]byte("x"), 6<<20)
	if err := errors.Join(err1, err2, f.Truncate(length)); err != nil {
		t.Fatal(err)
	}
	for _, asked := range []int64{0, data + 5, length, size} { // the last is more than the file has
		var end, read int64
		err := EachExtent(f, asked, func(e Extent) error {
			if e.Start != end || e.End <= e.Start {
				t.Errorf("%d: extent %+v after %d", asked, e, end)
			}
			if end = e.End; !e.Hole {
				read += e.End - e.Start
			} else if e.Start <= data && e.End > data || e.Start <= 6<<20 && e.End > 6<<20 {
				t.Errorf("%d: there are data in the hole %+v", asked, e)
			}
			return nil
		})
		if err != nil || end != asked {
			t.Errorf("%d: extents end at %d, %v", asked, end, err)
		}
		if st, _ := f.Stat(); st.Sys().(*syscall.Stat_t).Blocks*512 < size/2 && read > size/2 {
			t.Errorf("%d: %d bytes are said to be data in a file of holes", asked, read)
		}
	}
	stop := errors.New("stop")
	if err := EachExtent(f, size, func(Extent) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("error is %v", err)
	}
}
