// Package template reads what the user wrote: Packer's HCL2 templates, alone or as a folder, and its older JSON.
//
// [Load] does all of it at once. It parses the files, collects the values of the variables from the environment, var
// files and the command line, evaluates locals and data sources, expands dynamic blocks, picks the builds that -only and
// -except leave, and checks every argument against the description of its block ([Parts]). What comes out is a
// [Template]: for each source of each build the arguments as canonical JSON, with its provisioners and post-processors,
// their only, except and override already applied. Whatever is known before the build runs has been computed; text that
// needs the running build, such as {{ .HTTPIP }}, is left in the arguments that are marked late.
//
// Every problem is reported, each with its place and a remedy ([Diagnostic]). Load touches nothing but the files that
// the template consists of or reads; with the same [Options] it gives the same result.
package template

import (
	"encoding/json"
	"time"

	"github.com/boxkiln/boxkiln/internal/schema"
)

// PackerVersion is the version of Packer whose templates are understood; required_version is checked against it.
const PackerVersion = "1.16.0"

// Parts are the kinds of blocks that a template may use, by type.
type Parts struct {
	Sources        map[string]*schema.Block
	Provisioners   map[string]*schema.Block
	PostProcessors map[string]*schema.Block
	DataSources    map[string]*schema.Block
	// Aliases are old names of types in any of the tables, such as virtualbox for virtualbox-iso.
	Aliases map[string]string
}

// Options are everything that a template's meaning depends on besides its files.
type Options struct {
	Dir      string   // the current directory, absolute
	Vars     []string // name=value, the last one counts
	VarFiles []string // the last one counts; Vars come after them
	Environ  []string // name=value, as os.Environ gives it
	Only     []string // patterns of builds to keep
	Except   []string // patterns of builds and post-processors to leave out
	// Now is the clock; it is read once. NewUUID makes random values. Nil for the real ones.
	Now     func() time.Time
	NewUUID func() string
	// WarnUndeclared warns of variables in var files that the template does not declare.
	WarnUndeclared bool
	// PackerVersion is what the template sees as packer.version; PackerVersion unless set.
	PackerVersion string
	// ReadAnywhere lets functions such as file read outside the template's folder and the current one. It is for the
	// templates of the person at the keyboard, who could read those files anyway.
	ReadAnywhere bool
}

// Template is a template with everything resolved.
type Template struct {
	Path string // as given
	// Dir is the template's folder, absolute; Root the same folder as path.root shows it.
	Dir, Root   string
	Files       []string // that the template consists of, var files included
	Inputs      []string // that functions read while it was resolved, absolute
	Legacy      bool     // JSON of the older kind
	Description string
	Variables   []Variable
	Builds      []Build
	// Secrets are the values of sensitive variables and locals; logs must not show them.
	Secrets []string
	// Private are the values of sensitive arguments, such as ssh_password. They are not to be stored in clear, but may be
	// ordinary words ("vagrant"), so a log cannot hide them wherever they stand.
	Private []string
}

// Sources returns the sources of all builds in the order of the template.
func (t *Template) Sources() []*Source {
	var all []*Source
	for i := range t.Builds {
		for j := range t.Builds[i].Sources {
			all = append(all, &t.Builds[i].Sources[j])
		}
	}
	return all
}

// Variable is an input of a template. Values are JSON.
type Variable struct {
	Name        string
	Type        string // as in the template; empty if it was not given
	Description string
	Sensitive   bool
	Default     json.RawMessage // nil if a value must be given
	Value       json.RawMessage // nil if there is none
	// From tells where the value comes from: "default", "environment", "-var", or a var file.
	From string
	Pos  Pos
}

// Build is a build block, or the whole of a JSON template.
type Build struct {
	Name        string
	Description string
	Sources     []Source
	Pos         Pos
}

// Source is a source as one build uses it.
type Source struct {
	Type string
	Name string // as the build calls it
	// Declared is the name of the source block; it differs from Name only if the build renames it.
	Declared  string
	BuildName string // of the build block; may be empty
	Legacy    bool   // from a JSON template
	Args      json.RawMessage
	Volatile  []Use

	Provisioners   []Provisioner
	ErrorCleanup   *Provisioner
	PostProcessors [][]PostProcessor // chains
	Pos            Pos
	// Missing is empty if the source can be built with all that follows it; otherwise it says what is missing.
	Missing string
}

// Label is the name under which Packer prints and selects the source: "qemu.debian", after the build's name if it has
// one; in JSON templates the name alone.
func (s *Source) Label() string {
	switch {
	case s.Legacy:
		return s.Name
	case s.BuildName != "":
		return s.BuildName + "." + s.Type + "." + s.Name
	}
	return s.Type + "." + s.Name
}

// Provisioner is a provisioner of one source.
type Provisioner struct {
	Type, Name      string
	Args            json.RawMessage
	Volatile        []Use
	PauseBefore     time.Duration
	Timeout         time.Duration // zero for none
	MaxRetries      int
	ContinueOnError bool
	Cache           *bool         // nil where the template says nothing
	CacheMaxAge     time.Duration // zero for what holds for the source
	Pos             Pos
}

// PostProcessor is a post-processor of one source.
type PostProcessor struct {
	Type, Name        string
	Args              json.RawMessage
	Volatile          []Use
	KeepInputArtifact *bool
	Pos               Pos
}

// Use tells that an argument's value differs in every run, and by which function, such as timestamp.
type Use struct {
	Arg      string `json:"arg"`
	Function string `json:"function"`
}
