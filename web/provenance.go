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
)

// provenance is what a file was built from, as its page shows it. It is read from an in-toto statement with a SLSA provenance
// (https://slsa.dev/spec/v1.0/provenance), or from the flat object that boxkiln wrote before; what is missing stays empty,
// and what is not understood is in Raw.
type provenance struct {
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

// slsaStatement is what is shown of a statement.
type slsaStatement struct {
	Predicate struct {
		BuildDefinition struct {
			External struct {
				Template string `json:"template"`
				Source   string `json:"source"`
			} `json:"externalParameters"`
			Internal struct {
				Driver      string `json:"driver"`
				Hypervisor  string `json:"hypervisor"`
				Accelerator string `json:"accelerator"`
			} `json:"internalParameters"`
			Resolved []slsaResource `json:"resolvedDependencies"`
		} `json:"buildDefinition"`
		RunDetails struct {
			Builder struct {
				Version struct {
					Boxkiln string `json:"boxkiln"`
				} `json:"version"`
			} `json:"builder"`
			Metadata struct {
				InvocationID string    `json:"invocationId"`
				StartedOn    time.Time `json:"startedOn"`
				FinishedOn   time.Time `json:"finishedOn"`
			} `json:"metadata"`
		} `json:"runDetails"`
	} `json:"predicate"`
}

type slsaResource struct {
	Name   string `json:"name"`
	URI    string `json:"uri"`
	Digest struct {
		SHA256    string `json:"sha256"`
		GitCommit string `json:"gitCommit"`
	} `json:"digest"`
	Annotations struct {
		Role     string `json:"boxkiln_role"`
		Modified bool   `json:"boxkiln_modified"`
	} `json:"annotations"`
}

// provenanceOf reads what a file was built from, or returns nil when that is not known.
func (s *Site) provenanceOf(ctx context.Context, raw json.RawMessage) (*provenance, error) {
	var b bytes.Buffer
	if len(raw) == 0 || string(raw) == "null" || json.Indent(&b, raw, "", "  ") != nil {
		return nil, nil
	}
	p := readProvenance(raw)
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

// readProvenance takes what it knows from JSON that may be anything.
func readProvenance(raw json.RawMessage) provenance {
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) != nil {
		return provenance{}
	}
	if _, isStatement := fields["predicate"]; isStatement {
		return readStatement(raw)
	}
	var f flatProvenance
	if json.Unmarshal(raw, &f) != nil {
		return provenance{}
	}
	p := provenance{Build: f.Build, Template: f.Template, Source: f.Source, Driver: f.Driver}
	if f.MediaURL != "" || f.MediaSHA256 != "" {
		p.Inputs = []input{{Role: "medium", URI: f.MediaURL, Digest: digestText(f.MediaSHA256, "")}}
	}
	return p
}

func readStatement(raw json.RawMessage) provenance {
	var s slsaStatement
	if json.Unmarshal(raw, &s) != nil {
		return provenance{}
	}
	definition, run := s.Predicate.BuildDefinition, s.Predicate.RunDetails
	p := provenance{Build: run.Metadata.InvocationID, Template: definition.External.Template, Source: definition.External.Source,
		Driver: definition.Internal.Driver, Builder: run.Builder.Version.Boxkiln, Started: run.Metadata.StartedOn}
	p.Hypervisor = strings.TrimSpace(definition.Internal.Hypervisor + " " + definition.Internal.Accelerator)
	if end := run.Metadata.FinishedOn; !p.Started.IsZero() && end.After(p.Started) {
		p.Took = duration(end.Sub(p.Started))
	}
	for _, r := range definition.Resolved {
		p.Inputs = append(p.Inputs, input{Role: r.Annotations.Role, Name: r.Name, URI: r.URI,
			Digest: digestText(r.Digest.SHA256, r.Digest.GitCommit), Modified: r.Annotations.Modified})
	}
	return p
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
