package upstream

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/blob"
	"github.com/boxkiln/boxkiln/boxregistry/boxfile"
)

// hub is an upstream with catalogs.
type hub struct {
	*server
	t *testing.T
	c Catalog
}

func newHub(t *testing.T) *hub {
	return &hub{server: newServer(t), t: t, c: Catalog{Name: "org/box", ShortDescription: "short", Description: "long"}}
}

// has puts a file into the catalog of org/box; arch is what the catalog says of it.
func (h *hub) has(number, provider, arch string, box []byte, sum boxregistry.Checksum) string {
	h.t.Helper()
	path := "/files/" + number + "-" + provider + "-" + arch + ".box"
	h.file(path, box)
	i := slices.IndexFunc(h.c.Versions, func(v CatalogVersion) bool { return v.Version == number })
	if i < 0 {
		h.c.Versions = append(h.c.Versions, CatalogVersion{Version: number, DescriptionMarkdown: "notes of " + number})
		i = len(h.c.Versions) - 1
	}
	h.c.Versions[i].Providers = append(h.c.Versions[i].Providers, CatalogProvider{Name: provider, URL: h.URL + path, Architecture: arch, ChecksumType: sum.Type, Checksum: sum.Hex})
	h.json("/org/box", h.c)
	return path
}

func sha(box []byte) boxregistry.Checksum {
	return boxregistry.Checksum{Type: "sha256", Hex: sha256Of(box)}
}

// importAll reads, plans and imports org/box.
func (h *hub) importAll(ctx context.Context, f *Fetcher, to *target, job Job, tell func(Event)) (Summary, error) {
	h.t.Helper()
	o, err := Reader{Fetcher: f}.Read(ctx, Place{Kind: AnyURL, Base: h.URL + "/org/box"})
	if err != nil {
		h.t.Fatal(err)
	}
	p, err := NewPlan(ctx, o, job, to)
	if err != nil {
		h.t.Fatal(err)
	}
	im := &Importer{Fetcher: f, Target: to, Tell: tell}
	return im.Import(ctx, p, job)
}

func TestImportsEverythingAndOnlyOnce(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	lib, vb, old := boxOf(t, "qemu", "amd64", "1"), boxOf(t, "utm", "arm64", "2"), boxOf(t, "qemu", "", "3")
	sum := md5.Sum(vb)
	h.has("1.1", "qemu", "", lib, sha(lib))
	h.has("1.1", "utm", "arm64", vb, boxregistry.Checksum{Type: "md5", Hex: hex.EncodeToString(sum[:])})
	h.has("1.0", "qemu", "unknown", old, boxregistry.Checksum{})
	f, _ := testFetcher(t)
	to := newTarget()
	got, err := h.importAll(t.Context(), f, to, Job{UnknownAs: "amd64", Channel: "candidate"}, nil)
	if err != nil || got.Files != 3 || len(got.Released) != 2 || len(got.Skipped) != 0 || got.Bytes != int64(len(lib)+len(vb)+len(old)) {
		t.Fatalf("%+v, %v", got, err)
	}
	want := "org/box 1.0 released qemu/amd64\norg/box 1.1 released qemu/amd64 utm/arm64"
	if to.state() != want {
		t.Errorf("got\n%s\nwant\n%s", to.state(), want)
	}
	to.knowsAll(t)
	b := to.boxes[name("org/box")]
	if b.ShortDescription != "short" || b.Description != "long" || b.Releases[0].Channels[0] != "candidate" {
		t.Errorf("%+v", b)
	}
	if rel, _ := b.Release(version("1.1")); rel.Description != "notes of 1.1" || rel.Files[0].UnpackedSize == 0 {
		t.Errorf("%+v", rel)
	}
	if parts, _ := filepath.Glob(f.Dir + "/*"); len(parts) != 0 {
		t.Errorf("parts are left: %v", parts)
	}
	before := len(h.requests("GET /files"))
	again, err := h.importAll(t.Context(), f, to, Job{UnknownAs: "amd64"}, nil)
	if err != nil || again.Files != 0 || again.Here != 3 || len(again.Skipped) != 0 || len(h.requests("GET /files")) != before {
		t.Errorf("the second time: %+v, %v", again, err)
	}
}

func TestImportFilters(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	for _, v := range []string{"1.0", "1.1", "1.2", "2.0"} {
		for _, p := range []string{"qemu", "utm"} {
			box := boxOf(t, p, "amd64", v)
			h.has(v, p, "amd64", box, sha(box))
		}
	}
	h.has("1.2", "qemu", "arm64", boxOf(t, "qemu", "arm64", "x"), boxregistry.Checksum{})
	f, _ := testFetcher(t)
	for want, job := range map[string]Job{
		"new/box 1.1 released qemu/amd64\nnew/box 1.2 released qemu/amd64": {As: "new", Requirement: must(boxregistry.ParseRequirement("~> 1.0")), Provider: "qemu", Architecture: "amd64", Latest: 2},
		"a/b 1.2 released qemu/arm64":                                      {As: "a/b", Architecture: "arm64"},
		"org/box 2.0 released qemu/amd64 utm/amd64":                        {Latest: 1},
	} {
		to := newTarget()
		if sum, err := h.importAll(t.Context(), f, to, job, nil); err != nil || to.state() != want {
			t.Errorf("%+v: got\n%s\n%v, want\n%s", job, to.state(), sum, want)
		}
	}
}

func TestWhatIsWrongIsPassedOver(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	good := boxOf(t, "qemu", "amd64", "good")
	h.has("1.0", "qemu", "amd64", good, sha(good))
	h.has("1.0", "utm", "amd64", boxOf(t, "utm", "amd64", "x"), sha([]byte("other")))     // other bytes
	h.has("2.0", "qemu", "amd64", []byte("no box"), boxregistry.Checksum{})               // no box
	h.has("3.0", "qemu", "amd64", boxOf(t, "utm", "amd64", "y"), boxregistry.Checksum{})  // another provider
	h.has("4.0", "qemu", "amd64", boxOf(t, "qemu", "arm64", "z"), boxregistry.Checksum{}) // another architecture
	h.handle(h.has("5.0", "qemu", "amd64", good, boxregistry.Checksum{}), http.NotFound)  // gone
	h.has("v6", "qemu", "amd64", good, sha(good))                                         // no version
	f, _ := testFetcher(t)
	to := newTarget()
	var events []Event
	im := func(e Event) { events = append(events, e) }
	job := Job{}
	o := must(Reader{Fetcher: f}.Read(t.Context(), Place{Kind: AnyURL, Base: h.URL + "/org/box"}))
	p := must(NewPlan(t.Context(), o, job, to))
	sum, err := (&Importer{Fetcher: f, Target: to, Tell: im, Parallel: 1}).Import(t.Context(), p, job)
	if err != nil || sum.Files != 1 || len(sum.Released) != 0 || len(sum.Skipped) != 6 || !slices.Equal(sum.Drafts, []string{"org/box 1.0"}) {
		t.Fatalf("%+v, %v", sum, err)
	}
	all := strings.Join(sum.Skipped, "\n")
	for _, want := range []string{"1.0 utm/amd64: the sha256 that came is", "2.0 qemu/amd64: not a good box", "its metadata.json says utm", "its metadata.json says arm64", "5.0 qemu/amd64: " + h.URL, "v6"} {
		if !strings.Contains(all, want) {
			t.Errorf("no %q in\n%s", want, all)
		}
	}
	if to.state() != "org/box 1.0 draft qemu/amd64" {
		t.Errorf("state\n%s", to.state())
	}
	if last := events[len(events)-1]; last.Kind != EventSummary || last.Summary.Files != 1 {
		t.Errorf("the last event is %+v", last)
	}
	if parts, _ := filepath.Glob(f.Dir + "/*"); len(parts) != 0 {
		t.Errorf("parts of bad files are left: %v", parts)
	}
	// The server has the right bytes now: the import goes on.
	fixed := boxOf(t, "utm", "amd64", "x")
	h.c = Catalog{Name: "org/box"}
	h.has("1.0", "qemu", "amd64", good, sha(good))
	h.has("1.0", "utm", "amd64", fixed, sha(fixed))
	if sum, err := h.importAll(t.Context(), f, to, Job{}, nil); err != nil || sum.Here != 1 || to.state() != "org/box 1.0 released qemu/amd64 utm/amd64" {
		t.Errorf("after the repair: %+v, %v\n%s", sum, err, to.state())
	}
	// A released version takes no more files.
	h.has("1.0", "xen", "amd64", good, sha(good))
	if sum, err := h.importAll(t.Context(), f, to, Job{}, nil); err != nil || len(sum.Skipped) != 1 || !strings.Contains(sum.Skipped[0], "never change") {
		t.Errorf("a file for a released version: %+v, %v", sum, err)
	}
}

func TestAnInterruptedImportGoesOn(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	box := boxOf(t, "qemu", "amd64", strings.Repeat("large ", 100))
	path := h.has("1.0", "qemu", "amd64", box, sha(box))
	ctx, cancel := context.WithCancel(t.Context())
	h.handle(path, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"v1"`)
		w.Header().Set("Content-Length", fmt.Sprint(len(box)))
		_, _ = w.Write(box[:len(box)/2])
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	f, _ := testFetcher(t)
	to := newTarget()
	_, err := h.importAll(ctx, f, to, Job{}, func(e Event) {
		if e.Kind == EventProgress && e.Done == int64(len(box)/2) {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) || to.state() != "" {
		t.Fatalf("%v, %s", err, to.state())
	}
	h.handle(path, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"v1"`)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(box))
	})
	if sum, err := h.importAll(t.Context(), f, to, Job{}, nil); err != nil || sum.Files != 1 || to.state() != "org/box 1.0 released qemu/amd64" {
		t.Fatalf("%+v, %v", sum, err)
	}
	if asked := h.requests("GET " + path); len(asked) != 2 || !strings.HasSuffix(asked[1], fmt.Sprintf("bytes=%d-", len(box)/2)) {
		t.Errorf("asked %q", asked)
	}
}

func TestADamagedPartIsFetchedAgain(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	box := boxOf(t, "qemu", "amd64", "x")
	path := h.has("1.0", "qemu", "amd64", box, sha(box))
	f, _ := testFetcher(t)
	o := must(Reader{Fetcher: f}.Read(t.Context(), Place{Kind: AnyURL, Base: h.URL + "/org/box"}))
	file := o.Boxes[0].Versions[0].Files[0]
	d := must(f.Fetch(t.Context(), FetchRequest{Origin: file.Origin, Key: file.Key()}, ignore))
	if _, err := io.CopyN(io.Discard, d, 20); err != nil {
		t.Fatal(err)
	}
	_ = d.Close()
	write(t, d.Path(), make([]byte, 20)) // as after a power failure
	to := newTarget()
	if sum, err := h.importAll(t.Context(), f, to, Job{}, nil); err != nil || len(sum.Released) != 1 {
		t.Fatalf("%+v, %v", sum, err)
	}
	if asked := h.requests("GET " + path); len(asked) != 3 {
		t.Errorf("asked %q", asked)
	}
}

func TestBytesThatAreHereAreNotFetched(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	box := boxOf(t, "qemu", "amd64", "x")
	path := h.has("1.0", "qemu", "amd64", box, sha(box))
	f, _ := testFetcher(t)
	to := newTarget()
	if _, err := blob.Copy(t.Context(), to.Store, bytes.NewReader(box), ""); err != nil {
		t.Fatal(err)
	}
	if sum, err := h.importAll(t.Context(), f, to, Job{}, nil); err != nil || len(sum.Released) != 1 || len(h.requests("GET "+path)) != 0 {
		t.Errorf("%+v, %v, asked %q", sum, err, h.requests("GET"))
	}
	to.knowsAll(t)
}

func TestAFullDiskEndsTheImport(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	for _, v := range []string{"1", "2", "3", "4"} {
		h.has(v, "qemu", "amd64", boxOf(t, "qemu", "amd64", v), boxregistry.Checksum{})
	}
	f, _ := testFetcher(t)
	to := newTarget()
	to.fail = func(boxregistry.Publication) error { return blob.ErrNoSpace }
	im, job := &Importer{Fetcher: f, Target: to, Parallel: 1}, Job{}
	o := must(Reader{Fetcher: f}.Read(t.Context(), Place{Kind: AnyURL, Base: h.URL + "/org/box"}))
	sum, err := im.Import(t.Context(), must(NewPlan(t.Context(), o, job, to)), job)
	if !errors.Is(err, blob.ErrNoSpace) || len(sum.Skipped) != 1 {
		t.Errorf("%+v, %v", sum, err)
	}
}

func TestAMixOfArchitecturesNamesTheRemedy(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	h.has("1", "qemu", "amd64", boxOf(t, "qemu", "amd64", "x"), boxregistry.Checksum{})
	f, _ := testFetcher(t)
	to := newTarget()
	to.fail = func(boxregistry.Publication) error { return boxregistry.ErrArchitectureMix }
	if sum, err := h.importAll(t.Context(), f, to, Job{}, nil); err != nil || len(sum.Skipped) != 1 || !strings.Contains(sum.Skipped[0], "--unknown-as") || len(h.requests("GET /files")) != 0 {
		t.Errorf("%+v, %v", sum, err)
	}
}

func TestImportsUnpackedBoxesAndFiles(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	at := filepath.Join(home, "ops-VAGRANTSLASH-deb", "1.0", "qemu")
	write(t, at+"/metadata.json", []byte(`{"provider":"qemu","architecture":"x86_64","odd":{"kept":true}}`))
	write(t, at+"/disk.img", bytes.Repeat([]byte("x"), 10_000))
	write(t, at+"/box_update_check", nil)
	f, _ := testFetcher(t)
	to := newTarget()
	for range 2 {
		o := must(Reader{Local: true}.Read(t.Context(), must(ParsePlace(home))))
		p := must(NewPlan(t.Context(), o, Job{}, to))
		sum, err := (&Importer{Fetcher: f, Target: to}).Import(t.Context(), p, Job{})
		if err != nil || sum.Files+sum.Here != 1 || len(sum.Skipped) != 0 {
			t.Fatalf("%+v, %v", sum, err)
		}
	}
	if to.state() != "ops/deb 1.0 released qemu/amd64" {
		t.Fatal(to.state())
	}
	digest := to.boxes[name("ops/deb")].Releases[0].Files[0].Digest
	src, _, err := to.Open(t.Context(), digest)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	sum, err := boxfile.Inspect(t.Context(), src, boxfile.Limits{})
	if err != nil || len(sum.Files) != 2 || sum.Files[0].Name != "metadata.json" || sum.Files[1].Size != 10_000 {
		t.Errorf("%+v, %v", sum, err)
	}
	write(t, home+"/one.box", boxOf(t, "utm", "arm64", "x"))
	o := must(Reader{Local: true, Number: version("3")}.Read(t.Context(), must(ParsePlace(home+"/one.box"))))
	job := Job{As: "ops/one"}
	if sum, err := (&Importer{Fetcher: f, Target: to}).Import(t.Context(), must(NewPlan(t.Context(), o, job, to)), job); err != nil || len(sum.Released) != 1 {
		t.Errorf("%+v, %v", sum, err)
	}
	if p := must(NewPlan(t.Context(), o, job, to)); len(p.Boxes) != 1 || len(p.Boxes[0].Versions[0].Here) != 1 {
		t.Errorf("the file again: %+v", p)
	}
	to.knowsAll(t)
}

func TestWhatWasTakenBackStaysBack(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	box := boxOf(t, "qemu", "amd64", "x")
	for _, v := range []string{"1", "2"} {
		h.has(v, "qemu", "amd64", box, sha(box))
	}
	f, _ := testFetcher(t)
	to := newTarget()
	if _, err := h.importAll(t.Context(), f, to, Job{}, nil); err != nil {
		t.Fatal(err)
	}
	for i, r := range to.boxes[name("org/box")].Releases {
		if r.Version.String() == "1" {
			to.boxes[name("org/box")].Releases[i].State = boxregistry.Revoked
		} else {
			to.boxes[name("org/box")].Releases[i].Deleted = time.Now()
		}
	}
	sum, err := h.importAll(t.Context(), f, to, Job{}, nil)
	all := strings.Join(sum.Skipped, "\n")
	if err != nil || len(sum.Skipped) != 2 || len(sum.Released) != 0 || !strings.Contains(all, "revoked here") || !strings.Contains(all, "can still be restored") {
		t.Errorf("%+v, %v", sum, err)
	}
}

func TestNamesOfBoxes(t *testing.T) {
	t.Parallel()
	one := Offer{Boxes: []Box{{Name: "bare", Versions: []Version{{Number: version("1"), Files: []File{{Provider: "qemu"}}}}}}}
	for as, want := range map[string]string{"": "no organisation", "ops": "ops/bare", "ops/x": "ops/x", "api": "taken by the registry"} {
		p, err := NewPlan(t.Context(), one, Job{As: as}, newTarget())
		got := fmt.Sprint(p.Skipped)
		if len(p.Boxes) == 1 {
			got = p.Boxes[0].Name.String()
		}
		if err != nil || !strings.Contains(got, want) {
			t.Errorf("as %q: %s, %v", as, got, err)
		}
	}
	two := Offer{Boxes: append(slices.Clone(one.Boxes), one.Boxes[0])}
	if _, err := NewPlan(t.Context(), two, Job{As: "a/b"}, newTarget()); err == nil {
		t.Error("two boxes got one name")
	}
	if p, err := NewPlan(t.Context(), two, Job{As: "a"}, newTarget()); err != nil || len(p.Boxes) != 1 || len(p.Skipped) != 1 {
		t.Errorf("equal names: %+v, %v", p, err)
	}
}
