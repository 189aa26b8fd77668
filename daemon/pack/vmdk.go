package pack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/boxkiln/boxkiln/hypervisor/disk/vmdk"
)

// The header of a sparse VMDK, of which these are little-endian numbers of sectors at fixed places: VMware, "Virtual Disk Format
// 5.0", SparseExtentHeader.
const (
	vmdkMagic        = "KDMV"
	vmdkCapacityAt   = 12
	vmdkDescriptorAt = 28
	vmdkHeaderSize   = 512
	// longestDescriptor bounds what is read of an image's description. That of a disk in two thousand pieces has 100 kB.
	longestDescriptor = 1 << 20
)

// readVMDK reads the descriptor of a VMDK, a text or inside of a sparse one. ok is false for a sparse extent without one.
func readVMDK(path string) (d vmdk.Descriptor, ok bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		return d, false, err
	}
	defer f.Close()
	head := make([]byte, vmdkHeaderSize)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return d, false, err
	}
	var offset, size int64 = 0, longestDescriptor
	if string(head[:min(n, len(vmdkMagic))]) == vmdkMagic {
		le := binary.LittleEndian
		first, sectors := le.Uint64(head[vmdkDescriptorAt:]), le.Uint64(head[vmdkDescriptorAt+8:])
		if first == 0 || sectors == 0 {
			return d, false, nil
		}
		if first > 1<<32 || sectors > longestDescriptor/vmdkHeaderSize {
			return d, false, fmt.Errorf("%q: its descriptor is said to have %d sectors at %d", path, sectors, first)
		}
		offset, size = int64(first)*vmdkHeaderSize, int64(sectors)*vmdkHeaderSize
	}
	text, err := io.ReadAll(io.NewSectionReader(f, offset, size))
	if err != nil {
		return d, false, err
	}
	d, err = vmdk.ParseDescriptor(text)
	if err != nil {
		err = fmt.Errorf("%q: %w", path, err)
	}
	return d, err == nil, err
}

// isStream tells whether an image is a streamOptimized VMDK, from which no machine can run.
func isStream(path string) bool {
	d, ok, err := readVMDK(path)
	return err == nil && ok && d.CreateType == "streamOptimized"
}

// extentsOf lists the files that a VMDK consists of besides itself. It refuses one that needs another image under it, or a
// file elsewhere: qemu-img would open both.
func extentsOf(path string) ([]string, error) {
	d, ok, err := readVMDK(path)
	if err != nil || !ok {
		return nil, err
	}
	const none = 0xffffffff
	if d.ParentCID != none {
		return nil, fmt.Errorf("%q is a snapshot that needs another disk: give the machine one disk (vmware-vdiskmanager -r makes it)", path)
	}
	if embedded(d) {
		return nil, nil
	}
	var files []string
	for _, e := range d.Extents {
		if e.File == "" {
			continue
		}
		if strings.ContainsAny(e.File, `/\`) || !filepath.IsLocal(e.File) {
			return nil, fmt.Errorf("%q keeps its data in %q, which is not beside it: copy it there and mend the name", path, e.File)
		}
		files = append(files, filepath.Join(filepath.Dir(path), e.File))
	}
	return files, nil
}

// embedded tells whether the data is in the file that has the descriptor, whatever the name in it.
func embedded(d vmdk.Descriptor) bool {
	return d.CreateType == "monolithicSparse" || d.CreateType == "streamOptimized"
}
