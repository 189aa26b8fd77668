package vagrantapi

import (
	"encoding/json"
	"html"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/boxkiln/boxkiln/boxregistry"
)

// catalog is the document that lib/vagrant/box_metadata.rb reads, with the fields that Vagrant Cloud adds.
type catalog struct {
	Name             string           `json:"name"` // must be what the user asked for, else BoxAddNameMismatch
	Description      string           `json:"description"`
	ShortDescription string           `json:"short_description"`
	Versions         []catalogVersion `json:"versions"`
}

type catalogVersion struct {
	Version             string            `json:"version"`
	Status              string            `json:"status"` // no client reads it: what must not be used must not be listed
	DescriptionHTML     string            `json:"description_html"`
	DescriptionMarkdown string            `json:"description_markdown"`
	Providers           []catalogProvider `json:"providers"`
}

// catalogProvider always has both architecture fields: without them Vagrant 2.4.0 to 2.4.3 see no updates at all
// (hashicorp/vagrant#13285).
type catalogProvider struct {
	Name                string `json:"name"`
	URL                 string `json:"url"`           // absolute; relative ones are not resolved
	ChecksumType        string `json:"checksum_type"` // lower case: Vagrant before 2.4.2 refuses "SHA256"
	Checksum            string `json:"checksum"`
	Architecture        string `json:"architecture"`
	DefaultArchitecture bool   `json:"default_architecture"`
}

// newCatalog lists the versions that clients may see. oneEach leaves one entry for each provider, the default
// architecture, for clients that know of no architectures.
func newCatalog(box boxregistry.Box, base string, oneEach bool) catalog {
	c := catalog{
		Name: box.Name.String(), Description: box.Description, ShortDescription: box.ShortDescription,
		Versions: []catalogVersion{},
	}
	for _, rel := range box.Visible() {
		v := catalogVersion{Version: rel.Version.String(), Status: "active", DescriptionMarkdown: rel.Description}
		if rel.Description != "" {
			v.DescriptionHTML = "<p>" + html.EscapeString(rel.Description) + "</p>\n"
		}
		for _, f := range files(rel, oneEach) {
			v.Providers = append(v.Providers, catalogProvider{
				Name: string(f.Provider), URL: base + f.Path(box.Name, rel.Version),
				ChecksumType: "sha256", Checksum: string(f.Digest),
				Architecture: string(f.Architecture), DefaultArchitecture: f.Default,
			})
		}
		c.Versions = append(c.Versions, v)
	}
	return c
}

// files is in the order of the release: each provider's default comes last, since clients before 2.4 take the last
// entry of a provider, whatever its architecture (harvester/ipxe-examples#108).
func files(rel boxregistry.Release, oneEach bool) []boxregistry.File {
	if !oneEach {
		return rel.Files
	}
	return slices.DeleteFunc(slices.Clone(rel.Files), func(f boxregistry.File) bool { return !f.Default })
}

// oldClient matches the agents of Vagrant before 2.4, which know of no architectures.
var oldClient = regexp.MustCompile(`^Vagrant/(1|2\.[0-3])\.`)

// boxOrPage gives browsers the page and everybody else the catalog. Vagrant always asks for JSON here; a server that
// answered with HTML cut off every client before 2.4 (hashicorp/vagrant#13571).
func (a *API) boxOrPage(c *gin.Context) {
	c.Header("Vary", "Accept, User-Agent")
	if a.page != nil && wantsHTML(c.GetHeader("Accept")) {
		a.page(c)
		return
	}
	a.catalog(c)
}

// catalog writes the whole document whatever Range asks for: Vagrant sends "--continue-at -" for catalogs too, and a
// part of one is of no use.
func (a *API) catalog(c *gin.Context) {
	h := c.Writer.Header()
	h.Set("Vary", "Accept, User-Agent")
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Content-Type-Options", "nosniff")
	box, err := a.box(c)
	if err != nil {
		a.fail(c, err)
		return
	}
	body, err := json.Marshal(newCatalog(box, a.base.For(c.Request), oldClient.MatchString(c.GetHeader("User-Agent"))))
	if err != nil {
		a.fail(c, err)
		return
	}
	h.Set("Content-Length", strconv.Itoa(len(body))) // for HEAD too
	c.Data(http.StatusOK, "application/json; charset=utf-8", body)
}

// wantsHTML reports whether an Accept header names HTML and does not like JSON as well: "*/*" gets JSON, so that curl
// by hand shows what Vagrant sees.
func wantsHTML(accept string) bool {
	var page, data float64
	for part := range strings.SplitSeq(accept, ",") {
		mediaType, params, _ := strings.Cut(part, ";")
		switch strings.ToLower(strings.TrimSpace(mediaType)) {
		case "text/html", "application/xhtml+xml":
			page = max(page, quality(params))
		case "application/json":
			data = max(data, quality(params))
		}
	}
	return page > data
}

// quality reads the q parameter of a media range, 1 when there is none.
func quality(params string) float64 {
	for p := range strings.SplitSeq(params, ";") {
		if value, ok := strings.CutPrefix(strings.ToLower(strings.TrimSpace(p)), "q="); ok {
			q, err := strconv.ParseFloat(value, 64)
			if err != nil {
				return 0
			}
			return q
		}
	}
	return 1
}
