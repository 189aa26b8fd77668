// Package post holds the post-processors: what happens to an artifact after the machine is gone.
//
// Each has a struct of arguments, a New function that is a build.PostFactory, and where there is something to check, a
// Check function that is pure; [Kinds] lists them. They take the arguments of Packer's post-processors of the same name
// and leave their results where Packer would. What Packer has and Boxkiln cannot build yet is described by [Unbuilt], so
// that templates which name it still validate.
package post

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/internal/schema"
)

// Kinds returns the post-processors that need nothing from outside, by the names that templates use. The one that runs
// commands, shell-local, is made by NewShellLocal.
func Kinds() map[string]build.PostKind {
	return map[string]build.PostKind{
		"vagrant": {Schema: schema.New("vagrant", "Packs the artifact into a Vagrant box.", VagrantArgs{}),
			New: NewVagrant, Pure: true, Check: CheckVagrant, Inputs: VagrantInputs},
		"checksum": {Schema: schema.New("checksum", "Writes check sums of the artifact's files.", ChecksumArgs{}),
			New: NewChecksum, Pure: true, Check: CheckChecksum},
		"manifest": {Schema: schema.New("manifest", "Adds the artifact to a JSON list of what was built.", ManifestArgs{}),
			New: NewManifest},
		"compress": {Schema: schema.New("compress", "Packs the artifact into an archive or compresses its file.", CompressArgs{}),
			New: NewCompress, Pure: true, Check: CheckCompress},
		"artifice": {Schema: schema.New("artifice", "Takes other files for the artifact.", ArtificeArgs{}),
			New: NewArtifice, Check: CheckArtifice},
	}
}

// decode reads canonical JSON into a group of arguments.
func decode[T any](args json.RawMessage) (T, error) {
	var v T
	if len(args) == 0 {
		return v, nil
	}
	err := json.Unmarshal(args, &v)
	return v, err
}

// keepsAlways is part of post-processors that only look at their input: without it there would be nothing to look at.
type keepsAlways struct{}

// KeepsInput implements build.KeepsInput.
func (keepsAlways) KeepsInput() (keep, force bool) { return true, true }

// needFiles refuses an artifact that lies in a cloud, for a post-processor of which nothing would come.
func needFiles(a hypervisor.Artifact) error {
	if len(a.Files) > 0 || len(a.IDs) == 0 {
		return nil
	}
	return fmt.Errorf("the artifact is %s, which is no file of this host: leave this build out with only or except", hypervisor.JoinIDs(a.IDs))
}

// place returns the file that a post-processor makes, under the path that the template wants.
func place(env build.PostEnv, dest string, role hypervisor.Role) (hypervisor.File, error) {
	path, err := env.Outputs.Place(dest)
	if err != nil {
		return hypervisor.File{}, fmt.Errorf("place %q: %w", dest, err)
	}
	f := hypervisor.File{Path: path, Role: role}
	if path != dest {
		f.Dest = dest
	}
	return f, nil
}

// progressOf returns a progress function for one title.
func progressOf(env build.PostEnv, title string) func(done, total int64) {
	return func(done, total int64) {
		if env.Progress != nil {
			env.Progress(title, done, total)
		}
	}
}

// source reads the files of an artifact, one after the other, and counts.
type source struct {
	ctx         context.Context // of one Process
	done, total int64
	progress    func(done, total int64)
}

func newSource(ctx context.Context, env build.PostEnv, title string, files []hypervisor.File) (*source, error) {
	s := &source{ctx: ctx, progress: progressOf(env, title)}
	for _, f := range files {
		st, err := os.Stat(f.Path)
		if err != nil {
			return nil, err
		}
		if !st.Mode().IsRegular() {
			return nil, fmt.Errorf("%q is not a regular file", f.Path)
		}
		s.total += st.Size()
	}
	return s, nil
}

// copy writes one file to w.
func (s *source) copy(w io.Writer, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	const chunk = 1 << 20
	_, err = io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{&counted{f, s}}, make([]byte, chunk))
	return err
}

type counted struct {
	r io.Reader
	s *source
}

func (c *counted) Read(p []byte) (int, error) {
	if c.s.ctx.Err() != nil {
		return 0, context.Cause(c.s.ctx)
	}
	n, err := c.r.Read(p)
	c.s.done += int64(n)
	c.s.progress(c.s.done, c.s.total)
	return n, err
}

// local resolves a path of the template on this host, for files that a build makes beside its artifact.
func local(env build.PostEnv, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(env.Cwd, path)
}
