package upstream

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/boxkiln/boxkiln/boxregistry"
)

// Catalog is the document that Vagrant reads of a box (lib/vagrant/box_metadata.rb), with the fields that Vagrant Cloud
// adds.
type Catalog struct {
	Name             string           `json:"name"`
	Description      string           `json:"description"`
	ShortDescription string           `json:"short_description"`
	Private          bool             `json:"private,omitempty"`
	Versions         []CatalogVersion `json:"versions"`
}

// CatalogVersion is a version in a Catalog.
type CatalogVersion struct {
	Version             string            `json:"version"`
	Status              string            `json:"status"` // active, or of Vagrant Cloud's API unreleased or revoked
	Description         string            `json:"description,omitempty"`
	DescriptionMarkdown string            `json:"description_markdown"`
	Providers           []CatalogProvider `json:"providers"`
}

// CatalogProvider is a file in a Catalog.
type CatalogProvider struct {
	Name                string `json:"name"`
	URL                 string `json:"url"`
	DownloadURL         string `json:"download_url,omitempty"` // what Vagrant Cloud's API has instead
	ChecksumType        string `json:"checksum_type"`
	Checksum            string `json:"checksum"`
	Architecture        string `json:"architecture"`
	DefaultArchitecture bool   `json:"default_architecture"`
}

// ErrNoCatalog says that a document is no catalog.
var ErrNoCatalog = errors.New("not a catalog of a box")

// ParseCatalog reads a catalog. It is an ErrNoCatalog if it has no list of versions.
func ParseCatalog(data []byte) (Catalog, error) {
	var c struct {
		Catalog
		Versions *[]CatalogVersion `json:"versions"`
	}
	if err := json.Unmarshal(bytes.TrimPrefix(data, []byte("\ufeff")), &c); err != nil {
		return Catalog{}, fmt.Errorf("%w: %w", ErrNoCatalog, err)
	}
	if c.Versions == nil {
		return Catalog{}, fmt.Errorf(`%w: it has no "versions"`, ErrNoCatalog)
	}
	c.Catalog.Versions = *c.Versions
	return c.Catalog, nil
}

// Locator says where the bytes are that a catalog names by a URL or a path.
type Locator func(url string) (Origin, error)

// Box turns the document into typed values. What Vagrant could not use is passed over and said: versions of another
// grammar or equal to another one, files whose name, checksum or address is bad.
func (c Catalog) Box(locate Locator) (Box, []Skipped) {
	b := Box{Name: c.Name, ShortDescription: c.ShortDescription, Description: c.Description, Private: c.Private}
	offer := Offer{}
	for _, v := range c.Versions {
		if v.Status == "unreleased" || v.Status == "revoked" {
			continue
		}
		number, err := boxregistry.ParseVersion(v.Version)
		if err != nil {
			offer.skip(c.Name+" "+v.Version, err)
			continue
		}
		if other, ok := b.version(number); ok {
			offer.skip(c.Name+" "+v.Version, fmt.Errorf("%w: to Vagrant it is the same as %s", boxregistry.ErrExists, other.Number))
			continue
		}
		description := v.DescriptionMarkdown
		if description == "" {
			description = v.Description
		}
		version := Version{Number: number, Description: description, Files: v.files(c.Name, locate, &offer)}
		if len(version.Files) > 0 {
			b.Versions = append(b.Versions, version)
		}
	}
	b.sort()
	return b, offer.Skipped
}

func (b *Box) version(number boxregistry.Version) (*Version, bool) {
	i := slices.IndexFunc(b.Versions, func(v Version) bool { return v.Number.Compare(number) == 0 })
	if i < 0 {
		return nil, false
	}
	return &b.Versions[i], true
}

// sort puts the highest version first.
func (b *Box) sort() {
	slices.SortFunc(b.Versions, func(v, w Version) int { return w.Number.Compare(v.Number) })
}

// files reads the files of a version. Of several entries for one provider and architecture the last counts, as it does
// for Vagrant before 2.4.
func (v CatalogVersion) files(box string, locate Locator, offer *Offer) []File {
	var out []File
	for _, p := range v.Providers {
		f, err := p.file(locate)
		if err != nil {
			offer.skip(fmt.Sprintf("%s %s %s", box, v.Version, p.Name), err)
			continue
		}
		same := func(g File) bool { return g.Provider == f.Provider && g.Architecture == f.Architecture }
		if i := slices.IndexFunc(out, same); i >= 0 {
			offer.skip(fmt.Sprintf("%s %s %s", box, v.Version, f), errors.New("the catalog has two entries for it; the last one counts"))
			out[i] = f
			continue
		}
		out = append(out, f)
	}
	return out
}

func (p CatalogProvider) file(locate Locator) (File, error) {
	provider, err := boxregistry.ParseProvider(p.Name)
	if err != nil {
		return File{}, err
	}
	var arch boxregistry.Architecture
	if p.Architecture != "" {
		if arch, err = boxregistry.ParseArchitecture(p.Architecture); err != nil {
			return File{}, err
		}
	}
	sum, err := ParseChecksum(p.ChecksumType, p.Checksum)
	if err != nil {
		return File{}, err
	}
	at := p.URL
	if at == "" {
		at = p.DownloadURL
	}
	if at == "" {
		return File{}, errors.New("it has no file: the entry has no url")
	}
	origin, err := locate(at)
	return File{Provider: provider, Architecture: arch, Default: p.DefaultArchitecture, Checksum: sum, Origin: origin}, err
}
