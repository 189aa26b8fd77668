package ovftool

import (
	"archive/tar"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// writeOVA packs files into one, in their order.
func writeOVA(path string, files []packed) error {
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	defer out.Close()
	w := tar.NewWriter(out)
	for _, f := range files {
		if err := addFile(w, f); err != nil {
			return err
		}
	}
	return errors.Join(w.Close(), out.Close())
}

func addFile(w *tar.Writer, f packed) error {
	in, err := os.Open(f.Path)
	if err != nil {
		return err
	}
	defer in.Close()
	stat, err := in.Stat()
	if err != nil {
		return err
	}
	head := &tar.Header{Typeflag: tar.TypeReg, Name: f.Name, Size: stat.Size(), Mode: 0o644, Format: tar.FormatUSTAR, ModTime: stat.ModTime()}
	if err := w.WriteHeader(head); err != nil {
		return err
	}
	_, err = io.Copy(w, in)
	return err
}

// openOVA unpacks a package into a folder and returns the path of its descriptor, which must come first.
func openOVA(path, dir string) (string, error) {
	in, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer in.Close()
	descriptor := ""
	for r := tar.NewReader(in); ; {
		head, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return "", refuse("Invalid OVA package: %v", err) // unverified
		}
		name := filepath.Join(dir, head.Name)
		switch {
		case head.Typeflag != tar.TypeReg || head.Name != filepath.Base(head.Name) || head.Name == "..":
			return "", refuse("Invalid OVA package: unexpected entry %s", head.Name) // unverified
		case descriptor == "" && !strings.HasSuffix(head.Name, ".ovf"):
			return "", refuse("Invalid OVA package: the OVF descriptor must be the first entry") // unverified
		case descriptor == "":
			descriptor = name
		}
		if err := extract(r, name); err != nil {
			return "", err
		}
	}
	if descriptor == "" {
		return "", refuse("Invalid OVA package: no OVF descriptor") // unverified
	}
	return descriptor, nil
}

func extract(r io.Reader, path string) error {
	out, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return refuse("Invalid OVA package: %s is there twice", filepath.Base(path)) // unverified
	} else if err != nil {
		return err
	}
	_, err = io.Copy(out, r)
	return errors.Join(err, out.Close())
}
