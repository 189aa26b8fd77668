package pack

import (
	"encoding/binary"
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

// vmdkFile is what a VMDK says of itself.
type vmdkFile struct {
	vmdk.Descriptor
	text string
	// whole is a sparse file with the data of the disk in it. Others are texts, or one that only holds a text: qemu-img opens what
	// that names.
	whole bool
}

// readVMDK looks at a VMDK, a text or a sparse one with a text in it. ok is false for a sparse extent without one.
func readVMDK(path string) (v vmdkFile, ok bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		return v, false, err
	}
	defer f.Close()
	head, err := io.ReadAll(io.LimitReader(f, vmdkHeaderSize))
	if err != nil {
		return v, false, err
	}
	var offset, size int64 = 0, longestDescriptor
	if len(head) == vmdkHeaderSize && string(head[:len(vmdkMagic)]) == vmdkMagic {
		le := binary.LittleEndian
		v.whole = le.Uint64(head[vmdkCapacityAt:]) > 0
		first, sectors := le.Uint64(head[vmdkDescriptorAt:]), le.Uint64(head[vmdkDescriptorAt+8:])
		if first == 0 || sectors == 0 {
			return v, false, nil
		}
		if first > 1<<32 || sectors > longestDescriptor/vmdkHeaderSize {
			return v, false, fmt.Errorf("%q: its descriptor is said to have %d sectors at %d", path, sectors, first)
		}
		offset, size = int64(first)*vmdkHeaderSize, int64(sectors)*vmdkHeaderSize
	}
	text, err := io.ReadAll(io.NewSectionReader(f, offset, size))
	if err != nil {
		return v, false, err
	}
	v.text = string(text)
	if v.Descriptor, err = vmdk.ParseDescriptor(text); err != nil {
		return v, false, fmt.Errorf("%q: %w", path, err)
	}
	return v, true, nil
}

// isStream tells whether an image is a streamOptimized VMDK, from which no machine can run.
func isStream(path string) bool {
	v, ok, err := readVMDK(path)
	return err == nil && ok && v.CreateType == "streamOptimized"
}

// extentsOf lists the files that a VMDK consists of besides itself. It refuses one that needs another image under it, or a
// file elsewhere: qemu-img would open both (block/vmdk.c, vmdk_parent_open and vmdk_parse_extents).
func extentsOf(path string) ([]string, error) {
	v, ok, err := readVMDK(path)
	if err != nil {
		return nil, err
	}
	const none = 0xffffffff
	switch {
	case !ok && v.whole:
		return nil, nil
	case !ok:
		return nil, fmt.Errorf("%q is no whole VMDK: it says neither what is in it nor where its parts are", path)
	case v.ParentCID != none, strings.Contains(v.text, "parentFileNameHint"):
		return nil, fmt.Errorf("%q is a snapshot that needs another disk: give the machine one disk (vmware-vdiskmanager -r makes it)", path)
	case v.whole:
		return nil, nil
	}
	var files []string
	for _, e := range v.Extents {
		if e.File == "" {
			continue
		}
		if strings.ContainsAny(e.File, `/\`) || !filepath.IsLocal(e.File) {
			return nil, fmt.Errorf("%q keeps its data in %q, which is not beside it: copy it there and mend the name", path, e.File)
		}
		extent := filepath.Join(filepath.Dir(path), e.File)
		if err := leaf(extent); err != nil {
			return nil, fmt.Errorf("%q: %w", path, err)
		}
		files = append(files, extent)
	}
	return files, nil
}

// leaf refuses an extent that leads to further files. Whatever else is in it, it is data.
func leaf(path string) error {
	st, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if !st.Mode().IsRegular() {
		return fmt.Errorf("its part %q is no regular file", filepath.Base(path))
	}
	v, _, err := readVMDK(path)
	if err == nil && !v.whole { // a descriptor, where only data belongs
		return fmt.Errorf("its part %q has parts itself", filepath.Base(path))
	}
	return nil
}
