package api_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/boxkiln/boxkiln/daemon/wire"
	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/internal/auth"
)

// clouds has an orphan in each of two regions, for the driver "aws" alone.
type clouds struct{}

func (clouds) Orphans(_ context.Context, driver string, regions []string) (list []hypervisor.Keepsake, err error) {
	if driver != "aws" {
		return nil, wire.Errorf(wire.CodeNotFound, "there is no driver %q", driver)
	}
	for _, k := range []hypervisor.Keepsake{{Region: "us-east-1", Kind: "instance", ID: "i-1"}, {Region: "eu-west-1", Kind: "volume", ID: "vol-1"}} {
		if slices.Contains(regions, k.Region) {
			list = append(list, k)
		}
	}
	return list, nil
}

func (c clouds) RemoveOrphans(ctx context.Context, driver string, regions, ids []string) ([]hypervisor.Keepsake, error) {
	list, err := c.Orphans(ctx, driver, regions)
	return slices.DeleteFunc(list, func(k hypervisor.Keepsake) bool { return !slices.Contains(ids, k.ID) }), err
}

// TestOrphans lists by region, and removes what is named.
func TestOrphans(t *testing.T) {
	t.Parallel()
	k := newKiln(t)
	token := k.token(t, auth.Admin)
	for path, want := range map[string]string{
		"/v1/drivers/aws/orphans?region=us-east-1&region=eu-west-1": `"vol-1"`,
		"/v1/drivers/aws/orphans?region=us-east-1":                  `"i-1"`,
		"/v1/drivers/aws/orphans":                                   `{"orphans":[]}`,
	} {
		if res, body := k.do(t, http.MethodGet, path, token, "", nil); res.StatusCode != http.StatusOK || !strings.Contains(string(body), want) {
			t.Errorf("%s: %d %s", path, res.StatusCode, body)
		}
	}
	res, body := k.do(t, http.MethodPost, "/v1/drivers/aws/orphans/remove", token, `{"regions": ["us-east-1", "eu-west-1"], "ids": ["vol-1"]}`, nil)
	if res.StatusCode != http.StatusOK || !strings.Contains(string(body), "vol-1") || strings.Contains(string(body), "i-1") {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	if res, _ := k.do(t, http.MethodGet, "/v1/drivers/qemu/orphans", token, "", nil); res.StatusCode != http.StatusNotFound {
		t.Errorf("a driver that is not there: %d", res.StatusCode)
	}
}
