package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/boxkiln/boxkiln/daemon/wire"
)

// FileQuery chooses a file of a version. Provider may be empty where there is one only, and Architecture for the provider's
// default.
type FileQuery struct {
	Box, Version, Provider, Architecture string
}

func (q FileQuery) path(what string, more url.Values) string {
	if more == nil {
		more = url.Values{}
	}
	for key, value := range map[string]string{"provider": q.Provider, "architecture": q.Architecture} {
		if value != "" {
			more.Set(key, value)
		}
	}
	return versionPath(q.Box, q.Version) + "/" + what + "?" + more.Encode()
}

// Packages lists what is installed in a file of a box.
func (c *Client) Packages(ctx context.Context, q FileQuery) (reply wire.PackageList, err error) {
	err = c.call(ctx, http.MethodGet, q.path("packages", nil), nil, &reply)
	return reply, err
}

// PackageDiff tells what became of the packages since another version; empty for the one before.
func (c *Client) PackageDiff(ctx context.Context, q FileQuery, from string) (reply wire.PackageDiff, err error) {
	more := url.Values{}
	if from != "" {
		more.Set("from", from)
	}
	err = c.call(ctx, http.MethodGet, q.path("diff", more), nil, &reply)
	return reply, err
}

// Parity tells what the files of a version do not have in common.
func (c *Client) Parity(ctx context.Context, q FileQuery) (reply wire.ParityReport, err error) {
	err = c.call(ctx, http.MethodGet, q.path("parity", nil), nil, &reply)
	return reply, err
}

// ErrMissing says that the daemon serves nothing at a path, or nothing that the token may see.
var ErrMissing = errors.New("it is not there")

// Fetch reads what the registry serves at a path, such as a box or a file beside one. The caller closes it. Errors: ErrMissing,
// ErrNoDaemon.
func (c *Client) Fetch(ctx context.Context, path string) (io.ReadCloser, error) {
	res, err := c.send(ctx, http.MethodGet, path, nil, nil)
	if err != nil {
		return nil, err
	}
	switch {
	case res.StatusCode == http.StatusOK:
		return res.Body, nil
	case res.StatusCode == http.StatusNotFound:
		err = fmt.Errorf("%s: %w", path, ErrMissing)
	default:
		err = fmt.Errorf("%s: %s answered %s", path, c.where, res.Status)
	}
	return nil, errors.Join(err, res.Body.Close())
}
