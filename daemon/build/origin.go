package build

import (
	"path"
	"path/filepath"
)

// Origin is where a template came from, as its user had it when the plan was made. Provenance tells it; nothing else reads it.
type Origin struct {
	// Files are the template's own, those with values of its variables, and those that its functions read. The digest of a file
	// that holds the value of a sensitive variable is left out: the rest of the file may be known, and then it could be guessed.
	Files []Input `json:"files,omitempty"`
	// Checkout is the git checkout that the template's folder lies in.
	Checkout *Checkout `json:"checkout,omitempty"`
}

// Checkout is a state of a git checkout.
type Checkout struct {
	Remote   string `json:"remote,omitempty"` // URL of "origin", without a password
	Commit   string `json:"commit"`           // hexadecimal
	Modified bool   `json:"modified,omitempty"`
}

// Shown is a path of the user's machine as others may see it: relative to the template's folder or to where the build was
// started, else its last element.
func (p *Plan) Shown(name string) string {
	return display(p, path.Clean(filepath.ToSlash(name)))
}
