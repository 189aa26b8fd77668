package guesttest

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing/fstest"
	"text/template"

	"github.com/boxkiln/boxkiln/provisioners"
)

// Files is a provisioners.Files in memory, by slash-separated relative paths.
type Files fstest.MapFS

// Open opens a file or a directory.
func (f Files) Open(name string) (fs.File, error) { return fstest.MapFS(f).Open(filepath.Clean(name)) }

// Dir is the tree below a directory.
func (f Files) Dir(name string) (fs.FS, error) {
	if info, err := fs.Stat(fstest.MapFS(f), filepath.Clean(name)); err != nil || !info.IsDir() {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return fs.Sub(fstest.MapFS(f), filepath.Clean(name))
}

// Outputs is a provisioners.Outputs in memory.
type Outputs struct {
	mu    sync.Mutex
	files map[string]string
}

// Create keeps a file when it is closed.
func (o *Outputs) Create(name string) (io.WriteCloser, error) { return &output{to: o, name: name}, nil }

// Files is what was created so far.
func (o *Outputs) Files() map[string]string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.files
}

type output struct {
	bytes.Buffer
	to   *Outputs
	name string
}

func (f *output) Close() error {
	f.to.mu.Lock()
	defer f.to.mu.Unlock()
	if f.to.files == nil {
		f.to.files = map[string]string{}
	}
	f.to.files[f.name] = f.String()
	return nil
}

// Env is an environment for provisioners under test, which renders {{ .X }} from the extra data and {{ build `Host` }}.
func Env(files Files, outputs *Outputs, vars provisioners.Vars) provisioners.Env {
	render := func(text string, data map[string]string) (string, error) {
		build := func(name string) (string, error) {
			if name == "Host" {
				return vars.Host, nil
			}
			return "", fmt.Errorf("no build value %q: %w", name, os.ErrNotExist)
		}
		t, err := template.New("").Option("missingkey=error").Funcs(template.FuncMap{"build": build}).Parse(text)
		if err != nil {
			return "", err
		}
		var b bytes.Buffer
		err = t.Execute(&b, data)
		return b.String(), err
	}
	return provisioners.Env{Files: files, Outputs: outputs, Vars: vars, Render: render}
}
