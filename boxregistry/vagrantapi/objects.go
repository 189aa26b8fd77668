package vagrantapi

import (
	"encoding/json"
	"time"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/internal/auth"
	"github.com/boxkiln/boxkiln/internal/markdown"
)

// timestamp is written as Vagrant Cloud does, to the millisecond. The gem takes what has no created_at for something that
// is not there yet, so it is never null.
type timestamp time.Time

// MarshalJSON implements json.Marshaler.
func (t timestamp) MarshalJSON() ([]byte, error) {
	return []byte(time.Time(t).UTC().Format(`"2006-01-02T15:04:05.000Z"`)), nil
}

// boxObject is a box as lists show it. It holds the fields that the gem knows and no other: one more crashes "vagrant cloud
// search" (vagrant_cloud lib/vagrant_cloud/data.rb, "Unknown parameters provided"). It has no versions: when a list has
// them the gem shows each one twice.
type boxObject struct {
	CreatedAt           timestamp       `json:"created_at"`
	UpdatedAt           timestamp       `json:"updated_at"`
	Tag                 string          `json:"tag"` // Packer compares it with its box_tag
	Name                string          `json:"name"`
	Username            string          `json:"username"`
	ShortDescription    string          `json:"short_description"`
	Description         string          `json:"description"` // what "vagrant cloud box show" prints
	DescriptionHTML     string          `json:"description_html"`
	DescriptionMarkdown string          `json:"description_markdown"`
	Private             bool            `json:"private"`
	Downloads           int64           `json:"downloads"`
	CurrentVersion      json.RawMessage `json:"current_version"` // a versionObject or null
}

// boxDetail is a box asked for by its name.
type boxDetail struct {
	boxObject
	Versions []versionObject `json:"versions"`
}

type versionObject struct {
	Version             string           `json:"version"`
	Status              string           `json:"status"`
	Description         string           `json:"description"`
	DescriptionHTML     string           `json:"description_html"`
	DescriptionMarkdown string           `json:"description_markdown"`
	CreatedAt           timestamp        `json:"created_at"`
	UpdatedAt           timestamp        `json:"updated_at"`
	Number              string           `json:"number"`
	ReleaseURL          string           `json:"release_url"`
	RevokeURL           string           `json:"revoke_url"`
	Providers           []providerObject `json:"providers"`
}

// providerObject always names an architecture: without one the gem falls back to paths of v1. Its url is that of a file
// hosted elsewhere only, since the gem sends it back with every change.
type providerObject struct {
	Name                string    `json:"name"`
	Hosted              bool      `json:"hosted"`
	HostedToken         *string   `json:"hosted_token"` // null
	OriginalURL         *string   `json:"original_url"`
	URL                 *string   `json:"url"`
	CreatedAt           timestamp `json:"created_at"`
	UpdatedAt           timestamp `json:"updated_at"`
	DownloadURL         string    `json:"download_url"`
	Checksum            *string   `json:"checksum"`
	ChecksumType        *string   `json:"checksum_type"`
	Architecture        string    `json:"architecture"`
	DefaultArchitecture bool      `json:"default_architecture"`
}

// statusOf is Vagrant Cloud's word for a state.
var statusOf = map[boxregistry.State]string{
	boxregistry.Draft: "unreleased", boxregistry.Released: "active", boxregistry.Revoked: "revoked",
}

// asHTML renders Markdown for a document of its own.
func asHTML(text string) string { return markdown.HTML(text, 1) }

// urls makes the URLs in objects.
type urls struct{ base, version string }

func (r request) urls() urls { return urls{r.base, r.version} }

func (u urls) api(name string, v boxregistry.Version) string {
	return u.base + "/api/" + u.version + "/box/" + name + "/version/" + v.String()
}

func (u urls) provider(n boxregistry.Name, v boxregistry.Version, f boxregistry.File) providerObject {
	sum := checksumOf(f)
	updated := f.Published
	if updated.IsZero() {
		updated = f.Created
	}
	return providerObject{
		Name: string(f.Provider), Hosted: f.URL == "", OriginalURL: orNull(f.URL), URL: orNull(f.URL),
		CreatedAt: timestamp(f.Created), UpdatedAt: timestamp(updated), DownloadURL: u.base + f.Path(n, v),
		Checksum: orNull(sum.Hex), ChecksumType: orNull(sum.Type),
		Architecture: string(f.Architecture), DefaultArchitecture: f.Default,
	}
}

// checksumOf is what is known of a file's bytes: what was computed here, else what its maker says.
func checksumOf(f boxregistry.File) boxregistry.Checksum {
	if f.Digest != "" {
		return boxregistry.Checksum{Type: "sha256", Hex: string(f.Digest)}
	}
	return f.Declared
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func (u urls) release(t target, rel boxregistry.Release) versionObject {
	api := u.api(t.Name.Followed(t.channel), rel.Version)
	v := versionObject{
		Version: rel.Version.String(), Number: rel.Version.String(), Status: statusOf[rel.State],
		Description: rel.Description, DescriptionHTML: asHTML(rel.Description), DescriptionMarkdown: rel.Description,
		CreatedAt: timestamp(rel.Created), UpdatedAt: timestamp(rel.Updated),
		ReleaseURL: api + "/release", RevokeURL: api + "/revoke", Providers: []providerObject{},
	}
	for _, f := range rel.Files {
		v.Providers = append(v.Providers, u.provider(t.Name, rel.Version, f))
	}
	return v
}

// current is the version that those get who ask for the newest of a channel, as JSON: null when there is none.
func (u urls) current(t target) (json.RawMessage, error) {
	open := t.VisibleIn(t.channel)
	if len(open) == 0 {
		return json.RawMessage("null"), nil
	}
	return json.Marshal(u.release(t, open[0]))
}

func (u urls) box(t target) (boxObject, error) {
	tag := t.Name.Followed(t.channel)
	current, err := u.current(t)
	return boxObject{
		CreatedAt: timestamp(t.Created), UpdatedAt: timestamp(t.Updated), Tag: tag, Name: tag[len(t.Name.Org())+1:],
		Username: t.Name.Org(), ShortDescription: t.ShortDescription, Description: t.Description,
		DescriptionHTML: asHTML(t.Description), DescriptionMarkdown: t.Description,
		Private: t.Private, Downloads: t.Downloads, CurrentVersion: current,
	}, err
}

// detail is a box with the versions that somebody may see: those who may write see drafts and revoked ones too.
func (r request) detail(t target) (boxDetail, error) {
	box, err := r.urls().box(t)
	d := boxDetail{box, []versionObject{}}
	writes := r.who.PermitsIn(t.Name.Org(), auth.Write)
	for _, rel := range t.Releases {
		if rel.Deleted.IsZero() && (writes || rel.Open()) {
			d.Versions = append(d.Versions, r.urls().release(t, rel))
		}
	}
	return d, err
}
