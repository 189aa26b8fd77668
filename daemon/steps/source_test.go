package steps

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/inputs"
	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/iso"
	"github.com/boxkiln/boxkiln/provisioners"
)

func silentLog() build.Log { return build.Log{Sink: &told{}, Now: time.Now} }

// fetching is a set that can fetch.
func fetching(t *testing.T) *Set {
	t.Helper()
	cache, err := iso.NewCache(iso.Config{Dir: t.TempDir(), Retries: 1})
	if err != nil {
		t.Fatal(err)
	}
	return &Set{Media: cache}
}

// appliance is a session of a plan that starts from box.ovf and its disk, which the client has read.
func appliance(t *testing.T, sent bool) (*build.Session, string) {
	t.Helper()
	dir := t.TempDir()
	names := []string{filepath.Join(dir, "box.ovf"), filepath.Join(dir, "box-disk001.vmdk")}
	for _, name := range names {
		if err := os.WriteFile(name, []byte("content of "+filepath.Base(name)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := &build.Plan{Cwd: dir, SourceFiles: names}
	p.Machine.Source = "box.ovf"
	var err error
	if p.Inputs, err = inputs.Collect(dir, names); err != nil {
		t.Fatal(err)
	}
	store := inputs.Store{Dir: t.TempDir()}
	if sent {
		for _, in := range p.Inputs {
			if err := store.Put(in.Digest, strings.NewReader("content of "+filepath.Base(in.Path))); err != nil {
				t.Fatal(err)
			}
		}
	} else {
		p.ReadInPlace()
	}
	view, err := store.View(p.Inputs, dir)
	if err != nil {
		t.Fatal(err)
	}
	s := &build.Session{Plan: p, Files: view, Log: silentLog()}
	s.Dirs.Scratch = t.TempDir()
	return s, dir
}

// TestSourceInPlace: the files of a client on the same machine stay where they are, and are not taken if they changed.
func TestSourceInPlace(t *testing.T) {
	t.Parallel()
	set := fetching(t)
	s, dir := appliance(t, false)
	if err := set.fetchSource(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if spec := set.spec(s); spec.Source != filepath.Join(dir, "box.ovf") {
		t.Errorf("the machine starts from %q", spec.Source)
	}
	if err := os.WriteFile(filepath.Join(dir, "box-disk001.vmdk"), []byte("another content"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := set.fetchSource(t.Context(), s); err == nil || !strings.Contains(err.Error(), "box-disk001.vmdk") {
		t.Errorf("a disk that changed: %v", err)
	}
}

// TestSourceSent: the files of a client elsewhere lie beside each other under their names, as the descriptor knows them.
func TestSourceSent(t *testing.T) {
	t.Parallel()
	set := fetching(t)
	s, dir := appliance(t, true)
	if err := os.RemoveAll(dir); err != nil { // it is another machine's
		t.Fatal(err)
	}
	if err := set.fetchSource(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	source := set.spec(s).Source
	disk, err := os.ReadFile(filepath.Join(filepath.Dir(source), "box-disk001.vmdk"))
	if filepath.Base(source) != "box.ovf" || err != nil || string(disk) != "content of box-disk001.vmdk" {
		t.Errorf("%s, with the disk %q, %v", source, disk, err)
	}
}

// TestSourceChecksum: the template's checksum is that of the file that it names.
func TestSourceChecksum(t *testing.T) {
	t.Parallel()
	s, _ := appliance(t, false)
	s.Plan.Machine.SourceChecksum = "sha256:" + strings.Repeat("0", 64)
	if err := fetching(t).fetchSource(t.Context(), s); err == nil || !strings.Contains(err.Error(), "box.ovf") {
		t.Errorf("a wrong checksum: %v", err)
	}
}

func TestSourceDownloaded(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "an OVA") }))
	defer server.Close()
	s := &build.Session{Plan: &build.Plan{Cwd: t.TempDir()}, Log: silentLog()}
	s.Plan.Machine.Source = server.URL + "/box.ova"
	if err := fetching(t).fetchSource(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(s.Source.Path)
	if err != nil || string(data) != "an OVA" || filepath.Ext(s.Source.Path) != ".ova" || s.Source.Fingerprint() == "" {
		t.Errorf("%+v holds %q, %v", s.Source, data, err)
	}
}

// needy is a driver that needs a file, and whose machines have something for their guests.
type needy struct {
	hypervisor.Driver
	hypervisor.Machine
	fetch hypervisor.Fetch
	list  []hypervisor.Upload
}

func (n needy) Fetches(context.Context, hypervisor.Spec) ([]hypervisor.Fetch, error) {
	return []hypervisor.Fetch{n.fetch}, nil
}

func (n needy) Uploads(context.Context) ([]hypervisor.Upload, error) { return n.list, nil }

// shelfGuest keeps what is put into it.
type shelfGuest struct {
	provisioners.Guest
	files map[string]string
	err   error
}

func (g *shelfGuest) Put(_ context.Context, dst string, _ fs.FileMode, src io.Reader) error {
	data, err := io.ReadAll(src)
	g.files[dst] = string(data)
	return errors.Join(err, g.err)
}

func TestFetchForDriver(t *testing.T) {
	t.Parallel()
	set, tools := fetching(t), filepath.Join(t.TempDir(), "tools.iso")
	s := &build.Session{Plan: &build.Plan{}, Log: silentLog(), Driver: needy{fetch: hypervisor.Fetch{Name: "tools", URL: tools, Checksum: "none"}}}
	if err := set.fetchForDriver(t.Context(), s); err == nil || !strings.Contains(err.Error(), "tools") {
		t.Errorf("a file that is not there: %v", err)
	}
	if err := os.WriteFile(tools, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := set.fetchForDriver(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"tools": tools}, set.spec(s).Fetched); diff != "" {
		t.Errorf("fetched (-want +got):\n%s", diff)
	}
}

func TestUploadTools(t *testing.T) {
	t.Parallel()
	tools := filepath.Join(t.TempDir(), "tools.iso")
	if err := os.WriteFile(tools, []byte("image"), 0o600); err != nil {
		t.Fatal(err)
	}
	guest := &shelfGuest{files: map[string]string{}}
	s := &build.Session{Guest: guest, Log: silentLog(), Machine: needy{list: []hypervisor.Upload{{What: "version", To: ".version", Text: "7.0"}, {What: "tools", To: "/tmp/t.iso", Path: tools}}}}
	if !uploads(s) {
		t.Fatal("nothing is to be uploaded")
	}
	if err := (&Set{}).uploadTools(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{".version": "7.0", "/tmp/t.iso": "image"}, guest.files); diff != "" {
		t.Errorf("in the guest (-want +got):\n%s", diff)
	}
	guest.err = errors.New("no room")
	if err := (&Set{}).uploadTools(t.Context(), s); err == nil || !strings.Contains(err.Error(), `version to ".version"`) {
		t.Errorf("%v; want what was uploaded where", err)
	}
	if uploads(&build.Session{Machine: needy{}}) {
		t.Error("something is to be uploaded where nobody logs in")
	}
}
