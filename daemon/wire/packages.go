package wire

import "github.com/boxkiln/boxkiln/boxregistry/sbom"

// NamedFile is one file of a box by all that it is called.
type NamedFile struct {
	Box          string `json:"box"` // org/name
	Version      string `json:"version"`
	Provider     string `json:"provider"`
	Architecture string `json:"architecture"`
	SHA256       string `json:"sha256"`
}

// String is the file in one line, without its digest.
func (f NamedFile) String() string {
	return f.Box + " " + f.Version + " " + f.Provider + "/" + f.Architecture
}

// PackageList is what is installed in a file of a box.
type PackageList struct {
	File     NamedFile      `json:"file"`
	System   sbom.System    `json:"system"`
	Packages []sbom.Package `json:"packages"` // by type and name
}

// PackageDiff is what became of the packages of one file in another.
type PackageDiff struct {
	From    NamedFile    `json:"from"`
	To      NamedFile    `json:"to"`
	Changes sbom.Changes `json:"changes"`
}

// ParityReport is what the files of one version do not have in common.
type ParityReport struct {
	Box     string      `json:"box"`
	Version string      `json:"version"`
	Parity  sbom.Parity `json:"parity"`
	// Unknown are files of which nobody recorded what is installed, as "provider/architecture".
	Unknown []string `json:"unknown"`
}
