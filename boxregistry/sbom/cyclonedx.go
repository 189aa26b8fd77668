package sbom

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// MediaType is that of the documents that Encode writes (https://cyclonedx.org/specification/overview/).
const MediaType = "application/vnd.cyclonedx+json"

// FileName is what such a document is called beside a box.
const FileName = "sbom.cdx.json"

// specVersion is the one that is written. Since 1.5 the fields that are read here have not changed.
const specVersion = "1.6"

// ErrDocument says that bytes are no CycloneDX document that can be read here.
var ErrDocument = errors.New("not a CycloneDX document")

// document is the part of a CycloneDX JSON document that is written and read here.
type document struct {
	Schema       string      `json:"$schema,omitempty"`
	Format       string      `json:"bomFormat"`
	Spec         string      `json:"specVersion"`
	SerialNumber string      `json:"serialNumber,omitempty"`
	Version      int         `json:"version"`
	Metadata     metadata    `json:"metadata"`
	Components   []component `json:"components"`
}

// metadata has no time: the same packages are the same bytes. When the list was made is in the provenance. Tools are written only:
// documents of before 1.5 have them in another form.
type metadata struct {
	Tools     json.RawMessage `json:"tools,omitempty"`
	Component *component      `json:"component,omitempty"`
}

type component struct {
	Ref     string `json:"bom-ref,omitempty"`
	Type    string `json:"type"`
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
	PURL    string `json:"purl,omitempty"`
}

const (
	componentSystem  = "operating-system"
	componentPackage = "library" // what CycloneDX recommends where it is not known to be an application
)

var tool = json.RawMessage(`{"components":[{"type":"application","name":"boxkiln"}]}`)

// Encode writes an inventory as CycloneDX 1.6 JSON. The same inventory gives the same bytes, in whatever order its packages
// are; the serial number is made of them.
func Encode(inv Inventory) ([]byte, error) {
	d := document{Format: "CycloneDX", Spec: specVersion, Version: 1, Schema: "http://cyclonedx.org/schema/bom-" + specVersion + ".schema.json",
		Metadata: metadata{Tools: tool}, Components: []component{}}
	if s := inv.System; s.ID != "" {
		d.Metadata.Component = &component{Ref: "system", Type: componentSystem, Name: s.ID, Version: s.Version}
	}
	for _, p := range sorted(slices.Clone(inv.Packages)) {
		purl := p.PURL(inv.System)
		d.Components = append(d.Components, component{Ref: purl, Type: componentPackage, Name: p.Name, Version: p.Version, PURL: purl})
	}
	content, err := json.Marshal(d)
	if err != nil {
		return nil, err
	}
	const custom = 8 // RFC 9562: the version of a UUID whose bits have a meaning of the maker's own
	d.SerialNumber = "urn:uuid:" + uuid.NewHash(sha256.New(), uuid.Nil, content, custom).String()
	return json.Marshal(d)
}

// Decode reads a CycloneDX document of version 1.5 or 1.6, of ours or of another tool: the components that have a package URL of
// a known type. The error wraps ErrDocument.
func Decode(data []byte) (Inventory, error) {
	var d document
	if err := json.Unmarshal(data, &d); err != nil {
		return Inventory{}, fmt.Errorf("%w: %w", ErrDocument, err)
	}
	if d.Format != "CycloneDX" || d.Spec != "1.5" && d.Spec != specVersion {
		return Inventory{}, fmt.Errorf("%w: format %.40q version %.40q, and CycloneDX 1.5 and %s are read", ErrDocument, d.Format, d.Spec, specVersion)
	}
	var inv Inventory
	if c := d.Metadata.Component; c != nil && c.Type == componentSystem {
		inv.System = System{ID: c.Name, Version: c.Version}
	}
	for _, c := range d.Components {
		switch {
		case c.Type == componentSystem && inv.System.ID == "": // where other tools put it
			inv.System = System{ID: c.Name, Version: c.Version}
		case strings.HasPrefix(c.PURL, "pkg:"):
			if p, ok := parsePURL(c.PURL); ok && check(p) == nil {
				inv.Packages = append(inv.Packages, p)
			}
		}
	}
	inv.Packages = sorted(inv.Packages)
	return inv, nil
}
