package upstream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/boxkiln/boxkiln/boxregistry"
)

func read(t *testing.T, r Reader, at string) (Offer, error) {
	t.Helper()
	p, err := ParsePlace(at)
	if err != nil {
		t.Fatal(err)
	}
	return r.Read(t.Context(), p)
}

func TestReadsURLs(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.json("/catalogs/debian.json", Catalog{Name: "debian", Versions: []CatalogVersion{{Version: "1.0", Providers: []CatalogProvider{{Name: "libvirt", URL: "https://h/x.box"}}}}})
	s.json("/ops/web", Catalog{Name: "ops/web", Versions: []CatalogVersion{{Version: "2", Providers: []CatalogProvider{{Name: "libvirt", URL: "https://h/y.box"}}}}})
	s.file("/plain.box", []byte("not read yet"))
	s.handle("/page/html", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") })
	f, _ := testFetcher(t)
	r := Reader{Fetcher: f, Number: version("7")}
	for at, want := range map[string]string{"/catalogs/debian.json": "debian 1.0: libvirt", "/ops/web": "ops/web 2: libvirt", "/plain.box": " 7: any provider"} {
		if o, err := read(t, r, s.URL+at); err != nil || list(o) != want {
			t.Errorf("%s: %q, %v", at, list(o), err)
		}
	}
	if _, err := read(t, Reader{Fetcher: f}, s.URL+"/plain.box"); err == nil || !strings.Contains(err.Error(), "--version") {
		t.Errorf("a box without a version: %v", err)
	}
	if _, err := read(t, r, s.URL+"/page/html"); !errors.Is(err, ErrNoCatalog) {
		t.Errorf("a page: %v", err)
	}
	if _, err := read(t, r, "/etc"); err == nil || !strings.Contains(err.Error(), "daemon runs as") {
		t.Errorf("a path that may not be read: %v", err)
	}
}

func TestReadsOrganisationsOfServersLikeVagrantCloud(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.json("/api/v2/user/ops", map[string]any{"username": "ops", "boxes": []any{
		map[string]any{"tag": "ops/web"}, map[string]any{"name": "db"}, map[string]any{"tag": "ops/gone"}, map[string]any{"tag": "bad"}}})
	for _, box := range []string{"web", "db"} {
		s.json("/api/v2/vagrant/ops/"+box, Catalog{Name: "ops/" + box, Versions: []CatalogVersion{{Version: "1", Providers: []CatalogProvider{{Name: "libvirt", URL: "https://h/x.box"}}}}})
	}
	f, _ := testFetcher(t)
	o, err := read(t, Reader{Fetcher: f}, s.URL+"/ops")
	if want := "ops/db 1: libvirt\nops/web 1: libvirt"; err != nil || list(o) != want {
		t.Errorf("%q, %v", list(o), err)
	}
	wantSkipped(t, o.Skipped, "answered 404", "bad")
}

// hcp answers as HCP's API does; expanded tells whether lists have what is below them.
func hcp(s *server, expanded bool) {
	arch := map[string]any{"architecture_type": "amd64", "default": true, "box_data": map[string]any{"checksum": strings.Repeat("AB", 32), "checksum_type": "SHA256", "size": "12345"}}
	unset := map[string]any{"architecture_type": "arm64", "box_data": map[string]any{"checksum_type": "UNSET"}}
	provider := map[string]any{"name": "virtualbox"}
	versions := map[string]any{"name": "1.0", "state": "ACTIVE", "description": "notes"}
	if expanded {
		provider["architectures"] = []any{arch, unset}
		versions["providers"] = []any{provider}
	}
	const box = "/registry/org/box/one"
	s.handle("/registry/org/boxes", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("pagination.next_page_token") == "" {
			fmt.Fprint(w, `{"boxes":[{"name":"one","short_description":"s","is_private":true}],"pagination":{"next_page_token":"p2"}}`)
			return
		}
		fmt.Fprint(w, `{"boxes":[{"name":"two"}],"pagination":{}}`)
	})
	s.json(box, map[string]any{"box": map[string]any{"name": "one"}})
	s.json(box+"/versions", map[string]any{"versions": []any{versions, map[string]any{"name": "2.0", "state": "UNRELEASED"}, map[string]any{"name": "0.1", "state": "REVOKED"}}})
	s.json(box+"/version/1.0/providers", map[string]any{"providers": []any{provider}})
	s.json(box+"/version/1.0/provider/virtualbox/architectures", map[string]any{"architectures": []any{arch, unset}})
	s.json(box+"/version/1.0/provider/virtualbox/architecture/amd64/download", map[string]any{"url": s.URL + "/storage?expires=soon"})
}

func TestReadsHCP(t *testing.T) {
	t.Parallel()
	for _, expanded := range []bool{true, false} {
		s := newServer(t)
		hcp(s, expanded)
		f, _ := testFetcher(t)
		o, err := Reader{Fetcher: f}.Read(t.Context(), Place{Kind: HCPRegistry, Base: s.URL, Org: "org"})
		if want := "org/one 1.0: virtualbox/amd64 virtualbox/arm64"; err != nil || list(o) != want {
			t.Fatalf("expanded %v: %q, %v", expanded, list(o), err)
		}
		wantSkipped(t, o.Skipped, "org/two")
		b := o.Boxes[0]
		file := b.Versions[0].Files[0]
		if !b.Private || b.ShortDescription != "s" || b.Versions[0].Description != "notes" || file.Size != 12345 || !file.Default ||
			file.Checksum.Hex != strings.Repeat("ab", 32) || file.Origin.Kind != AtHCP || b.Versions[0].Files[1].Checksum.Type != "" {
			t.Errorf("%+v", b)
		}
		if o, err := (Reader{Fetcher: f}).Read(t.Context(), Place{Kind: HCPRegistry, Base: s.URL, Org: "org", Box: "one"}); err != nil || len(o.Boxes) != 1 {
			t.Errorf("one box: %v, %v", list(o), err)
		}
		s.file("/storage", []byte("the box"))
		d := must(f.Fetch(t.Context(), FetchRequest{Origin: file.Origin}, ignore))
		var got bytes.Buffer
		if _, err := got.ReadFrom(d); err != nil || got.String() != "the box" {
			t.Errorf("downloaded %q, %v", got.String(), err)
		}
		_ = d.Close()
	}
}

func TestReadsFolders(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	box := []byte("box")
	write(t, dir+"/vagrancy/ops/web/1.2.0/libvirt/box", box)
	write(t, dir+"/vagrancy/ops/web/1.2.0/virtualbox/box", box)
	write(t, dir+"/vagrancy/ops/web/1.2.0/virtualbox/box.lock", nil)
	write(t, dir+"/vagrancy/ops/web/bad_version/libvirt/box", box)
	write(t, dir+"/shadow/ops-VAGRANTSLASH-db__1.0.1__virtualbox.box", box)
	write(t, dir+"/shadow/ops-VAGRANTSLASH-my__db__1.1__libvirt.box", box)
	write(t, dir+"/shadow/other.box", box)
	write(t, dir+"/home/setup_version", []byte("1.5"))
	write(t, dir+"/home/boxes/ops-VAGRANTSLASH-old/0.9/libvirt/metadata.json", []byte(`{"provider":"libvirt"}`))
	write(t, dir+"/home/boxes/ops-VAGRANTSLASH-old/1.0/arm64/libvirt/metadata.json", []byte(`{"provider":"libvirt"}`))
	write(t, dir+"/home/boxes/plain/2/hyperv/metadata.json", []byte(`{"provider":"hyperv"}`))
	write(t, dir+"/home/boxes/ops-VAGRANTSLASH-old/metadata_url", []byte("http://h"))
	catalog := `{"name":"ops/static","versions":[{"version":"3","providers":[
		{"name":"libvirt","url":"https://old.example.org/some/prefix/files/a.box","architecture":"amd64"},
		{"name":"virtualbox","url":"files/a.box"},{"name":"hyperv","url":"/moved/away/files/a.box"},
		{"name":"qemu","url":"https://elsewhere.example.org/b.box"},{"name":"utm","url":"missing.box"}]}]}`
	write(t, dir+"/static/ops/static", []byte(catalog))
	write(t, dir+"/static/ops/static.json", []byte(catalog))
	write(t, dir+"/static/ops/other.json", []byte(`{"hello":1}`))
	write(t, dir+"/static/files/a.box", box)

	for at, want := range map[string]string{
		"vagrancy": "ops/web 1.2.0: libvirt virtualbox",
		"shadow":   "ops/db 1.0.1: virtualbox\nops/my__db 1.1: libvirt",
		"home":     "ops/old 1.0: libvirt/arm64 | 0.9: libvirt\nplain 2: hyperv",
		"static":   "ops/static 3: libvirt/amd64 virtualbox hyperv qemu",
	} {
		o, err := read(t, Reader{Local: true}, filepath.Join(dir, at))
		if err != nil || list(o) != want {
			t.Errorf("%s:\n%s\n%v; want\n%s", at, list(o), err, want)
		}
		switch at {
		case "vagrancy":
			wantSkipped(t, o.Skipped, "bad_version")
		case "shadow":
			wantSkipped(t, o.Skipped, "other.box: no catalog")
		case "static":
			if files := o.Boxes[0].Versions[0].Files; files[0].Origin.Kind != AtFile || files[1].Origin != files[0].Origin || files[2].Origin != files[0].Origin || files[3].Origin.Kind != AtURL {
				t.Errorf("origins %+v", files)
			}
			wantSkipped(t, o.Skipped, `no file "`, `no file "`)
		}
	}
	if o, err := read(t, Reader{Local: true}, dir+"/static/ops/static.json"); err != nil || !strings.Contains(list(o), "ops/static 3: virtualbox") && len(o.Boxes) != 1 {
		t.Errorf("a catalog by its path: %s, %v", list(o), err)
	}
	if _, err := read(t, Reader{Local: true}, t.TempDir()); !errors.Is(err, ErrNoBoxes) {
		t.Errorf("an empty folder: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (Reader{Local: true}).Read(ctx, must(ParsePlace(dir))); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestReadsSingleFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	plain := write(t, dir+"/debian.box", []byte("x"))
	shadow := write(t, dir+"/ops-VAGRANTSLASH-db__1.0.1__virtualbox.box", []byte("x"))
	if o, err := read(t, Reader{Local: true}, shadow); err != nil || list(o) != "ops/db 1.0.1: virtualbox" {
		t.Errorf("%s, %v", list(o), err)
	}
	o, err := read(t, Reader{Local: true, Number: version("4")}, plain)
	want := boxregistry.Checksum{Type: "sha256", Hex: sha256Of([]byte("x"))}
	if err != nil || list(o) != " 4: any provider" || o.Boxes[0].Versions[0].Files[0].Checksum != want {
		t.Errorf("%s, %v", list(o), err)
	}
	if _, err := read(t, Reader{Local: true}, plain); err == nil || !strings.Contains(err.Error(), "--as ORG/BOX") {
		t.Errorf("without a version: %v", err)
	}
}
