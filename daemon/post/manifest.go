package post

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/pack"
	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/internal/fsx"
)

// ManifestArgs are the arguments of the manifest post-processor. Source: packer post-processor/manifest.
type ManifestArgs struct {
	Output     string            `json:"output" doc:"The file. Default packer-manifest.json." arg:"late" guest:"no"`
	StripPath  bool              `json:"strip_path" doc:"Write the names of files without their directories." guest:"no"`
	StripTime  bool              `json:"strip_time" doc:"Leave build_time out." guest:"no"`
	CustomData map[string]string `json:"custom_data" doc:"Further values for the entry." arg:"late" guest:"no"`
}

// manifestFile is the whole file. Entries of other builds, and of tools that know more than we do, stay as they are.
type manifestFile struct {
	Builds      []json.RawMessage `json:"builds"`
	LastRunUUID string            `json:"last_run_uuid"`
}

// manifestEntry is one artifact: Packer's fields, and check sums of the files.
type manifestEntry struct {
	Name        string            `json:"name"`
	BuilderType string            `json:"builder_type"`
	BuildTime   int64             `json:"build_time,omitempty"` // Unix seconds
	Files       []listedFile      `json:"files"`
	ArtifactID  string            `json:"artifact_id"`
	RunUUID     string            `json:"packer_run_uuid"`
	CustomData  map[string]string `json:"custom_data"`
}

type listedFile struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

type manifest struct {
	keepsAlways
	args ManifestArgs
	env  build.PostEnv
	now  func() time.Time
}

// NewManifest makes the post-processor that lists what was built.
func NewManifest(args json.RawMessage, env build.PostEnv) (build.PostProcessor, error) {
	a, err := decode[ManifestArgs](args)
	if err != nil {
		return nil, err
	}
	if a.Output == "" {
		a.Output = "packer-manifest.json"
	}
	return &manifest{args: a, env: env, now: time.Now}, nil
}

// Process adds the artifact to the list and returns it as it is.
func (m *manifest) Process(ctx context.Context, a hypervisor.Artifact) (hypervisor.Artifact, error) {
	entry, err := m.entry(ctx, a)
	if err != nil {
		return a, err
	}
	dest, err := m.env.Render(m.args.Output, nil)
	if err != nil {
		return a, fmt.Errorf("output: %w", err)
	}
	f, err := place(m.env, dest, hypervisor.RoleOther)
	if err != nil {
		return a, err
	}
	return a, m.add(ctx, f.Path, entry)
}

func (m *manifest) entry(ctx context.Context, a hypervisor.Artifact) (manifestEntry, error) {
	e := manifestEntry{Name: m.env.Vars.BuildName, BuilderType: m.env.Vars.BuilderType, ArtifactID: artifactID(a), RunUUID: m.env.Vars.RunUUID}
	if !m.args.StripTime {
		e.BuildTime = m.now().Unix()
	}
	for key, text := range m.args.CustomData {
		value, err := m.env.Render(text, nil)
		if err != nil {
			return e, fmt.Errorf("custom_data %q: %w", key, err)
		}
		if e.CustomData == nil {
			e.CustomData = map[string]string{}
		}
		e.CustomData[key] = value
	}
	src, err := newSource(ctx, m.env, "Computing check sums", a.Files)
	if err != nil {
		return e, err
	}
	for _, f := range a.Files {
		listed, err := m.list(src, f)
		if err != nil {
			return e, err
		}
		e.Files = append(e.Files, listed)
	}
	return e, nil
}

func (m *manifest) list(src *source, f hypervisor.File) (listedFile, error) {
	st, err := os.Stat(f.Path)
	if err != nil {
		return listedFile{}, err
	}
	l := listedFile{Name: f.Name(), Size: st.Size(), SHA256: f.SHA256}
	if m.args.StripPath {
		l.Name = filepath.Base(l.Name)
	}
	if l.SHA256 == "" {
		sums, err := hashFile(src, f.Path, []string{"sha256"})
		if err != nil {
			return l, err
		}
		l.SHA256 = sums[0]
	}
	return l, nil
}

// add appends the entry to the file, which builds that run at the same time may be changing too.
func (m *manifest) add(ctx context.Context, path string, entry manifestEntry) error {
	unlock, err := lockDir(ctx, filepath.Dir(path))
	if err != nil {
		return err
	}
	defer unlock()
	var file manifestFile
	old, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case len(old) > 0:
		if err := json.Unmarshal(old, &file); err != nil {
			return fmt.Errorf("%q is not a manifest: %w; move it away", path, err)
		}
	}
	raw, err := json.Marshal(entry)
	if err != nil {
		return err
	}
	file.Builds, file.LastRunUUID = append(file.Builds, raw), entry.RunUUID
	text, err := json.MarshalIndent(file, "", "  ")
	if err != nil {
		return err
	}
	return fsx.WriteFile(path, text, 0o644)
}

// artifactID names an artifact as Packer's builders and its vagrant post-processor do.
func artifactID(a hypervisor.Artifact) string {
	if len(a.IDs) > 0 {
		return hypervisor.JoinIDs(a.IDs)
	}
	for _, f := range a.Files {
		if f.Role == hypervisor.RoleBox {
			if provider, err := pack.ProviderOf(a); f.Format == "" && err == nil {
				return provider
			}
			return f.Format
		}
	}
	return "VM"
}
