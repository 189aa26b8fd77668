package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"

	"github.com/boxkiln/boxkiln/hypervisor/disk"
	"github.com/boxkiln/boxkiln/internal/fsx"
)

// source makes the disk, unless an earlier run left it, and empties the rest of the folder.
func source(ctx context.Context, work string, size int64, compressed bool) (string, error) {
	name := "source-" + strconv.FormatInt(size, 10) + ".qcow2"
	if compressed {
		name = "compressed-" + name
	}
	path := filepath.Join(work, name)
	if err := os.MkdirAll(work, 0o755); err != nil {
		return "", err
	}
	for _, dir := range []string{peerDir, oursDir} {
		if err := os.RemoveAll(filepath.Join(work, dir)); err != nil {
			return "", err
		}
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return path, err
	}
	fmt.Println("making the source; later runs use it again")
	raw := filepath.Join(work, "source.raw")
	defer os.Remove(raw)
	if err := guestDisk(raw, size); err != nil {
		return "", err
	}
	err := disk.Tool{}.Convert(ctx, disk.ConvertOptions{Src: raw, SrcFormat: disk.Raw, Dst: path, DstFormat: disk.QCOW2, Compress: compressed})
	return path, err
}

const (
	block     = 4096
	longest   = 16 << 20 // of a file, bytes
	firstFile = 1 << 20
)

// guestDisk writes a raw disk that looks like a guest's to those who convert it: files of 4 KiB to 16 MiB with room between
// them, half of the disk in all. Half of the data are text, as are the programs and logs of a guest, for deflate; half do not
// compress, as do its packages, kernels and archives.
func guestDisk(path string, size int64) error {
	f, err := fsx.Create(path, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		return err
	}
	r := rand.New(rand.NewChaCha8([32]byte{4}))
	words := vocabulary(r)
	at, left := int64(firstFile), size/2
	for texts := int64(0); left > 0 && at < size; {
		length := min(fileLength(r), left, size-at)
		data := make([]byte, length)
		if 2*texts < size/2-left+length {
			writeText(data, words, r)
			texts += length
		} else {
			writeNoise(data, r)
		}
		if _, err := f.WriteAt(data, at); err != nil {
			return err
		}
		left -= length
		// Free space is spread as data are: as much of it is left for what is left of them.
		free := max(size-at-length-left, 0)
		gap := int64(0)
		if left > 0 {
			gap = int64(float64(free) * float64(length) / float64(left+length) * 2 * r.Float64())
		}
		at += length + min(gap, free)/block*block
	}
	return f.Place()
}

// fileLength is a whole number of blocks; small files are many, large ones hold most of the data.
func fileLength(r *rand.Rand) int64 {
	length := int64(block)
	for length < longest && r.IntN(8) > 0 {
		length *= 2
	}
	return length/2/block*block + block*(1+r.Int64N(length/block))
}

// vocabulary is made-up words, some of them much more frequent than others when they are drawn with zipf.
func vocabulary(r *rand.Rand) []string {
	words := make([]string, 20000)
	for i := range words {
		word := make([]byte, 3+r.IntN(9))
		for j := range word {
			word[j] = "etaoinshrdlucmfwypvbgkjqxz_/.-0123456789"[min(r.IntN(40), r.IntN(40))]
		}
		words[i] = string(word)
	}
	return words
}

// writeText fills data with lines of words. Deflate makes a third of it.
func writeText(data []byte, words []string, r *rand.Rand) {
	frequent := rand.NewZipf(r, 1.2, 4, uint64(len(words)-1))
	for i := 0; i < len(data); {
		n := frequent.Uint64()
		if r.IntN(3) == 0 {
			n = r.Uint64N(uint64(len(words)))
		}
		i += copy(data[i:], words[n])
		if i < len(data) {
			data[i] = "       \n"[r.IntN(8)]
			i++
		}
	}
}

func writeNoise(data []byte, r *rand.Rand) {
	for i := 0; i < len(data); i += 8 { // lengths are whole blocks
		v := r.Uint64()
		for j := range 8 {
			data[i+j] = byte(v >> (8 * j))
		}
	}
}
