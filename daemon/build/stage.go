package build

import "time"

// Stage is a part of a build whose outcome can be kept and used again: the installed machine, the machine after each
// provisioner, and the artifact. Its fingerprint covers everything that went into it and into the stages before it.
type Stage struct {
	// Name is "installed", the name of a provisioner's step ("provision[1] shell"), or "artifact".
	Name string `json:"name"`
	// Fingerprint is a sha256, in lower-case hex.
	Fingerprint string `json:"fingerprint"`
	// Reads are the stage's own ingredients, in a fixed order. They tell what changed between two fingerprints.
	Reads []Ingredient `json:"reads"`
	// Never says why the stage must neither be kept nor taken from what was kept; empty if it may be. What makes one stage
	// uncacheable makes all later ones so.
	Never string `json:"never,omitempty"`
	// MaxAge is how old what was kept may be to be used again. A checkpoint counts from when it was made.
	MaxAge time.Duration `json:"max_age"`
	// Fresh stages are made anew whatever was kept, and then kept.
	Fresh bool `json:"fresh,omitempty"`
}

// Ingredient is one input of a stage: an argument such as "boot_command", a file such as "scripts/web.sh", or "media".
// The digest is a sha256 in hex; secrets enter it under a key of the installation, so that it gives nothing away.
type Ingredient struct {
	Name   string `json:"name"`
	Digest string `json:"digest"`
}

// The names of the first and the last stage.
const (
	StageInstalled = "installed"
	StageArtifact  = "artifact"
)

// DefaultCacheMaxAge is how old a stage may be to be used again, unless somebody says otherwise: last month's packages in a
// golden image are worse than a slow build.
const DefaultCacheMaxAge = 24 * time.Hour

// StageOptions are what the fingerprints of a plan depend on besides the plan.
type StageOptions struct {
	// Media is the digest of the installation medium: the checksum that the template declares, or else the sha256 of its
	// bytes. While it is not known the stages of a plan with a medium cannot be cached.
	Media string
	// Source is the digest of Machine.Source if that is downloaded, as Media.
	Source string
	// SecretKey belongs to this installation. Secrets enter fingerprints as an HMAC under it.
	SecretKey []byte
	// DefaultMaxAge is the age limit of stages that have none of their own; 0 for DefaultCacheMaxAge.
	DefaultMaxAge time.Duration
}
