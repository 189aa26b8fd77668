package vagrantapi

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/boxkiln/boxkiln/boxregistry"
)

// withToken is a client that is logged in.
func withToken(t *testing.T, token string) *client {
	c := newClient(t)
	c.token = token
	return c
}

// file writes a box into the client's home and returns its name.
func (c *client) file(name, note string) string {
	c.t.Helper()
	path := filepath.Join(c.home, name)
	if err := os.WriteFile(path, []byte(fakeBox(c.t, note)), 0o644); err != nil {
		c.t.Fatal(err)
	}
	return path
}

// fails runs vagrant and wants it to fail and to say what is given.
func (c *client) fails(says string, args ...string) {
	c.t.Helper()
	out, ok := c.run(args...)
	if ok || !strings.Contains(strings.Join(strings.Fields(out), " "), says) {
		c.t.Fatalf("vagrant %s: ended well: %t, want %q in\n%s", strings.Join(args, " "), ok, says, out)
	}
}

func TestVagrantCloudPublish(t *testing.T) {
	t.Parallel()
	c := withToken(t, writer)
	box := c.file("my.box", "first")
	publish := []string{"cloud", "publish", "ops/deb", "1.0.0", "libvirt", box, "-d", "long desc", "-s", "short", "--version-description", "vd", "--force", "--release", "--no-private"}
	c.ok("Complete! Published ops/deb", publish...)
	b := must(c.Box(t.Context(), must(boxregistry.ParseName("ops/deb"))))
	rel := b.Releases[0]
	if b.Private || b.ShortDescription != "short" || b.Description != "long desc" || rel.State != boxregistry.Released || rel.Description != "vd" {
		t.Errorf("%+v", b)
	}
	if f := rel.Files[0]; f.Architecture != "amd64" || !f.Default || !f.Complete() {
		t.Errorf("the architecture is not that of the box: %+v", f)
	}
	c.fails("released versions never change", publish...)

	// bento's command without what 2.3.4 does not take: --architecture, --default-architecture.
	second := c.file("second.box", "second")
	sum := sha256.Sum256(must(os.ReadFile(second)))
	c.ok("Complete! Published ops/deb", "cloud", "publish", "--no-direct-upload", "ops/deb", "1.0.1", "libvirt", second, "--description", "d",
		"--short-description", "s", "--version-description", "v", "--checksum", strings.ToUpper(hex.EncodeToString(sum[:])), "--checksum-type", "sha256",
		"--force", "--release", "--no-private")
	c.ok("Successfully added box 'ops/deb' (v1.0.1)", "box", "add", "ops/deb", "--provider", "libvirt")
}

// A draft is published over, with no question asked.
func TestVagrantCloudPublishesADraftAgain(t *testing.T) {
	t.Parallel()
	c := withToken(t, writer)
	for _, note := range []string{"first", "second"} {
		c.ok("Complete! Published ops/deb", "cloud", "publish", "ops/deb", "1.0.0", "libvirt", c.file("my.box", note), "--force", "--no-private")
	}
	c.ok("Complete! Published ops/deb", "cloud", "publish", "ops/deb", "1.0.0", "virtualbox", "--url", "https://cdn.example/v.box", "--force", "--release")
	if got := inShort(c.catalogOf("/ops/deb")); got != "1.0.0: libvirt/amd64* virtualbox/unknown*" {
		t.Errorf("published %s", got)
	}
	c.token = ""
	c.ok("Successfully added box 'ops/deb' (v1.0.0)", "box", "add", "ops/deb", "--provider", "libvirt")
	installed, err := os.ReadFile(filepath.Join(c.home, "boxes", "ops-VAGRANTSLASH-deb", "1.0.0", "libvirt", "Vagrantfile"))
	if err != nil || !strings.Contains(string(installed), "second") {
		t.Errorf("installed %q, %v", installed, err)
	}
}

func TestVagrantCloudBox(t *testing.T) {
	t.Parallel()
	c := withToken(t, writer)
	c.ok("Created box ops/deb", "cloud", "box", "create", "ops/deb", "-d", "long", "-s", "short", "--private")
	c.ok("long", "cloud", "box", "show", "ops/deb")
	c.ok("Updated box ops/deb", "cloud", "box", "update", "ops/deb", "-d", "longer")
	if b := must(c.Box(t.Context(), must(boxregistry.ParseName("ops/deb")))); !b.Private || b.Description != "longer" || b.ShortDescription != "short" {
		t.Errorf("%+v", b)
	}
	c.ok("Deleted box ops/deb", "cloud", "box", "delete", "ops/deb", "--force")
	if a := c.ask("GET", "/ops/deb", "Authorization: Bearer "+writer); a.status != 404 {
		t.Errorf("deleted: %d", a.status)
	}
	c.fails("no organisation", "cloud", "box", "create", "others/deb")
}

func TestVagrantCloudVersionAndProvider(t *testing.T) {
	t.Parallel()
	c := withToken(t, writer)
	c.want(writer, "POST", "/api/v1/boxes", `{"username":"ops","name":"deb","is_private":false}`)
	c.ok("Created version 1.0.0", "cloud", "version", "create", "ops/deb", "1.0.0", "-d", "notes")
	c.ok("Updated version 1.0.0", "cloud", "version", "update", "ops/deb", "1.0.0", "-d", "better")
	c.fails(`no "v" before it`, "cloud", "version", "create", "ops/deb", "v1_x")
	c.ok("Created provider libvirt", "cloud", "provider", "create", "ops/deb", "libvirt", "1.0.0")
	c.ok("Created provider virtualbox", "cloud", "provider", "create", "ops/deb", "virtualbox", "1.0.0", "https://cdn.example/v.box")
	c.ok("Updated provider virtualbox", "cloud", "provider", "update", "ops/deb", "virtualbox", "1.0.0", "https://cdn.example/w.box")
	c.ok("Uploaded provider libvirt", "cloud", "provider", "upload", "ops/deb", "libvirt", "1.0.0", c.file("my.box", "x"))
	c.ok("Updated provider libvirt", "cloud", "provider", "update", "ops/deb", "libvirt", "1.0.0")
	c.ok("Deleted provider virtualbox", "cloud", "provider", "delete", "ops/deb", "virtualbox", "1.0.0", "--force")
	c.ok("Released version 1.0.0", "cloud", "version", "release", "ops/deb", "1.0.0", "--force")
	if got := inShort(c.catalogOf("/ops/deb")); got != "1.0.0: libvirt/amd64*" {
		t.Errorf("released %s", got)
	}
	c.fails("released versions never change", "cloud", "provider", "delete", "ops/deb", "libvirt", "1.0.0", "--force")
	c.ok("Revoked version 1.0.0", "cloud", "version", "revoke", "ops/deb", "1.0.0", "--force")
	c.ok("Deleted version 1.0.0", "cloud", "version", "delete", "ops/deb", "1.0.0", "--force")
	if rels := must(c.Box(t.Context(), must(boxregistry.ParseName("ops/deb")))).Releases; len(rels) != 1 || rels[0].Deleted.IsZero() {
		t.Errorf("%+v", rels)
	}
}

func TestVagrantCloudSearch(t *testing.T) {
	t.Parallel()
	c := newClient(t)
	c.publish("1.0.0", fakeBox(t, "x"))
	c.draft("ops/draft", "1.0", "libvirt/amd64")
	c.ok("ops/deb", "cloud", "search", "deb")
	c.ok(`"name":"ops/deb","version":"1.0.0"`, "cloud", "search", "ops", "--json", "--provider", "libvirt", "--sort-by", "created", "--order", "asc", "--limit", "5", "--page", "1")
	c.ok("No results found", "cloud", "search", "draft")
}

func TestVagrantCloudLogin(t *testing.T) {
	t.Parallel()
	c := newClient(t)
	c.ok("already logged in", "cloud", "auth", "login", "--token", writer)
	c.ok("me", "cloud", "auth", "whoami")
	c.ok("", "cloud", "auth", "logout")
	c.fails("Unauthorized", "cloud", "auth", "whoami", "stale")

	// With a password, which vagrant asks from a terminal.
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, requireTool(t, "script"), "-qec", c.path+" cloud auth login -u me -d laptop", "/dev/null")
	cmd.Stdin = strings.NewReader("secret\n")
	if out, ok := c.finish(cmd); !ok || !strings.Contains(out, "You are now logged in") {
		t.Fatalf("%s", out)
	}
	c.ok("me", "cloud", "auth", "whoami")
	c.ok("Created box ops/mine", "cloud", "box", "create", "ops/mine")
}

// privateBox publishes the private box ops/shut.
func (c *client) privateBox() {
	c.t.Helper()
	c.put("ops/shut", "1.0.0", "libvirt", "amd64", fakeBox(c.t, "private"))
	if err := c.Release(c.t.Context(), must(boxregistry.ParseName("ops/shut")), must(boxregistry.ParseVersion("1.0.0"))); err != nil {
		c.t.Fatal(err)
	}
	shut(c.t, c.cloud, "ops/shut", true)
}

func TestVagrantAddsPrivateBoxes(t *testing.T) {
	t.Parallel()
	t.Run("with a token", func(t *testing.T) {
		t.Parallel()
		c := newClient(t)
		c.privateBox()
		c.fails("404", "box", "add", "ops/shut", "--provider", "libvirt")
		c.token = reader
		c.ok("Successfully added box 'ops/shut' (v1.0.0)", "box", "add", "ops/shut", "--provider", "libvirt")
		c.ok("up to date", "box", "outdated", "--global")
	})
	t.Run("with a password in the URL", func(t *testing.T) {
		t.Parallel()
		c := newClient(t)
		c.privateBox()
		url := strings.Replace(c.url, "http://", "http://anybody:"+reader+"@", 1)
		c.ok("Successfully added box 'ops/shut' (v1.0.0)", "box", "add", url+"/ops/shut", "--provider", "libvirt")
		if !c.asked("GET /dl/3.") {
			t.Errorf("asked %q", c.requests)
		}
	})
}

func TestVagrantFollowsAChannel(t *testing.T) {
	t.Parallel()
	c := newClient(t)
	c.publish("1.0.0", fakeBox(t, "stable"))
	c.put("ops/deb", "1.1.0", "libvirt", "amd64", fakeBox(t, "candidate"))
	if err := c.Release(t.Context(), must(boxregistry.ParseName("ops/deb")), must(boxregistry.ParseVersion("1.1.0")), boxregistry.Candidate); err != nil {
		t.Fatal(err)
	}
	c.ok("Successfully added box 'ops/deb' (v1.0.0)", "box", "add", "ops/deb", "--provider", "libvirt")
	c.ok("Successfully added box 'ops/deb~candidate' (v1.1.0)", "box", "add", "ops/deb~candidate", "--provider", "libvirt")
	c.ok("Successfully added box 'ops/deb' (v1.1.0)", "box", "add", c.url+"/ops/deb?channel=candidate", "--provider", "libvirt")
}
