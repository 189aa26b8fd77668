package upstream

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
)

// The answers of HCP's API, as far as they are read (hcp-sdk-go, cloud-vagrant-box-registry/stable/2022-09-30/models).
type (
	hcpPage struct {
		Next string `json:"next_page_token"`
	}
	hcpBoxes struct {
		Boxes      []hcpBox `json:"boxes"`
		Pagination hcpPage  `json:"pagination"`
	}
	hcpBoxReply struct {
		Box hcpBox `json:"box"`
	}
	hcpBox struct {
		Name             string `json:"name"`
		Description      string `json:"description"`
		ShortDescription string `json:"short_description"`
		Private          bool   `json:"is_private"`
	}
	hcpVersions struct {
		Versions   []hcpVersion `json:"versions"`
		Pagination hcpPage      `json:"pagination"`
	}
	hcpVersion struct {
		Name        string        `json:"name"`
		Description string        `json:"description"`
		State       string        `json:"state"` // UNRELEASED, ACTIVE or REVOKED
		Providers   []hcpProvider `json:"providers"`
	}
	hcpProviders struct {
		Providers  []hcpProvider `json:"providers"`
		Pagination hcpPage       `json:"pagination"`
	}
	hcpProvider struct {
		Name          string            `json:"name"`
		Architectures []hcpArchitecture `json:"architectures"`
	}
	hcpArchitectures struct {
		Architectures []hcpArchitecture `json:"architectures"`
		Pagination    hcpPage           `json:"pagination"`
	}
	hcpArchitecture struct {
		Type    string `json:"architecture_type"`
		Default bool   `json:"default"`
		Data    struct {
			Checksum     string `json:"checksum"`
			ChecksumType string `json:"checksum_type"`
			Size         string `json:"size"`
		} `json:"box_data"`
	}
	hcpDownload struct {
		URL string `json:"url"`
	}
)

// hcpReader reads one registry of HCP.
type hcpReader struct {
	Reader
	base  string // .../registry/ORG
	org   string
	offer Offer
}

func (r Reader) readHCP(ctx context.Context, p Place) (Offer, error) {
	h := &hcpReader{Reader: r, base: p.Base + "/registry/" + url.PathEscape(p.Org), org: p.Org}
	boxes, err := h.boxes(ctx, p.Box)
	if err != nil {
		return Offer{}, err
	}
	for _, b := range boxes {
		if err := h.box(ctx, b); err != nil {
			if ctx.Err() != nil || len(boxes) == 1 {
				return h.offer, err
			}
			h.offer.skip(p.Org+"/"+b.Name, err)
		}
	}
	return h.offer, nil
}

func (h *hcpReader) boxes(ctx context.Context, only string) ([]hcpBox, error) {
	if only != "" {
		var reply hcpBoxReply
		err := h.read(ctx, h.base+"/box/"+url.PathEscape(only), &reply)
		return []hcpBox{reply.Box}, err
	}
	var all []hcpBox
	err := h.pages(h.base+"/boxes", func(at string) (string, error) {
		var reply hcpBoxes
		err := h.read(ctx, at, &reply)
		all = append(all, reply.Boxes...)
		return reply.Pagination.Next, err
	})
	return all, err
}

// maxPages bounds a list whose server always has a next page.
const maxPages = 1000

// pages calls get with the address of each page of a list; get returns the token of the next.
func (h *hcpReader) pages(at string, get func(at string) (next string, err error)) error {
	q := url.Values{"expanded": {"true"}}
	for range maxPages {
		next, err := get(at + "?" + q.Encode())
		if err != nil || next == "" {
			return err
		}
		q.Set("pagination.next_page_token", next)
	}
	return fmt.Errorf("%s has more than %d pages", at, maxPages)
}

func (h *hcpReader) read(ctx context.Context, at string, into any) error {
	doc, err := h.Fetcher.document(ctx, at, h.access(at), h.tell)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(doc.body, into); err != nil {
		return fmt.Errorf("the answer of HCP's API: %w", err)
	}
	return nil
}

// box reads the versions of a box; the list may have providers and architectures in it already.
func (h *hcpReader) box(ctx context.Context, b hcpBox) error {
	name := h.org + "/" + b.Name
	at := h.base + "/box/" + url.PathEscape(b.Name)
	c := Catalog{Name: name, Description: b.Description, ShortDescription: b.ShortDescription, Private: b.Private}
	sizes := map[string]int64{}
	err := h.pages(at+"/versions", func(page string) (string, error) {
		var reply hcpVersions
		if err := h.read(ctx, page, &reply); err != nil {
			return "", err
		}
		for _, v := range reply.Versions {
			if v.State != "ACTIVE" {
				continue
			}
			one, err := h.version(ctx, at+"/version/"+url.PathEscape(v.Name), v, sizes)
			if err != nil {
				return "", err
			}
			c.Versions = append(c.Versions, one)
		}
		return reply.Pagination.Next, nil
	})
	if err != nil {
		return err
	}
	box, skipped := c.Box(func(at string) (Origin, error) { return Origin{Kind: AtHCP, At: at, Access: h.access(at)}, nil })
	for _, v := range box.Versions {
		for i := range v.Files {
			v.Files[i].Size = sizes[v.Files[i].Origin.At]
		}
	}
	h.offer.add(box, skipped)
	return nil
}

func (h *hcpReader) version(ctx context.Context, at string, v hcpVersion, sizes map[string]int64) (CatalogVersion, error) {
	out := CatalogVersion{Version: v.Name, Status: "active", DescriptionMarkdown: v.Description}
	if len(v.Providers) == 0 {
		err := h.pages(at+"/providers", func(page string) (string, error) {
			var reply hcpProviders
			err := h.read(ctx, page, &reply)
			v.Providers = append(v.Providers, reply.Providers...)
			return reply.Pagination.Next, err
		})
		if err != nil {
			return out, err
		}
	}
	for _, p := range v.Providers {
		files, err := h.provider(ctx, at+"/provider/"+url.PathEscape(p.Name), p, sizes)
		if err != nil {
			return out, err
		}
		out.Providers = append(out.Providers, files...)
	}
	return out, nil
}

func (h *hcpReader) provider(ctx context.Context, at string, p hcpProvider, sizes map[string]int64) ([]CatalogProvider, error) {
	if len(p.Architectures) == 0 {
		err := h.pages(at+"/architectures", func(page string) (string, error) {
			var reply hcpArchitectures
			err := h.read(ctx, page, &reply)
			p.Architectures = append(p.Architectures, reply.Architectures...)
			return reply.Pagination.Next, err
		})
		if err != nil {
			return nil, err
		}
	}
	var out []CatalogProvider
	for _, a := range p.Architectures {
		file := at + "/architecture/" + url.PathEscape(a.Type) + "/download"
		if n, err := strconv.ParseInt(a.Data.Size, 10, 64); err == nil && n > 0 {
			sizes[file] = n
		}
		out = append(out, CatalogProvider{Name: p.Name, URL: file, ChecksumType: a.Data.ChecksumType, Checksum: a.Data.Checksum,
			Architecture: a.Type, DefaultArchitecture: a.Default})
	}
	return out, nil
}

// resolveHCP asks where the bytes of a file are now.
func (f *Fetcher) resolveHCP(ctx context.Context, o Origin) (string, error) {
	doc, err := f.readDocument(ctx, o.At, o.Access)
	if err != nil {
		return "", err
	}
	var reply hcpDownload
	if err := json.Unmarshal(doc.body, &reply); err != nil {
		return "", fmt.Errorf("the answer of HCP's API: %w", err)
	}
	if _, err := parseURL(reply.URL); err != nil {
		return "", fmt.Errorf("the answer of HCP's API leads to %w", err)
	}
	return reply.URL, nil
}
