package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/boxkiln/boxkiln/daemon/wire"
)

// Wrap puts something between the client and the network, before its first request.
func (c *Client) Wrap(by func(http.RoundTripper) http.RoundTripper) {
	c.http.Transport = by(c.http.Transport)
}

// BoxQuery chooses boxes for a list. Zero fields leave nothing out.
type BoxQuery struct {
	Search, Org, Provider, Architecture, Sort string
	Limit, Offset                             int
}

// Boxes lists boxes.
func (c *Client) Boxes(ctx context.Context, q BoxQuery) (reply wire.BoxList, err error) {
	v := url.Values{}
	for name, value := range map[string]string{"q": q.Search, "org": q.Org, "provider": q.Provider, "architecture": q.Architecture, "sort": q.Sort} {
		if value != "" {
			v.Set(name, value)
		}
	}
	if q.Limit > 0 {
		v.Set("limit", strconv.Itoa(q.Limit))
	}
	if q.Offset > 0 {
		v.Set("offset", strconv.Itoa(q.Offset))
	}
	err = c.call(ctx, http.MethodGet, "/v1/boxes?"+v.Encode(), nil, &reply)
	return reply, err
}

// boxPath is the path of a box; a name that is none leads nowhere.
func boxPath(name string) string {
	org, box, _ := strings.Cut(name, "/")
	return "/v1/boxes/" + url.PathEscape(org) + "/" + url.PathEscape(box)
}

// versionPath is the path of a version of a box, or with no version that of the box.
func versionPath(name, version string) string {
	if version == "" {
		return boxPath(name)
	}
	return boxPath(name) + "/versions/" + url.PathEscape(version)
}

// Box returns a box.
func (c *Client) Box(ctx context.Context, name string) (reply wire.Box, err error) {
	err = c.call(ctx, http.MethodGet, boxPath(name), nil, &reply)
	return reply, err
}

// CreateBox makes an empty box.
func (c *Client) CreateBox(ctx context.Context, name string, e wire.BoxEdit) error {
	return c.call(ctx, http.MethodPut, boxPath(name), e, nil)
}

// EditBox changes a box.
func (c *Client) EditBox(ctx context.Context, name string, e wire.BoxEdit) error {
	return c.call(ctx, http.MethodPatch, boxPath(name), e, nil)
}

// Retention tells the retention rules of a box and what they would delete now.
func (c *Client) Retention(ctx context.Context, name string) (reply wire.RetentionReply, err error) {
	err = c.call(ctx, http.MethodGet, boxPath(name)+"/retention", nil, &reply)
	return reply, err
}

// PreviewRetention tells what other rules would delete now.
func (c *Client) PreviewRetention(ctx context.Context, name string, r wire.Retention) (reply wire.RetentionReply, err error) {
	q := url.Values{"keep_last": {strconv.Itoa(r.KeepLast)}, "keep_newer": {strconv.FormatInt(r.KeepNewer, 10)}}
	err = c.call(ctx, http.MethodGet, boxPath(name)+"/retention?"+q.Encode(), nil, &reply)
	return reply, err
}

// SetRetention sets the retention rules of a box.
func (c *Client) SetRetention(ctx context.Context, name string, r wire.Retention) error {
	return c.call(ctx, http.MethodPut, boxPath(name)+"/retention", r, nil)
}

// Trash lists the deleted boxes that can be restored.
func (c *Client) Trash(ctx context.Context) (reply wire.TrashList, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/trash", nil, &reply)
	return reply, err
}

// DeleteBox moves a version, or with no version a box, to the trash.
func (c *Client) DeleteBox(ctx context.Context, name, version string) error {
	return c.call(ctx, http.MethodDelete, versionPath(name, version), nil, nil)
}

// RestoreBox brings a version, or with no version a box, back from the trash.
func (c *Client) RestoreBox(ctx context.Context, name, version string) error {
	return c.call(ctx, http.MethodPost, versionPath(name, version)+"/restore", nil, nil)
}

// PurgeBox removes a version, or with no version a box, from the trash for good.
func (c *Client) PurgeBox(ctx context.Context, name, version string) error {
	return c.call(ctx, http.MethodPost, versionPath(name, version)+"/purge", nil, nil)
}

// EditVersion changes a version.
func (c *Client) EditVersion(ctx context.Context, name, version string, e wire.VersionEdit) error {
	return c.call(ctx, http.MethodPatch, versionPath(name, version), e, nil)
}

// Release opens a draft to channels, to the stable one when there is none.
func (c *Client) Release(ctx context.Context, name, version string, channels ...string) error {
	return c.call(ctx, http.MethodPost, versionPath(name, version)+"/release", wire.ReleaseRequest{Channels: channels}, nil)
}

// Revoke hides a released version for good.
func (c *Client) Revoke(ctx context.Context, name, version, why string) error {
	return c.call(ctx, http.MethodPost, versionPath(name, version)+"/revoke", wire.RevokeRequest{Why: why}, nil)
}

// Promote puts a released version into a channel too.
func (c *Client) Promote(ctx context.Context, name, version, channel string) error {
	return c.call(ctx, http.MethodPut, versionPath(name, version)+"/channels/"+url.PathEscape(channel), nil, nil)
}

// Demote takes a version out of a channel.
func (c *Client) Demote(ctx context.Context, name, version, channel string) error {
	return c.call(ctx, http.MethodDelete, versionPath(name, version)+"/channels/"+url.PathEscape(channel), nil, nil)
}

// Downloads tells who fetched a version, last one first.
func (c *Client) Downloads(ctx context.Context, name, version string) ([]wire.BoxDownload, error) {
	var reply wire.BoxDownloadList
	err := c.call(ctx, http.MethodGet, versionPath(name, version)+"/downloads", nil, &reply)
	return reply.Downloads, err
}
