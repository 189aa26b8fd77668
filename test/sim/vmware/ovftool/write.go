package ovftool

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/boxkiln/boxkiln/test/sim/vmware/vmdk"
	"github.com/boxkiln/boxkiln/test/sim/vmware/vmx"
)

// hashes are the algorithms of manifests.
var hashes = map[string]func() hash.Hash{"SHA1": sha1.New, "SHA256": sha256.New, "SHA512": sha512.New}

// packed is a file of a package.
type packed struct {
	Name     string // in the package
	Path     string
	Size     int64
	Capacity int64 // of a disk: bytes that the guest sees
}

// pack makes a package of a machine.
func (j job) pack(ctx context.Context) error {
	j.begin()
	f, err := vmx.Read(j.source)
	if err != nil {
		return err
	}
	if f.Check() != nil {
		return refuse("Invalid virtual machine configuration file: %s", j.source) // unverified
	}
	if j.full {
		return errFull
	}
	m := fromVMX(f, j.source)
	if j.name != "" {
		m.Name = j.name
	}
	dir := filepath.Dir(j.target)
	if j.kind == "ova" {
		if dir, err = os.MkdirTemp(dir, ".ovftool-"); err != nil {
			return err
		}
		defer os.RemoveAll(dir)
	}
	files, err := j.write(ctx, m, dir)
	if err != nil {
		return err
	}
	if j.kind == "ova" {
		if err := writeOVA(j.target, files); err != nil {
			return err
		}
	}
	j.progress()
	return nil
}

// errFull's wording is unverified.
const errFull = refusal("There is not enough space on the disk")

// write writes the files of a package into a folder, and returns them in the order of an OVA.
func (j job) write(ctx context.Context, m machine, dir string) ([]packed, error) {
	disks, err := j.disks(ctx, m, dir)
	if err != nil {
		return nil, err
	}
	nvram, err := j.nvram(m, dir)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, j.stem()+".ovf")
	text, err := descriptor(m, j.stem(), disks, nvram)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(path, text, 0o644); err != nil {
		return nil, err
	}
	content := append(disks, nvram...)
	ovf := packed{Name: filepath.Base(path), Path: path}
	mf := packed{Name: j.stem() + ".mf", Path: filepath.Join(dir, j.stem()+".mf")}
	if err := j.manifest(mf.Path, append([]packed{ovf}, content...)); err != nil {
		return nil, err
	}
	return append([]packed{ovf, mf}, content...), nil
}

// disks compresses the machine's disks.
func (j job) disks(ctx context.Context, m machine, dir string) ([]packed, error) {
	var disks []packed
	for _, d := range m.Drives {
		if d.CD {
			continue
		}
		name := fmt.Sprintf("%s-disk%d.vmdk", j.stem(), len(disks)+1)
		p := packed{Name: name, Path: filepath.Join(dir, name)}
		if _, err := os.Lstat(p.Path); err == nil && !j.overwrite {
			return nil, refuse("File already exists: %s", p.Path)
		}
		info, err := vmdk.Inspect(ctx, d.File)
		if err != nil {
			return nil, refuse("Failed to open disk: %s", d.File) // unverified
		}
		if err := vmdk.Convert(ctx, d.File, p.Path, vmdk.Stream, vmdk.Adapter(d.File)); err != nil {
			return nil, err
		}
		stat, err := os.Stat(p.Path)
		if err != nil {
			return nil, err
		}
		p.Size, p.Capacity = stat.Size(), info.Size
		disks = append(disks, p)
	}
	return disks, nil
}

// nvram copies what the machine's firmware keeps, if there is any.
func (j job) nvram(m machine, dir string) ([]packed, error) {
	data, err := os.ReadFile(m.NVRAM)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	p := packed{Name: j.stem() + "-file1.nvram", Path: filepath.Join(dir, j.stem()+"-file1.nvram"), Size: int64(len(data))}
	return []packed{p}, os.WriteFile(p.Path, data, 0o644)
}

// manifest writes the digests of files.
func (j job) manifest(path string, files []packed) error {
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	defer out.Close()
	for _, f := range files {
		sum, err := digest(j.sha, f.Path)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(out, "%s(%s)= %s\n", j.sha, f.Name, sum); err != nil {
			return err
		}
	}
	return out.Close()
}

// digest is the hexadecimal digest of a file.
func digest(algorithm, path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := hashes[algorithm]()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", h.Sum(nil)), nil
}
