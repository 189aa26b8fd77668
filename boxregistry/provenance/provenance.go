// Package provenance says what a box was built from, and lets anybody check that.
//
// A [Statement] is an in-toto Statement v1 (https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md) with a SLSA
// Provenance v1 predicate (https://slsa.dev/spec/v1.0/provenance): the subject is the box by its sha256, the dependencies are
// everything that went into the build, by digest where there is one. Whoever builds describes the build in a [Record];
// [New] makes the statement of it and [Parse] reads one. Fields that SLSA does not have begin with "boxkiln_".
//
// [Identity] is what a file of a box is called in signatures, and [Verify] checks a box with the files beside it.
package provenance

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/boxkiln/boxkiln/boxregistry/sbom"
)

// The types of the parts, fixed by their specifications.
const (
	StatementType = "https://in-toto.io/Statement/v1"
	PredicateType = "https://slsa.dev/provenance/v1"
	// BuildType says what the parameters mean.
	BuildType = "https://github.com/boxkiln/boxkiln/blob/main/docs/provenance.md#build-type"
)

// FileName is what a statement is called beside a box.
const FileName = "provenance.json"

// ErrStatement says that bytes are no statement of the form that is read here.
var ErrStatement = errors.New("not a provenance statement of boxkiln")

// Statement binds a box to what it was built from.
type Statement struct {
	Type          string     `json:"_type"`
	Subject       []Resource `json:"subject"`
	PredicateType string     `json:"predicateType"`
	Predicate     Predicate  `json:"predicate"`
}

// Resource is an in-toto ResourceDescriptor: something by name, place and digest.
type Resource struct {
	Name        string      `json:"name,omitempty"`
	URI         string      `json:"uri,omitempty"`
	Digest      Digest      `json:"digest,omitzero"`
	MediaType   string      `json:"mediaType,omitempty"`
	Annotations Annotations `json:"annotations,omitzero"`
}

// Digest is a digest set, in hexadecimal.
type Digest struct {
	SHA256    string `json:"sha256,omitempty"`
	GitCommit string `json:"gitCommit,omitempty"`
}

// Annotations say what part a resource has in the build.
type Annotations struct {
	Role Role `json:"boxkiln_role,omitempty"`
	// Modified says that the files of a git checkout were not all as in that commit.
	Modified bool `json:"boxkiln_modified,omitempty"`
}

// Role is the part that a resource has in a build.
type Role string

// The roles.
const (
	RoleTemplate Role = "template" // a file of the template, or with values of its variables
	RoleInput    Role = "input"    // a file that the template names: script, seed, upload
	RoleMedium   Role = "medium"   // the installation medium or disk image
	RoleBaseBox  Role = "base box" // the box whose disk the build began with
	RoleSource   Role = "source"   // the git checkout that the template lies in
)

// Predicate is the SLSA provenance.
type Predicate struct {
	BuildDefinition Definition `json:"buildDefinition"`
	RunDetails      Run        `json:"runDetails"`
}

// Definition is what would have to be done again to build the box again.
type Definition struct {
	BuildType string     `json:"buildType"`
	External  External   `json:"externalParameters"`
	Internal  Internal   `json:"internalParameters"`
	Resolved  []Resource `json:"resolvedDependencies"`
}

// External are the parameters that the user chose.
type External struct {
	Template     string `json:"template"` // its name
	Source       string `json:"source"`   // of the template, as the log names it: "qemu.debian"
	Box          string `json:"box"`
	Version      string `json:"version"`
	Provider     string `json:"provider"`
	Architecture string `json:"architecture"`
}

// Internal are the parameters that the build host set.
type Internal struct {
	Driver      string `json:"driver"`
	Hypervisor  string `json:"hypervisor,omitempty"`  // its version, where it is known
	Accelerator string `json:"accelerator,omitempty"` // "kvm", "tcg"
	Firmware    string `json:"firmware,omitempty"`    // "bios", "uefi"
}

// Run is the build that made the box.
type Run struct {
	Builder    Builder    `json:"builder"`
	Metadata   Metadata   `json:"metadata"`
	Byproducts []Resource `json:"byproducts,omitempty"`
}

// Builder is the installation of Boxkiln that ran the build.
type Builder struct {
	ID      string   `json:"id"`
	Version Versions `json:"version"`
}

// Versions are those of the builder's parts.
type Versions struct {
	Boxkiln string `json:"boxkiln"`
}

// Metadata is about the run.
type Metadata struct {
	InvocationID string    `json:"invocationId"` // the build's id
	StartedOn    time.Time `json:"startedOn,omitzero"`
	FinishedOn   time.Time `json:"finishedOn,omitzero"`
	Attempt      int       `json:"boxkiln_attempt,omitempty"`
	ArtifactOf   string    `json:"boxkiln_artifact_of,omitempty"` // id of the earlier build that made what this one packed or published unchanged
	Steps        []Step    `json:"boxkiln_steps,omitempty"`
	Smoke        *Smoke    `json:"boxkiln_smoke,omitempty"`
	// Packaging is there when the machine was made into packages of several hypervisors.
	Packaging *Packaging `json:"boxkiln_packaging,omitempty"`
}

// Step is one step of the build, up to the publication.
type Step struct {
	Name    string  `json:"name"`
	Phase   string  `json:"phase"`             // done, failed, cached; began for one that runs still
	Seconds float64 `json:"seconds,omitempty"` // how long it took
}

// Packaging is what was known of the guest when it was made into packages for hypervisors that it was not installed on.
type Packaging struct {
	// Guest is what the guest said of its system and its drivers; empty if nobody could ask.
	Guest json.RawMessage `json:"guest,omitempty"`
	// Warnings say what keeps it from starting, or from being reached, on one of them.
	Warnings []string `json:"warnings,omitempty"`
}

// Smoke is how the packed box did when it was booted once.
type Smoke struct {
	Passed bool      `json:"passed"`
	Detail string    `json:"detail,omitempty"`
	At     time.Time `json:"at"`
}

// Record is a build in its own words; New makes a statement of it.
type Record struct {
	Identity     Identity
	Template     string
	Source       string
	Internal     Internal
	Dependencies []Resource
	Builder      string // id of the installation
	Version      string // of Boxkiln
	Metadata     Metadata
	Log          string // path of the build's page; empty if there is none
	SBOM         []byte // the list of packages; nil if there is none
	// Images are the URIs of images in a cloud that the box names.
	Images []string
}

// New makes the statement about a build.
func New(r Record) Statement {
	s := Statement{Type: StatementType, PredicateType: PredicateType, Subject: []Resource{r.Identity.resource()}}
	s.Predicate.BuildDefinition = Definition{BuildType: BuildType, Internal: r.Internal, Resolved: r.Dependencies, External: External{
		Template: r.Template, Source: r.Source, Box: r.Identity.Box.String(), Version: r.Identity.Version.String(),
		Provider: string(r.Identity.Provider), Architecture: string(r.Identity.Architecture)}}
	if s.Predicate.BuildDefinition.Resolved == nil {
		s.Predicate.BuildDefinition.Resolved = []Resource{}
	}
	run := Run{Builder: Builder{ID: "urn:boxkiln:" + r.Builder, Version: Versions{r.Version}}, Metadata: r.Metadata}
	if r.SBOM != nil {
		run.Byproducts = append(run.Byproducts, Resource{Name: sbom.FileName, MediaType: sbom.MediaType, Digest: Digest{SHA256: sum(r.SBOM)}})
	}
	for _, uri := range r.Images {
		run.Byproducts = append(run.Byproducts, Resource{Name: "image", URI: uri})
	}
	if r.Log != "" {
		run.Byproducts = append(run.Byproducts, Resource{Name: "log", URI: r.Log})
	}
	s.Predicate.RunDetails = run
	return s
}

// Parse reads a statement. The error wraps ErrStatement: other JSON, or a statement about something else.
func Parse(data []byte) (Statement, error) {
	var s Statement
	if err := json.Unmarshal(data, &s); err != nil {
		return s, fmt.Errorf("%w: %w", ErrStatement, err)
	}
	switch {
	case s.Type != StatementType || s.PredicateType != PredicateType:
		return s, fmt.Errorf("%w: type %.80q with predicate %.80q", ErrStatement, s.Type, s.PredicateType)
	case len(s.Subject) != 1 || s.Subject[0].Digest.SHA256 == "":
		return s, fmt.Errorf("%w: want one subject with a sha256", ErrStatement)
	}
	return s, nil
}

// Byproduct finds what the build made besides the box, such as sbom.FileName.
func (s Statement) Byproduct(name string) (Resource, bool) {
	for _, r := range s.Predicate.RunDetails.Byproducts {
		if r.Name == name {
			return r, true
		}
	}
	return Resource{}, false
}

// With lists the dependencies that have a role.
func (s Statement) With(role Role) []Resource {
	var out []Resource
	for _, r := range s.Predicate.BuildDefinition.Resolved {
		if r.Annotations.Role == role {
			out = append(out, r)
		}
	}
	return out
}
