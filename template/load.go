package template

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/boxkiln/boxkiln/internal/interpolate"
	"github.com/boxkiln/boxkiln/template/functions"
)

// largestFile is the size that a template's file may have, in bytes.
const largestFile = 16 << 20

// Load reads the template at path: a folder, a *.pkr.hcl or *.pkr.json file, or a JSON template. The template is never
// nil; if the diagnostics hold an error, it is as much as could be understood and must not be built.
func Load(path string, parts Parts, o Options) (*Template, Diagnostics) {
	l := newLoader(path, parts, o)
	info, err := os.Stat(l.abs(path))
	if err != nil {
		l.report.errorf(Pos{File: path}, "check the path", "the template cannot be read: %v", plain(err))
		return l.template, l.report.sorted()
	}
	l.template.Root = path
	if !info.IsDir() {
		l.template.Root = filepath.Dir(path)
	}
	l.template.Dir = l.abs(l.template.Root)
	l.prepare()
	if info.IsDir() || isHCL(path) {
		newHCLLoader(l).load(info.IsDir())
	} else {
		newJSONLoader(l).load()
	}
	slices.Sort(l.template.Secrets)
	l.template.Secrets = slices.Compact(l.template.Secrets)
	slices.Sort(l.template.Private)
	l.template.Private = slices.Compact(l.template.Private)
	slices.Sort(l.template.Inputs)
	l.template.Inputs = slices.Compact(l.template.Inputs)
	return l.template, l.report.sorted()
}

func isHCL(path string) bool {
	return strings.HasSuffix(path, ".hcl") || strings.HasSuffix(path, ".pkr.json")
}

// loader is what both kinds of templates need while they are read.
type loader struct {
	parts    Parts
	options  Options
	env      map[string]string
	now      time.Time
	report   *report
	template *Template
	files    *functions.Files
	used     map[string]bool // patterns of -only and -except that matched something
}

func newLoader(path string, parts Parts, o Options) *loader {
	if o.PackerVersion == "" {
		o.PackerVersion = PackerVersion
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.NewUUID == nil {
		o.NewUUID = uuid.NewString
	}
	l := &loader{parts: parts, options: o, env: map[string]string{}, now: o.Now().UTC(), report: newReport(),
		template: &Template{Path: path}, used: map[string]bool{}}
	for _, pair := range o.Environ {
		if name, value, found := strings.Cut(pair, "="); found {
			l.env[name] = value
		}
	}
	return l
}

// prepare sets up what needs the template's folder.
func (l *loader) prepare() {
	l.files = &functions.Files{
		Bases:    []string{l.template.Dir, l.abs(".")},
		Home:     l.env["HOME"],
		Anywhere: l.options.ReadAnywhere,
		Seen:     func(path string) { l.template.Inputs = append(l.template.Inputs, path) },
	}
}

// abs resolves a path as the user means it.
func (l *loader) abs(path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(l.options.Dir, path)
}

// read reads one of the template's own files, whose text diagnostics will show.
func (l *loader) read(path string) ([]byte, bool) {
	info, err := os.Stat(l.abs(path))
	switch {
	case err != nil:
		l.report.errorf(Pos{File: path}, "check the path", "the file cannot be read: %v", plain(err))
		return nil, false
	case !info.Mode().IsRegular():
		l.report.errorf(Pos{File: path}, "", "this is not a regular file")
		return nil, false
	case info.Size() > largestFile:
		l.report.errorf(Pos{File: path}, "", "the file has %d bytes, more than the %d that a template may have", info.Size(), largestFile)
		return nil, false
	}
	content, err := os.ReadFile(l.abs(path))
	if err != nil {
		l.report.errorf(Pos{File: path}, "check its permissions", "the file cannot be read: %v", plain(err))
		return nil, false
	}
	l.report.files[path] = content
	l.template.Files = append(l.template.Files, path)
	return content, true
}

// plain takes the path out of an error about a file: the place says it already.
func plain(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// interpolation is the context of the {{ }} in the arguments of a source and what follows it.
func (l *loader) interpolation(buildName, buildType string) *interpolate.Context {
	return &interpolate.Context{
		Now: l.now, NewUUID: l.options.NewUUID, BuildName: buildName, BuildType: buildType,
		Dir: l.abs("."), TemplateDir: l.template.Dir, PackerVersion: l.options.PackerVersion,
	}
}

// secret remembers a value that logs must not show. Very short ones would blot out half of every log.
func (l *loader) secret(s string) {
	if len(s) > 1 {
		l.template.Secrets = append(l.template.Secrets, s)
	}
}

// private remembers a value that is not to be stored in clear.
func (l *loader) private(s string) {
	if s != "" {
		l.template.Private = append(l.template.Private, s)
	}
}
