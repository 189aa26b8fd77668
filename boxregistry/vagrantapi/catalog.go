package vagrantapi

import (
	"context"
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/internal/auth"
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
	URL                 string `json:"url"`                     // absolute; relative ones are not resolved
	ChecksumType        string `json:"checksum_type,omitempty"` // lower case: Vagrant before 2.4.2 refuses "SHA256"
	Checksum            string `json:"checksum,omitempty"`
	Architecture        string `json:"architecture"`
	DefaultArchitecture bool   `json:"default_architecture"`
}

// newCatalog lists the versions that clients of a channel may see. link makes the URL of a path here. oneEach leaves one
// entry for each provider, the default architecture, for clients that know of no architectures.
func newCatalog(box boxregistry.Box, k catalogKey, link func(path string) string) catalog {
	c := catalog{
		Name: k.called(), Description: box.Description, ShortDescription: box.ShortDescription,
		Versions: []catalogVersion{},
	}
	for _, rel := range box.VisibleIn(k.channel) {
		v := catalogVersion{Version: rel.Version.String(), Status: "active", DescriptionHTML: asHTML(rel.Description),
			DescriptionMarkdown: rel.Description}
		for _, f := range files(rel, k.oneEach) {
			sum := checksumOf(f)
			v.Providers = append(v.Providers, catalogProvider{
				Name: string(f.Provider), URL: link(f.Path(box.Name, rel.Version)), ChecksumType: sum.Type, Checksum: sum.Hex,
				Architecture: string(f.Architecture), DefaultArchitecture: f.Default,
			})
		}
		if len(v.Providers) > 0 { // Vagrant 2.3.4 would choose it, and ask for ever for one of no providers
			c.Versions = append(c.Versions, v)
		}
	}
	return c
}

// files is in the order of the release: each provider's default comes last, since clients before 2.4 take the last
// entry of a provider, whatever its architecture (harvester/ipxe-examples#108).
func files(rel boxregistry.Release, oneEach bool) []boxregistry.File {
	return slices.DeleteFunc(slices.Clone(rel.Files), func(f boxregistry.File) bool {
		return !f.Complete() || oneEach && !f.Default
	})
}

// oldClient matches the agents of Vagrant before 2.4, which know of no architectures.
var oldClient = regexp.MustCompile(`^Vagrant/(1|2\.[0-3])\.`)

// boxOrPage gives browsers the page and everybody else the catalog. Vagrant always asks for JSON here; a server that
// answered with HTML cut off every client before 2.4 (hashicorp/vagrant#13571).
func (a *API) boxOrPage(c *gin.Context) {
	c.Writer.Header()["Vary"] = varyValue
	if a.o.Page != nil && wantsHTML(c.GetHeader("Accept")) {
		a.o.Page(c)
		return
	}
	a.catalog(c)
}

// catalogKey is everything that the document depends on, besides the box.
type catalogKey struct {
	name    boxregistry.Name
	channel boxregistry.Channel
	suffix  bool // the channel is part of the name that was asked for
	oneEach bool
	base    string
	// token and period are those of signed URLs; zero for plain ones. trusted is set when the viewer may see private boxes.
	token, period int64
	trusted       bool
}

// called is the box's name in the catalog: what the client asked for, else Vagrant refuses the whole.
func (k catalogKey) called() string {
	if k.suffix {
		return k.name.Followed(k.channel)
	}
	return k.name.String()
}

// page is a rendered catalog. One that is not for everybody has no body unless its key is trusted.
type page struct {
	private bool // the box is
	body    []byte
}

// key reads what was asked for. "/org/box~candidate" names the channel in the name, and "/org/box?channel=candidate" beside it,
// for those who have the name in their Vagrantfile and give a URL.
func (a *API) key(c *gin.Context) (catalogKey, error) {
	name, channel, err := named(c)
	k := catalogKey{name: name, channel: channel, suffix: channel != boxregistry.Stable, base: a.o.BaseURL.For(c.Request),
		oneEach: oldClient.MatchString(c.GetHeader("User-Agent"))}
	if q := c.Request.URL.RawQuery; err == nil && q != "" && c.Query("channel") != "" {
		k.channel, err = boxregistry.ParseChannel(c.Query("channel"))
		k.suffix = false
	}
	return k, err
}

// rendered is the catalog for whoever asks. What strangers may know of a box is looked up first, and that it is private is kept
// too.
func (a *API) rendered(c *gin.Context) (page, error) {
	k, err := a.key(c)
	if err != nil {
		return page{}, err
	}
	p, err := a.catalogPage(c.Request.Context(), k)
	if err != nil || p.body != nil {
		return p, err
	}
	who := auth.PrincipalFrom(c.Request.Context())
	if !a.sees(who, k.name.Org(), p.private) {
		return p, boxregistry.ErrNotFound
	}
	k.trusted = true
	if a.signs.ready(who) {
		k.token, k.period = who.Token, a.signs.period()
	}
	return a.catalogPage(c.Request.Context(), k)
}

func (a *API) catalogPage(ctx context.Context, k catalogKey) (page, error) {
	revision, keep := a.revision(k.name)
	return a.catalogs.load(ctx, k, revision, keep, func(ctx context.Context) (page, int, error) {
		box, err := a.boxes.Box(ctx, k.name)
		if err != nil {
			return page{}, 0, err
		}
		p := page{private: box.Private}
		if (box.Private || a.o.Closed) && !k.trusted {
			return p, 0, nil
		}
		p.body, err = json.Marshal(newCatalog(box, k, a.linker(k)))
		return p, len(p.body), err
	})
}

// linker makes URLs, signed when the key has a token.
func (a *API) linker(k catalogKey) func(path string) string {
	if k.token == 0 {
		return func(path string) string { return k.base + path }
	}
	return func(path string) string { return k.base + a.signs.sign(k.token, k.period, path) }
}

// Values of headers that every catalog has. They are made once, since a catalog is asked for thousands of times in a second
// when a fleet comes up.
var (
	varyValue    = []string{"Accept, User-Agent"}
	noCacheValue = []string{"no-cache"}
	privateValue = []string{"private, no-cache"}
	noSniffValue = []string{"nosniff"}
	jsonValue    = []string{"application/json; charset=utf-8"}
)

// catalog writes the whole document whatever Range asks for: Vagrant sends "--continue-at -" for catalogs too, and a
// part of one is of no use.
func (a *API) catalog(c *gin.Context) {
	h := c.Writer.Header()
	h["Vary"], h["Cache-Control"], h["X-Content-Type-Options"] = varyValue, noCacheValue, noSniffValue
	p, err := a.rendered(c)
	if err != nil {
		a.fail(c, err)
		return
	}
	if p.private || a.o.Closed {
		h["Cache-Control"] = privateValue
	}
	h["Content-Type"] = jsonValue
	h["Content-Length"] = []string{strconv.Itoa(len(p.body))} // for HEAD too
	c.Status(http.StatusOK)
	_, _ = c.Writer.Write(p.body) // whoever went away needs no answer
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
