package post

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/pack"
	"github.com/boxkiln/boxkiln/hypervisor"
)

// cloudImport has a driver make an image of the artifact's disks, and returns that as the artifact.
type cloudImport struct {
	name   string
	driver string
	format func(args json.RawMessage) (string, error)
	args   json.RawMessage
	env    build.PostEnv
}

// NewImport returns the factory of a post-processor that has a driver import the artifact. format tells what the driver takes: "raw" for
// raw disks, or the format of one file.
func NewImport(name, driver string, format func(args json.RawMessage) (string, error)) build.PostFactory {
	return func(args json.RawMessage, env build.PostEnv) (build.PostProcessor, error) {
		return &cloudImport{name: name, driver: driver, format: format, args: args, env: env}, nil
	}
}

// Process makes the file that is wanted, if the artifact has none, and hands it to the driver.
func (p *cloudImport) Process(ctx context.Context, a hypervisor.Artifact) (hypervisor.Artifact, error) {
	if err := needFiles(a); err != nil {
		return a, err
	}
	args, err := renderStrings(p.args, p.env.Render)
	if err != nil {
		return a, err
	}
	format, err := p.format(args)
	if err != nil {
		return a, err
	}
	guest, err := pack.ParseKnown(p.env.Packaging.Guest)
	if err != nil {
		return a, err
	}
	for _, text := range guest.CloudWarnings(a.UEFI) {
		fmt.Fprintf(p.env.Out, "Warning: %s\n", text)
	}
	dir := filepath.Join(p.env.Scratch, p.name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return a, err
	}
	files, err := pack.Upload(ctx, a, format, dir, pack.Options{Name: p.env.Title, Hardware: pack.HardwareOf(p.env.Machine), Guest: guest, Scratch: dir, Progress: p.env.Progress})
	if err != nil {
		return a, err
	}
	made, err := p.env.Import(ctx, p.driver, p.name, hypervisor.ImportRequest{
		ImportHandle: hypervisor.ImportHandle{Args: args}, Files: files, Arch: a.Arch, UEFI: a.UEFI, Title: p.env.Title, Lacks: guest.CloudLacks(),
	})
	if err != nil {
		return a, err
	}
	made.Builder = a.Builder
	return made, os.RemoveAll(dir)
}

// renderStrings fills in the {{ }} of all text in arguments.
func renderStrings(args json.RawMessage, render func(text string, data map[string]string) (string, error)) (json.RawMessage, error) {
	if len(args) == 0 {
		return args, nil
	}
	var all map[string]any
	if err := json.Unmarshal(args, &all); err != nil {
		return nil, err
	}
	var failed error
	var walk func(name string, v any) any
	walk = func(name string, v any) any {
		switch v := v.(type) {
		case string:
			text, err := render(v, nil)
			if err != nil && failed == nil {
				failed = fmt.Errorf("%s: %w", name, err)
			}
			return text
		case map[string]any:
			for k := range v {
				v[k] = walk(name+"."+k, v[k])
			}
		}
		return v
	}
	for _, late := range []string{"ami_name", "ami_description", "s3_key_name", "tags"} {
		if v, ok := all[late]; ok {
			all[late] = walk(late, v)
		}
	}
	if failed != nil {
		return nil, failed
	}
	return json.Marshal(all)
}
