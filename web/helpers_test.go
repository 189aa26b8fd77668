package web

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/blob"
	"github.com/boxkiln/boxkiln/internal/leaktest"
)

func TestMain(m *testing.M) {
	gin.SetMode(gin.ReleaseMode)
	leaktest.Main(m)
}

// noon is when all pages of the tests are looked at.
var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// fakeBoxes and fakeBuilds are working registries in memory; err, when it is set, is what they answer.
type fakeBoxes struct {
	boxes []boxregistry.Box
	err   error
}

func (f *fakeBoxes) List(_ context.Context, q boxregistry.ListQuery) ([]boxregistry.Summary, int, error) {
	var all []boxregistry.Summary
	for _, b := range f.boxes {
		if !strings.Contains(b.Name.String(), q.Search) {
			continue
		}
		s := boxregistry.Summary{Name: b.Name, ShortDescription: b.ShortDescription, Updated: b.Updated}
		if v := b.Visible(); len(v) > 0 {
			s.Newest = v[0].Version
			for _, file := range v[0].Files {
				s.Size += file.Size
				s.Providers = append(s.Providers, file.Provider)
			}
			s.Providers = slices.Compact(s.Providers)
		}
		all = append(all, s)
	}
	first := min(q.Offset, len(all))
	return all[first:min(first+q.Limit, len(all))], len(all), f.err
}

func (f *fakeBoxes) Box(_ context.Context, name boxregistry.Name) (boxregistry.Box, error) {
	if f.err != nil {
		return boxregistry.Box{}, f.err
	}
	for _, b := range f.boxes {
		if b.Name == name {
			return b, nil
		}
	}
	return boxregistry.Box{}, fmt.Errorf("box %q: %w", name, boxregistry.ErrNotFound)
}

type fakeBuilds struct {
	builds []Build
	logs   map[string]string
	err    error
}

func (f *fakeBuilds) List(_ context.Context, limit, offset int) ([]Build, int, error) {
	first := min(offset, len(f.builds))
	return f.builds[first:min(first+limit, len(f.builds))], len(f.builds), f.err
}

func (f *fakeBuilds) Build(_ context.Context, id string) (Build, error) {
	for _, b := range f.builds {
		if b.ID == id {
			return b, f.err
		}
	}
	return Build{}, fmt.Errorf("build %q: %w", id, ErrNotFound)
}

type logFile struct{ *bytes.Reader }

func (logFile) Close() error { return nil }

func (f *fakeBuilds) Log(_ context.Context, id string) (io.ReadSeekCloser, error) {
	text, ok := f.logs[id]
	if !ok {
		return nil, fmt.Errorf("log of %q: %w", id, ErrNotFound)
	}
	return logFile{bytes.NewReader([]byte(text))}, f.err
}

// bundle is the pages over the two fakes.
type bundle struct {
	t      *testing.T
	boxes  *fakeBoxes
	builds *fakeBuilds
	log    *bytes.Buffer
	engine *gin.Engine
}

func setup(t *testing.T, boxes *fakeBoxes, builds *fakeBuilds) *bundle {
	t.Helper()
	b := &bundle{t: t, boxes: boxes, builds: builds, log: &bytes.Buffer{}, engine: gin.New()}
	site, err := New(boxes, builds, Options{Version: "1.2.3-test", Logger: slog.New(slog.NewTextHandler(b.log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	site.now = func() time.Time { return noon }
	site.Register(b.engine)
	b.engine.Match([]string{"GET", "HEAD"}, "/:org/:box", site.Box) // the Vagrant API does this
	b.engine.NoRoute(site.NotFound)
	return b
}

// get asks for a page of the host reg.example:8099.
func (b *bundle) get(path string) *httptest.ResponseRecorder { return b.ask("GET", path) }

func (b *bundle) ask(method, path string) *httptest.ResponseRecorder {
	b.t.Helper()
	w := httptest.NewRecorder()
	b.engine.ServeHTTP(w, httptest.NewRequestWithContext(b.t.Context(), method, "http://reg.example:8099"+path, nil))
	return w
}

// page asks for a page that must be there.
func (b *bundle) page(path string) string {
	b.t.Helper()
	w := b.get(path)
	if w.Code != http.StatusOK {
		b.t.Fatalf("GET %s: %d\n%s%s", path, w.Code, w.Body, b.log)
	}
	return w.Body.String()
}

// says fails for each text that the page lacks.
func says(t *testing.T, page string, texts ...string) {
	t.Helper()
	for _, s := range texts {
		if !strings.Contains(page, s) {
			t.Errorf("the page does not say %q", s)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func file(provider, arch string, size int64) boxregistry.File {
	digest := blob.Digest(strings.Repeat(fmt.Sprintf("%02x", len(provider)*16+len(arch)), 32))
	return boxregistry.File{Provider: boxregistry.Provider(provider), Architecture: boxregistry.Architecture(arch),
		Default: arch == "amd64", Digest: digest, Size: size, Published: noon.Add(-26 * time.Hour)}
}

func release(version string, state boxregistry.State, files ...boxregistry.File) boxregistry.Release {
	r := boxregistry.Release{Version: must(boxregistry.ParseVersion(version)), State: state, Created: noon.Add(-72 * time.Hour), Files: files}
	if state != boxregistry.Draft {
		r.Released = noon.Add(-25 * time.Hour)
	}
	if state == boxregistry.Revoked {
		r.Revoked = noon.Add(-2 * time.Hour)
	}
	return r
}

// sample is a box with something of everything.
func sample() boxregistry.Box {
	tested, broken := file("libvirt", "amd64", 412_345_678), file("libvirt", "amd64", 412_000_000)
	tested.Smoke = boxregistry.Smoke{Passed: true, Detail: "logged in 21 s after power-on", At: noon.Add(-25 * time.Hour)}
	tested.Firmware, tested.VirtualSize, tested.UnpackedSize = "uefi", 21_474_836_480, 1_288_490_188
	tested.Provenance = []byte(`{"build":"01JD4","template":"debian.pkr.hcl","iso":"sha256:0badc0de","checkpoint":"installed"}`)
	broken.Smoke = boxregistry.Smoke{Detail: "no SSH banner in 120 s", At: noon.Add(-time.Hour)}
	return boxregistry.Box{
		Name: must(boxregistry.ParseName("ops/debian12")), ShortDescription: "Debian 12, minimal, with our base role applied",
		Description: "Rebuilt every night from the netinst image.\nThe root disk grows by itself; log in as vagrant.",
		Created:     noon.Add(-90 * 24 * time.Hour), Updated: noon.Add(-25 * time.Hour),
		Releases: []boxregistry.Release{
			release("20261121.1.0", boxregistry.Draft, broken),
			release("20261120.1.0", boxregistry.Released, file("libvirt", "arm64", 398_000_000), tested, file("virtualbox", "amd64", 455_000_000), file("vmware_desktop", "amd64", 471_000_000)),
			release("20261113.1.0", boxregistry.Released, file("libvirt", "amd64", 409_000_000), file("virtualbox", "amd64", 451_000_000)),
			release("20261106.1.0", boxregistry.Revoked, file("libvirt", "amd64", 408_000_000)),
		},
	}
}

func sampleBuilds() []Build {
	at := func(seconds float64) time.Time {
		return noon.Add(time.Duration((seconds - 200) * float64(time.Second)))
	}
	return []Build{
		{ID: "b7", State: "running", Template: "debian.pkr.hcl", Source: "libvirt.debian", Box: "ops/debian12", Version: "20261121.1.0", Attempt: 2,
			Queued: at(0), Started: at(2), Steps: []Step{
				{Name: "fetch-media", State: "cached", Note: "verified 3 days ago", Started: at(2), Finished: at(2.1)},
				{Name: "install", State: "done", Started: at(3), Finished: at(121)},
				{Name: "wait-guest", State: "done", Started: at(121), Finished: at(145)},
				{Name: "provision 1: shell", State: "running", Started: at(145)},
				{Name: "shutdown", State: "pending"}, {Name: "export", State: "pending"}, {Name: "publish", State: "pending"}}},
		{ID: "b6", State: "failed", Template: "rocky.json", Source: "libvirt.rocky", Attempt: 1, Queued: at(-900), Started: at(-890), Finished: at(-800),
			Error: "provisioner 2 (shell): script \"setup.sh\" exited with status 3; the last lines it printed are in the log",
			Steps: []Step{{Name: "install", State: "done", Started: at(-890), Finished: at(-820)}, {Name: "provision 2: shell", State: "failed", Started: at(-820), Finished: at(-800)}}},
		{ID: "b5", State: "succeeded", Template: "debian.pkr.hcl", Source: "libvirt.debian", Box: "ops/debian12", Version: "20261120.1.0", Attempt: 1,
			Queued: at(-90000), Started: at(-89990), Finished: at(-89800)},
		{ID: "b4", State: "queued", Template: "alma.pkr.hcl", Source: "virtualbox-iso.alma", Queued: at(100)},
		{ID: "b3", State: "canceled", Template: "alma.pkr.hcl", Source: "libvirt.alma", Queued: at(-190000), Finished: at(-189000)},
	}
}

const sampleLog = "==> libvirt.debian: Waiting for SSH ...\n    libvirt.debian: \x1b[32mconnected\x1b[0m\r\n    libvirt.debian: 10%\r    libvirt.debian: 100%\n" +
	"==> libvirt.debian: Provisioning with shell script setup.sh\n    libvirt.debian: Setting up openssh-server (1:9.2p1-2+deb12u3) ...\n"

func samples() (*fakeBoxes, *fakeBuilds) {
	named := func(name, short string, releases ...boxregistry.Release) boxregistry.Box {
		return boxregistry.Box{Name: must(boxregistry.ParseName(name)), ShortDescription: short, Updated: noon.Add(-50 * time.Hour), Releases: releases}
	}
	return &fakeBoxes{boxes: []boxregistry.Box{
			sample(),
			named("ops/rocky9", "Rocky Linux 9 for the build farm", release("9.4.1", boxregistry.Released, file("libvirt", "amd64", 780_000_000))),
			named("lab/windows-2022", "", release("1.0.0-rc1", boxregistry.Draft)),
			named("lab/alpine", "Smallest guest that boots", release("3.20.3", boxregistry.Released, file("libvirt", "amd64", 61_200_000), file("virtualbox", "amd64", 66_000_000))),
		}},
		&fakeBuilds{builds: sampleBuilds(), logs: map[string]string{"b7": sampleLog, "b6": strings.Repeat("boring line\n", 40_000) + "setup.sh: no such mirror\n"}}
}
