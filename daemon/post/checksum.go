package post

import (
	"bufio"
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/internal/fsx"
)

// ChecksumArgs are the arguments of the checksum post-processor. Source: packer post-processor/checksum.
type ChecksumArgs struct {
	Types  []string `json:"checksum_types" doc:"md5 (default), sha1, sha224, sha256, sha384, sha512." guest:"no"`
	Output string   `json:"output" doc:"The file. Default packer_{{.BuildName}}_{{.BuilderType}}_{{.ChecksumType}}.checksum." arg:"late" guest:"no"`
}

const defaultChecksumName = "packer_{{.BuildName}}_{{.BuilderType}}_{{.ChecksumType}}.checksum"

type checksum struct {
	keepsAlways
	args ChecksumArgs
	env  build.PostEnv
}

// NewChecksum makes the post-processor that writes check sums.
func NewChecksum(args json.RawMessage, env build.PostEnv) (build.PostProcessor, error) {
	a, err := decode[ChecksumArgs](args)
	if err != nil {
		return nil, err
	}
	if len(a.Types) == 0 {
		a.Types = []string{"md5"}
	}
	if a.Output == "" {
		a.Output = defaultChecksumName
	}
	return &checksum{args: a, env: env}, nil
}

// CheckChecksum finds mistakes in the arguments.
func CheckChecksum(args json.RawMessage) error {
	a, err := decode[ChecksumArgs](args)
	if err != nil {
		return err
	}
	var errs error
	for _, t := range a.Types {
		_, err := newHash(t)
		errs = errors.Join(errs, err)
	}
	return errs
}

func newHash(typ string) (hash.Hash, error) {
	switch typ {
	case "md5":
		return md5.New(), nil
	case "sha1":
		return sha1.New(), nil
	case "sha224":
		return sha256.New224(), nil
	case "sha256":
		return sha256.New(), nil
	case "sha384":
		return sha512.New384(), nil
	case "sha512":
		return sha512.New(), nil
	}
	return nil, fmt.Errorf("checksum_types: %q is not known; use md5, sha1, sha224, sha256, sha384 or sha512", typ)
}

// Process reads each file once and adds the files of check sums to the artifact.
func (c *checksum) Process(ctx context.Context, a hypervisor.Artifact) (hypervisor.Artifact, error) {
	if err := needFiles(a); err != nil {
		return a, err
	}
	src, err := newSource(ctx, c.env, "Computing check sums", a.Files)
	if err != nil {
		return a, err
	}
	sums := make([][]string, len(c.args.Types)) // by type, then by file
	for _, f := range a.Files {
		of, err := hashFile(src, f.Path, c.args.Types)
		if err != nil {
			return a, err
		}
		for i := range sums {
			sums[i] = append(sums[i], of[i])
		}
	}
	made, lines, err := c.arrange(a.Files, sums)
	if err != nil {
		return a, err
	}
	for i := range made {
		if err := mergeSums(ctx, &made[i], lines[i]); err != nil {
			return a, fmt.Errorf("write %q: %w", made[i].Name(), err)
		}
	}
	a.Files = append(slices.Clone(a.Files), made...)
	return a, nil
}

func hashFile(src *source, path string, types []string) ([]string, error) {
	hashes := make([]hash.Hash, len(types))
	writers := make([]io.Writer, len(types))
	for i, t := range types {
		h, err := newHash(t)
		if err != nil {
			return nil, err
		}
		hashes[i], writers[i] = h, h
	}
	if err := src.copy(io.MultiWriter(writers...), path); err != nil {
		return nil, err
	}
	sums := make([]string, len(types))
	for i, h := range hashes {
		sums[i] = fmt.Sprintf("%x", h.Sum(nil))
	}
	return sums, nil
}

// sumLine is one line of a file of check sums, in Packer's form, which sha256sum -c reads.
type sumLine struct{ sum, name string }

func (l sumLine) String() string { return l.sum + "\t" + l.name + "\n" }

// arrange spreads the sums over the files to write: one for each type, or fewer if the output does not tell types apart.
func (c *checksum) arrange(files []hypervisor.File, sums [][]string) (made []hypervisor.File, lines [][]sumLine, err error) {
	at := map[string]int{}
	for i, typ := range c.args.Types {
		dest, err := c.env.Render(c.args.Output, map[string]string{
			"BuildName": c.env.Vars.BuildName, "BuilderType": c.env.Vars.BuilderType, "ChecksumType": typ})
		if err != nil {
			return nil, nil, fmt.Errorf("output: %w", err)
		}
		n, known := at[dest]
		if !known {
			f, err := place(c.env, dest, hypervisor.RoleOther)
			if err != nil {
				return nil, nil, err
			}
			n = len(made)
			at[dest], made, lines = n, append(made, f), append(lines, nil)
		}
		for j, f := range files {
			lines[n] = append(lines[n], sumLine{sums[i][j], filepath.Base(f.Name())})
		}
	}
	return made, lines, nil
}

// mergeSums puts lines into a file that other builds may use too: their lines stay, older ones about our files go.
func mergeSums(ctx context.Context, f *hypervisor.File, lines []sumLine) error {
	unlock, err := lockDir(ctx, filepath.Dir(f.Path))
	if err != nil {
		return err
	}
	defer unlock()
	old, err := os.ReadFile(f.Path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	ours := map[string]bool{}
	for _, l := range lines {
		ours[l.name] = true
	}
	var text bytes.Buffer
	rows := bufio.NewScanner(bytes.NewReader(old))
	for rows.Scan() {
		if _, name, _ := strings.Cut(rows.Text(), "\t"); !ours[name] {
			text.WriteString(rows.Text() + "\n")
		}
	}
	for _, l := range lines {
		text.WriteString(l.String())
	}
	f.Size = int64(text.Len())
	return fsx.WriteFile(f.Path, text.Bytes(), 0o644)
}
