package vagrantapi

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/boxkiln/boxkiln/boxregistry"
)

// packerRun publishes a box with Debian's Packer 1.6.6 and its own vagrant-cloud post-processor, as a template does whose
// box is there already: the null builder makes nothing and artifice hands over the file.
func (c *client) packerRun(version string, settings map[string]any) (string, bool) {
	c.t.Helper()
	cloud := map[string]any{
		"type": "vagrant-cloud", "vagrant_cloud_url": c.url + "/api/v1", "access_token": writer,
		"box_tag": "ops/packed", "version": version, "version_description": "by packer",
	}
	for k, v := range settings {
		cloud[k] = v
	}
	template, err := json.Marshal(map[string]any{
		"builders": []any{map[string]any{"type": "null", "communicator": "none"}},
		"post-processors": []any{[]any{
			map[string]any{"type": "artifice", "files": []string{c.file("packed.box", "packed")}}, cloud,
		}},
	})
	if err != nil {
		c.t.Fatal(err)
	}
	path := filepath.Join(c.home, "template.json")
	if err := os.WriteFile(path, template, 0o600); err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(c.t.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, requireTool(c.t, "packer"), "build", "-color=false", path)
	cmd.Dir = c.home
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "VAGRANT_") }),
		"CHECKPOINT_DISABLE=1", "PACKER_CONFIG_DIR="+c.home, "PACKER_CACHE_DIR="+filepath.Join(c.home, "cache"))
	cmd.WaitDelay = time.Minute
	out, err := cmd.CombinedOutput()
	return string(out), err == nil
}

func TestPackerPublishes(t *testing.T) {
	t.Parallel()
	c := &client{home: t.TempDir(), cloud: newCloud(t)}
	if out, ok := c.packerRun("1.0.0", nil); !ok || !strings.Contains(out, "Version successfully released and available") {
		t.Fatalf("%s", out)
	}
	if out, ok := c.packerRun("1.0.1", map[string]any{"no_direct_upload": true, "vagrant_cloud_url": c.url + "/api/v2"}); !ok {
		t.Fatalf("not directly, and by v2: %s", out)
	}
	if out, ok := c.packerRun("1.0.2", map[string]any{"no_release": true}); !ok {
		t.Fatalf("without a release: %s", out)
	}
	// Again: the version is there, and so is its file.
	if out, ok := c.packerRun("1.0.1", nil); ok || !strings.Contains(out, "never change") {
		t.Fatalf("over a released version: %s", out)
	}
	box := must(c.Box(t.Context(), must(boxregistry.ParseName("ops/packed"))))
	var got []string
	for _, rel := range box.Releases {
		got = append(got, rel.Version.String()+" "+string(rel.State)+" "+string(rel.Files[0].Architecture)+" "+rel.Description)
	}
	want := []string{"1.0.2 draft amd64 by packer", "1.0.1 released amd64 by packer", "1.0.0 released amd64 by packer"}
	if !slices.Equal(got, want) || !box.Private {
		t.Errorf("published %q, want %q; private %t", got, want, box.Private)
	}
	if out, ok := c.packerRun("1.0.3", map[string]any{"access_token": "stale"}); ok || !strings.Contains(out, "401") {
		t.Errorf("with a stale token: %s", out)
	}
}
