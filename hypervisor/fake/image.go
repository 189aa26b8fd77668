package fake

import (
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"os"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/internal/fsx"
)

// clusterBits is the usual size of a qcow2 cluster: 64 KiB.
const (
	clusterBits = 16
	clusterSize = 1 << clusterBits
)

// defaultDisk is the size of a disk without one.
const defaultDisk = 1 << 20

// diskSize is the size in bytes of a disk of which size is asked for.
func diskSize(size int64) int64 {
	if size == 0 {
		return defaultDisk
	}
	return size
}

// writeImage makes an empty disk image of size bytes, atomically.
func writeImage(path, format string, size int64) error {
	f, err := fsx.Create(path, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := emptyImage(f.File, format, size); err != nil {
		return fmt.Errorf("disk image %s: %w", path, err)
	}
	return f.Commit()
}

func emptyImage(f *os.File, format string, size int64) error {
	size = diskSize(size)
	switch format {
	case "raw":
		return f.Truncate(size)
	case "qcow2", "":
		return emptyQCOW2(f, size)
	}
	return fmt.Errorf("format %q is not known: use qcow2 or raw", format)
}

// header is that of a qcow2 image, version 2. Source: docs/interop/qcow2.txt of QEMU. All integers are big-endian.
type header struct {
	Magic                 [4]byte
	Version               uint32
	BackingFileOffset     uint64
	BackingFileSize       uint32
	ClusterBits           uint32
	Size                  uint64
	CryptMethod           uint32
	L1Size                uint32
	L1TableOffset         uint64
	RefcountTableOffset   uint64
	RefcountTableClusters uint32
	SnapshotCount         uint32
	SnapshotsOffset       uint64
}

// emptyQCOW2 writes an image without any data: the header, a table of reference counts, its only block, and the L1 table.
func emptyQCOW2(f *os.File, size int64) error {
	const perL2 = clusterSize / 8 * clusterSize // bytes of the disk that an L1 entry is for
	l1Entries := (size + perL2 - 1) / perL2
	l1Clusters := (l1Entries*8 + clusterSize - 1) / clusterSize
	h := header{
		Magic: [4]byte{'Q', 'F', 'I', 0xfb}, Version: 2, ClusterBits: clusterBits, Size: uint64(size),
		L1Size: uint32(l1Entries), RefcountTableOffset: clusterSize, RefcountTableClusters: 1, L1TableOffset: 3 * clusterSize,
	}
	used := 3 + l1Clusters
	if used > clusterSize/2 {
		return fmt.Errorf("a disk of %d bytes is too large", size)
	}
	counts := make([]uint16, used)
	for i := range counts {
		counts[i] = 1
	}
	parts := []struct {
		cluster int64
		data    any
	}{{0, h}, {1, uint64(2 * clusterSize)}, {2, counts}}
	for _, p := range parts {
		if _, err := f.Seek(p.cluster*clusterSize, 0); err != nil {
			return err
		}
		if err := binary.Write(f, binary.BigEndian, p.data); err != nil {
			return err
		}
	}
	return f.Truncate(used * clusterSize)
}

// picture draws a screen: dark while a system is missing, green when there is one, grey when the machine is off. Each
// typed character is a dot, eight pixels apart, so that screens differ when something was typed.
func picture(s hypervisor.State, ready bool, typed string) image.Image {
	const width, height, step = 320, 200, 8
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	background := color.RGBA{0x40, 0x40, 0x40, 0xff}
	if s == hypervisor.Running {
		background = color.RGBA{0x00, 0x00, 0x30, 0xff}
		if ready {
			background = color.RGBA{0x00, 0x40, 0x00, 0xff}
		}
	}
	for i := range width * height {
		img.SetRGBA(i%width, i/width, background)
	}
	for i, c := range []rune(typed) {
		at := i % (width / step * (height / step))
		x, y := at%(width/step)*step, at/(width/step)*step
		img.SetRGBA(x+1+int(c)%(step-2), y+step/2, color.RGBA{0xff, 0xff, 0xff, 0xff})
	}
	return img
}
