package vagrantapi

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"crypto/sha1"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/boxkiln/boxkiln/boxregistry"
)

// fakeBox is a box that "vagrant box add" takes: it is unpacked and its metadata read, but never booted.
func fakeBox(t *testing.T, note string) string {
	t.Helper()
	var buf bytes.Buffer
	zip := gzip.NewWriter(&buf)
	tarball := tar.NewWriter(zip)
	image := make([]byte, 64<<10) // random, so that the box is large enough to be cut in two
	_, _ = rand.Read(image)
	clear(image[:112]) // but for the header of a qcow2 image of 1 GiB
	copy(image, "QFI\xfb")
	binary.BigEndian.PutUint32(image[4:], 3)
	binary.BigEndian.PutUint32(image[20:], 16)
	binary.BigEndian.PutUint64(image[24:], 1<<30)
	binary.BigEndian.PutUint32(image[100:], 104)
	for _, f := range []struct{ name, content string }{
		{"metadata.json", `{"provider":"libvirt","format":"qcow2","virtual_size":1,"architecture":"amd64"}`},
		{"Vagrantfile", "# " + note + "\n"},
		{"box.img", string(image)},
	} {
		if err := tarball.WriteHeader(&tar.Header{Name: f.name, Mode: 0o644, Size: int64(len(f.content))}); err != nil {
			t.Fatal(err)
		}
		if _, err := tarball.Write([]byte(f.content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := tarball.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.String()
}

// client is the installed vagrant with a home of its own, and a record of what it asked the registry.
type client struct {
	*cloud
	path, home string
	token      string       // in its environment
	cutAt      atomic.Int64 // bytes after which the next download breaks off; 0 for never

	mu       sync.Mutex
	requests []string // "GET /path [range]"
}

func newClient(t *testing.T) *client {
	t.Helper()
	c := &client{path: requireTool(t, "vagrant"), home: t.TempDir()}
	c.cloud = newCloud(t)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		c.requests = append(c.requests, strings.TrimSpace(r.Method+" "+r.URL.Path+" "+r.Header.Get("Range")))
		c.mu.Unlock()
		if n := c.cutAt.Load(); n > 0 && strings.HasSuffix(r.URL.Path, ".box") && r.Method == http.MethodGet {
			c.cutAt.Store(0)
			c.handler.ServeHTTP(&scissors{w, n}, r)
			panic(http.ErrAbortHandler)
		}
		c.handler.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	c.url = front.URL
	return c
}

// scissors end the connection after some bytes. They do not unwrap, so that every byte comes through Write.
type scissors struct {
	http.ResponseWriter
	left int64
}

func (s *scissors) Write(p []byte) (int, error) {
	n := min(int64(len(p)), s.left)
	s.left -= n
	if _, err := s.ResponseWriter.Write(p[:n]); err != nil {
		return 0, err
	}
	if n < int64(len(p)) {
		_ = http.NewResponseController(s.ResponseWriter).Flush()
		return int(n), io.ErrClosedPipe
	}
	return int(n), nil
}

// run runs vagrant and returns its output and whether it ended well.
func (c *client) run(args ...string) (string, bool) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 10*time.Minute)
	defer cancel()
	return c.finish(exec.CommandContext(ctx, c.path, args...))
}

// finish runs a command in the client's environment.
func (c *client) finish(cmd *exec.Cmd) (string, bool) {
	cmd.Dir = c.home
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "VAGRANT_") || strings.HasPrefix(v, "ATLAS_TOKEN=")
	})
	cmd.Env = append(cmd.Env, "VAGRANT_HOME="+c.home, "VAGRANT_SERVER_URL="+c.url, "VAGRANT_CHECKPOINT_DISABLE=1",
		"VAGRANT_NO_PLUGINS=1", "LC_ALL=C.UTF-8")
	if c.token != "" {
		cmd.Env = append(cmd.Env, "VAGRANT_CLOUD_TOKEN="+c.token)
	}
	cmd.WaitDelay = time.Minute
	out, err := cmd.CombinedOutput()
	return string(out), err == nil
}

// ok runs vagrant and wants it to end well and to say what is given.
func (c *client) ok(says string, args ...string) {
	c.t.Helper()
	out, ok := c.run(args...)
	if !ok || !strings.Contains(out, says) {
		c.t.Fatalf("vagrant %s: want %q in\n%s", strings.Join(args, " "), says, out)
	}
}

func (c *client) publish(version, box string) (url string) {
	c.t.Helper()
	c.put("ops/deb", version, "libvirt", "amd64", box)
	name := must(boxregistry.ParseName("ops/deb"))
	v := must(boxregistry.ParseVersion(version))
	if err := c.Release(c.t.Context(), name, v); err != nil {
		c.t.Fatal(err)
	}
	rel, _ := must(c.Box(c.t.Context(), name)).Release(v)
	return c.url + rel.Files[0].Path(name, v)
}

// asked reports whether a request that begins with the text reached the registry.
func (c *client) asked(prefix string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.requests {
		if strings.HasPrefix(r, prefix) {
			return true
		}
	}
	return false
}

func TestVagrantAddsAndUpdates(t *testing.T) {
	t.Parallel()
	c := newClient(t)
	c.publish("1.0.0", fakeBox(t, "first"))
	c.publish("1.1.0", fakeBox(t, "second"))
	c.draft("ops/deb", "1.2.0", "libvirt/amd64")

	c.ok("Successfully added box 'ops/deb' (v1.0.0)", "box", "add", "ops/deb", "--provider", "libvirt", "--box-version", "~> 1.0.0")
	c.ok("'ops/deb' for 'libvirt' is outdated! Current: 1.0.0. Latest: 1.1.0", "box", "outdated", "--global")
	c.ok("Successfully added box 'ops/deb' (v1.1.0)", "box", "update", "--box", "ops/deb", "--provider", "libvirt")
	c.ok("ops/deb (libvirt, 1.1.0)", "box", "list")
	installed, err := os.ReadFile(filepath.Join(c.home, "boxes", "ops-VAGRANTSLASH-deb", "1.1.0", "libvirt", "Vagrantfile"))
	if err != nil || !strings.Contains(string(installed), "second") {
		t.Errorf("installed %q, %v", installed, err)
	}
	if out, ok := c.run("box", "add", "ops/none", "--provider", "libvirt"); ok || !strings.Contains(out, "404") {
		t.Errorf("a missing box: %s", out)
	}
	if out, ok := c.run("box", "add", "ops/deb", "--provider", "libvirt", "--box-version", "1.2.0"); ok {
		t.Errorf("a draft was added: %s", out)
	}
}

func TestVagrantAddsByURLWithSlashes(t *testing.T) {
	t.Parallel()
	c := newClient(t)
	c.publish("1.0.0", fakeBox(t, "first"))
	c.ok("Successfully added box 'ops/deb' (v1.0.0)", "box", "add", c.url+"//ops/deb", "--provider", "libvirt")
	if !c.asked("HEAD /") || !c.asked("GET /") {
		t.Errorf("asked %v", c.requests)
	}
}

// leave puts the first bytes of a download where Vagrant keeps them after an interruption.
func (c *client) leave(url, part string) {
	c.t.Helper()
	sum := sha1.Sum([]byte(url))
	dir := filepath.Join(c.home, "tmp")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		c.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "box"+hex.EncodeToString(sum[:])), []byte(part), 0o644); err != nil {
		c.t.Fatal(err)
	}
}

// A download that breaks off is gone on with, and counted once.
func TestVagrantGoesOnWithABrokenDownload(t *testing.T) {
	t.Parallel()
	c := newClient(t)
	var l ledger
	c.api.tally.sink = &l
	box := fakeBox(t, "broken")
	url := strings.TrimPrefix(c.publish("1.0.0", box), c.url)
	c.cutAt.Store(40000)
	if out, ok := c.run("box", "add", "ops/deb", "--provider", "libvirt"); ok {
		t.Fatalf("the cut download was taken for the whole: %s", out)
	}
	c.ok("Successfully added box 'ops/deb' (v1.0.0)", "box", "add", "ops/deb", "--provider", "libvirt")
	if !c.asked("GET " + url + " bytes=40000-") {
		t.Errorf("asked %q", c.requests)
	}
	if err := c.api.Flush(t.Context()); err != nil || l.total() != 1 {
		t.Errorf("counted %d, %v", l.total(), err)
	}
}

func TestVagrantResumes(t *testing.T) {
	t.Parallel()
	for what, cut := range map[string]func(int) int{
		"half of the file": func(size int) int { return size / 2 },
		"the whole file, killed before it was unpacked": func(size int) int { return size },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			c := newClient(t)
			box := fakeBox(t, "resumed")
			url := c.publish("1.0.0", box)
			n := cut(len(box))
			c.leave(url, box[:n])
			c.ok("Successfully added box 'ops/deb' (v1.0.0)", "box", "add", "ops/deb", "--provider", "libvirt")
			if want := fmt.Sprintf("GET %s bytes=%d-", strings.TrimPrefix(url, c.url), n); !c.asked(want) {
				t.Errorf("asked %q, want %s", c.requests, want)
			}
		})
	}
}
