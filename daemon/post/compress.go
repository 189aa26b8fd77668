package post

import (
	"archive/tar"
	"archive/zip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/internal/fsx"
)

// CompressArgs are the arguments of the compress post-processor. Source: packer post-processor/compress.
type CompressArgs struct {
	Output string `json:"output" doc:"The file; its extension tells the format. Default packer_{{.BuildName}}_{{.BuilderType}}." arg:"late" guest:"no"`
	Format string `json:"format" doc:"Format, if the extension does not tell: tar.gz (default), tar, zip, gz, zst, lz4, xz, bz2, bgzf." guest:"no"`
	Level  int    `json:"compression_level" doc:"1 (fast) to 9 (small); 0 and -1 for the default." guest:"no"`
}

// container says how files are put into one.
type container string

const (
	noContainer  container = "" // one file, compressed as it is
	tarContainer container = "tar"
	zipContainer container = "zip"
)

// format is a container and the codec around it.
type format struct {
	container container
	codec     string // a name that newCodec knows; empty for none
}

// formatOf reads the format off a file name as Packer does: by the last one or two extensions, and tar.gz where they say
// nothing.
func formatOf(name string) format {
	name = filepath.Base(name)
	last := strings.TrimPrefix(filepath.Ext(name), ".")
	before := strings.TrimPrefix(filepath.Ext(strings.TrimSuffix(name, "."+last)), ".")
	f := format{codec: last}
	switch {
	case last == "tar":
		return format{container: tarContainer}
	case last == "zip":
		return format{container: zipContainer}
	case last == "tgz":
		return format{tarContainer, "gz"}
	case !knownCodec(last):
		return format{tarContainer, "gz"}
	case before == "tar":
		f.container = tarContainer
	}
	return f
}

type compress struct {
	args CompressArgs
	env  build.PostEnv
}

// NewCompress makes the post-processor that compresses.
func NewCompress(args json.RawMessage, env build.PostEnv) (build.PostProcessor, error) {
	a, err := decode[CompressArgs](args)
	if err != nil {
		return nil, err
	}
	if a.Output == "" {
		a.Output = "packer_{{.BuildName}}_{{.BuilderType}}"
	}
	a.Level = min(a.Level, 9)
	if a.Level < 0 {
		a.Level = 0
	}
	return &compress{args: a, env: env}, nil
}

// CheckCompress finds mistakes in the arguments.
func CheckCompress(args json.RawMessage) error {
	a, err := decode[CompressArgs](args)
	if err != nil {
		return err
	}
	name := strings.TrimPrefix(a.Format, "tar.")
	if a.Format != "" && a.Format != "tar" && a.Format != "zip" && a.Format != "tgz" && !knownCodec(name) {
		return fmt.Errorf("format %q is not known; use tar.gz, tar, zip, gz, zst, lz4, xz, bz2 or bgzf", a.Format)
	}
	return nil
}

// Process writes the archive and returns it as the artifact.
func (c *compress) Process(ctx context.Context, a hypervisor.Artifact) (hypervisor.Artifact, error) {
	if err := needFiles(a); err != nil {
		return a, err
	}
	dest, err := c.env.Render(c.args.Output, map[string]string{"BuildName": c.env.Vars.BuildName, "BuilderType": c.env.Vars.BuilderType})
	if err != nil {
		return a, fmt.Errorf("output: %w", err)
	}
	how := formatOf(dest)
	if c.args.Format != "" {
		how = formatOf("x." + c.args.Format)
	}
	if how.container == noContainer && len(a.Files) != 1 {
		return a, fmt.Errorf("the artifact has %d files, but %q can hold one only: use tar.%s or zip", len(a.Files), dest, how.codec)
	}
	out, err := place(c.env, dest, hypervisor.RoleOther)
	if err != nil {
		return a, err
	}
	src, err := newSource(ctx, c.env, "Compressing", a.Files)
	if err != nil {
		return a, err
	}
	fmt.Fprintf(c.env.Out, "Compressing into %s\n", dest)
	if err := c.write(src, a.Files, how, &out); err != nil {
		return a, fmt.Errorf("compress into %q: %w", dest, err)
	}
	a.Files = []hypervisor.File{out}
	return a, nil
}

func (c *compress) write(src *source, files []hypervisor.File, how format, out *hypervisor.File) error {
	f, err := fsx.Create(out.Path, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	codec, err := newCodec(how.codec, f, c.args.Level)
	if err != nil {
		return err
	}
	err = fill(codec, src, files, how.container)
	if err := errors.Join(err, codec.Close()); err != nil { // always closed, because it may end goroutines
		return err
	}
	st, err := f.Stat()
	if err != nil {
		return err
	}
	out.Size = st.Size()
	return f.Commit()
}

func fill(w io.Writer, src *source, files []hypervisor.File, in container) error {
	switch in {
	case tarContainer:
		return fillTar(w, src, files)
	case zipContainer:
		return fillZip(w, src, files)
	}
	return src.copy(w, files[0].Path)
}

// entryName is the name of a file in an archive: its base name, as Packer has it in tar.
func entryName(f hypervisor.File, seen map[string]bool) (string, error) {
	name := filepath.Base(f.Name())
	if seen[name] {
		return "", fmt.Errorf("two files of the artifact are called %q", name)
	}
	seen[name] = true
	return name, nil
}

func fillTar(w io.Writer, src *source, files []hypervisor.File) error {
	archive, seen := tar.NewWriter(w), map[string]bool{}
	for _, f := range files {
		st, err := os.Stat(f.Path)
		if err != nil {
			return err
		}
		h, err := tar.FileInfoHeader(st, "")
		if err != nil {
			return err
		}
		if h.Name, err = entryName(f, seen); err != nil {
			return err
		}
		h.Uid, h.Gid, h.Uname, h.Gname = 0, 0, "", ""
		if err := archive.WriteHeader(h); err != nil {
			return err
		}
		if err := src.copy(archive, f.Path); err != nil {
			return err
		}
	}
	return archive.Close()
}

func fillZip(w io.Writer, src *source, files []hypervisor.File) error {
	archive, seen := zip.NewWriter(w), map[string]bool{}
	for _, f := range files {
		name, err := entryName(f, seen)
		if err != nil {
			return err
		}
		entry, err := archive.Create(name)
		if err != nil {
			return err
		}
		if err := src.copy(entry, f.Path); err != nil {
			return err
		}
	}
	return archive.Close()
}
