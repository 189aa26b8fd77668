package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/boxkiln/boxkiln/boxregistry/provenance"
)

// origin is what a file was built from, as its page shows it. It is read from an in-toto statement with a SLSA provenance
// (https://slsa.dev/spec/v1.0/provenance), or from the flat object that boxkiln wrote before; what is missing stays empty,
// and what is not understood is in Raw.
type origin struct {
	Build      string
	BuildPath  string // of the build's page; empty when the build is not one of this daemon
	Template   string
	Source     string
	Driver     string
	Hypervisor string
	Builder    string
	Started    time.Time
	Took       string
	Inputs     []input
	Raw        string // indented JSON
}

// input is something that went into a build.
type input struct {
	Role     string
	Name     string
	URI      string
	Digest   string // "sha256:..." or "git ..."; empty when there is none
	Modified bool   // a git checkout that was not as committed
}

// flatProvenance is the older form.
type flatProvenance struct {
	Build       string `json:"build"`
	Template    string `json:"template"`
	Source      string `json:"source"`
	Driver      string `json:"driver"`
	MediaURL    string `json:"media_url"`
	MediaSHA256 string `json:"media_sha256"`
}

// originOf reads what a file was built from, or returns nil when that is not known.
func (s *Site) originOf(ctx context.Context, raw json.RawMessage) (*origin, error) {
	var b bytes.Buffer
	if len(raw) == 0 || string(raw) == "null" || json.Indent(&b, raw, "", "  ") != nil {
		return nil, nil
	}
	p := readOrigin(raw)
	p.Raw = b.String()
	if p.Build == "" {
		return &p, nil
	}
	_, err := s.Builds.Build(ctx, p.Build)
	switch {
	case err == nil:
		p.BuildPath = buildPath(p.Build)
	case errors.Is(err, ErrNotFound): // it ran elsewhere, or is forgotten
		err = nil
	}
	return &p, err
}

// readOrigin takes what it knows from JSON that may be anything.
func readOrigin(raw json.RawMessage) origin {
	if s, err := provenance.Parse(raw); err == nil {
		return statementOrigin(s)
	}
	var f flatProvenance
	if json.Unmarshal(raw, &f) != nil {
		return origin{}
	}
	o := origin{Build: f.Build, Template: f.Template, Source: f.Source, Driver: f.Driver}
	if f.MediaURL != "" || f.MediaSHA256 != "" {
		o.Inputs = []input{{Role: "medium", URI: f.MediaURL, Digest: digestText(f.MediaSHA256, "")}}
	}
	return o
}

func statementOrigin(s provenance.Statement) origin {
	definition, run := s.Predicate.BuildDefinition, s.Predicate.RunDetails
	o := origin{Build: run.Metadata.InvocationID, Template: definition.External.Template, Source: definition.External.Source,
		Driver: definition.Internal.Driver, Builder: run.Builder.Version.Boxkiln, Started: run.Metadata.StartedOn}
	o.Hypervisor = strings.TrimSpace(definition.Internal.Hypervisor + " " + definition.Internal.Accelerator)
	if end := run.Metadata.FinishedOn; !o.Started.IsZero() && end.After(o.Started) {
		o.Took = duration(end.Sub(o.Started))
	}
	for _, r := range definition.Resolved {
		o.Inputs = append(o.Inputs, input{Role: string(r.Annotations.Role), Name: r.Name, URI: r.URI,
			Digest: digestText(r.Digest.SHA256, r.Digest.GitCommit), Modified: r.Annotations.Modified})
	}
	return o
}

func digestText(sha256, commit string) string {
	switch {
	case sha256 != "":
		return "sha256:" + strings.TrimPrefix(sha256, "sha256:")
	case commit != "":
		return "git " + commit
	}
	return ""
}

// WebURI is the input's place if a browser can go there.
func (i input) WebURI() string {
	if strings.HasPrefix(i.URI, "https://") || strings.HasPrefix(i.URI, "http://") {
		return i.URI
	}
	return ""
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
