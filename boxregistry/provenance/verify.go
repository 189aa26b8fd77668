package provenance

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/blob"
	"github.com/boxkiln/boxkiln/boxregistry/sbom"
	"github.com/boxkiln/boxkiln/boxregistry/signing"
)

// Evidence is a box with the files beside it. A file that is not there is nil.
type Evidence struct {
	Box          io.Reader // read once, to its end
	BoxSignature []byte
	Statement    []byte
	// StatementSignature signs Statement.
	StatementSignature []byte
	SBOM               []byte
}

// Wanted is what the box should be; zero fields leave it open.
type Wanted struct {
	Box          boxregistry.Name
	Version      boxregistry.Version
	Provider     boxregistry.Provider
	Architecture boxregistry.Architecture
	Digest       blob.Digest // what the registry's catalog says
}

// Finding is one check and how it came out.
type Finding struct {
	Check string `json:"check"`           // what was looked at, such as "signature of the box"
	Error string `json:"error,omitempty"` // what is wrong; empty if it holds
}

// Report is the outcome of all checks. Without Failed, the box is the one that was built, as Statement says.
type Report struct {
	Digest    blob.Digest `json:"sha256"`              // of the box that was read
	Identity  string      `json:"box,omitempty"`       // what the signature says that the box is
	Key       string      `json:"key"`                 // id of the key that was checked with
	Findings  []Finding   `json:"checks"`              // in the order in which they were made
	Statement *Statement  `json:"statement,omitempty"` // nil if it could not be read
	Packages  int         `json:"packages,omitempty"`
}

// Failed reports whether any check failed.
func (r Report) Failed() bool {
	for _, f := range r.Findings {
		if f.Error != "" {
			return true
		}
	}
	return false
}

func (r *Report) note(check string, err error) {
	f := Finding{Check: check}
	if err != nil {
		f.Error = err.Error()
	}
	r.Findings = append(r.Findings, f)
}

// Verify checks the box, the statement and the list of packages against the key and each other. All checks are made, whatever
// fails; an error says that the box could not be read.
func Verify(e Evidence, key signing.PublicKey, want Wanted) (Report, error) {
	r := Report{Key: key.ID()}
	comment, digest, signErr, err := checkBox(e, key)
	if err != nil {
		return r, err
	}
	r.Digest = digest
	r.note("signature of the box", signErr)
	var id Identity
	if signErr == nil {
		id, err = ParseIdentity(comment)
		r.Identity = id.String()
		r.note("what the signature says", err)
		r.note("sha256 of the box", differ("sha256", string(digest), string(id.Digest)))
		r.note("name of the box", want.check(id))
	}
	if want.Digest != "" {
		r.note("sha256 in the catalog", differ("sha256", string(digest), string(want.Digest)))
	}
	r.statement(e, key, id)
	return r, nil
}

// checkBox reads the box once, for its sha256 and its signature. err is that of reading.
func checkBox(e Evidence, key signing.PublicKey) (comment string, digest blob.Digest, signErr, err error) {
	read := &remembering{r: e.Box}
	h := sha256.New()
	comment, signErr = key.Check(io.TeeReader(read, h), e.BoxSignature)
	if e.BoxSignature == nil {
		signErr = missing("vagrant.box" + signing.Extension)
	}
	return comment, blob.Digest(hex.EncodeToString(h.Sum(nil))), signErr, read.err
}

// remembering keeps the error of a reader, to tell it from what is wrong with the bytes.
type remembering struct {
	r   io.Reader
	err error
}

func (r *remembering) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}

func missing(file string) error {
	return fmt.Errorf("there is no %s beside the box: only boxes that the registry's own builds made have one", file)
}

func differ(what, have, want string) error {
	if have != want {
		return fmt.Errorf("%s %s, and %s was expected", what, have, want)
	}
	return nil
}

// check compares what the signature says with what the user asked for.
func (w Wanted) check(id Identity) error {
	wrong := func(what string, have, want fmt.Stringer) error {
		return fmt.Errorf("it was signed as %s %s, and %s was asked for: it is genuine, but not what was asked for", what, have, want)
	}
	switch {
	case !w.Box.IsZero() && id.Box != w.Box:
		return wrong("box", id.Box, w.Box)
	case !w.Version.IsZero() && id.Version.Compare(w.Version) != 0:
		return wrong("version", id.Version, w.Version)
	case w.Provider != "" && id.Provider != w.Provider:
		return wrong("provider", word(id.Provider), word(w.Provider))
	case w.Architecture != "" && id.Architecture != w.Architecture:
		return wrong("architecture", word(id.Architecture), word(w.Architecture))
	}
	return nil
}

type word string

func (w word) String() string { return string(w) }

// statement checks the statement and what it says of the box and of the packages.
func (r *Report) statement(e Evidence, key signing.PublicKey, id Identity) {
	const signature, subject = "signature of the provenance", "subject of the provenance"
	if e.Statement == nil || e.StatementSignature == nil {
		name := FileName
		if e.Statement != nil {
			name += signing.Extension
		}
		r.note(signature, missing(name))
		return
	}
	comment, err := key.Check(bytes.NewReader(e.Statement), e.StatementSignature)
	if r.note(signature, err); err != nil {
		return
	}
	s, err := Parse(e.Statement)
	if err != nil {
		r.note(subject, err)
		return
	}
	r.Statement = &s
	about, err := s.Identity()
	if err == nil {
		err = differ("sha256", string(about.Digest), string(r.Digest))
	}
	if err == nil && comment != about.StatementComment() {
		err = fmt.Errorf("it was signed as %q and says that it is of %s", comment, about)
	}
	if err == nil && id != (Identity{}) && about != id {
		err = fmt.Errorf("it is of %s, and the box was signed as %s", about, id)
	}
	r.note(subject, err)
	r.packages(e, s)
}

// packages checks the list of packages, if the build made one.
func (r *Report) packages(e Evidence, s Statement) {
	made, ok := s.Byproduct(sbom.FileName)
	if !ok || e.SBOM == nil {
		return // it is not needed to know what the box is
	}
	r.note("list of packages", differ("sha256", sum(e.SBOM), made.Digest.SHA256))
	if inv, err := sbom.Decode(e.SBOM); err == nil {
		r.Packages = len(inv.Packages)
	}
}
