package vagrantapi

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/boxkiln/boxkiln/internal/netx/netxtest"
)

// emptyDraft has the box ops/deb with the draft 1.0 and no file.
func emptyDraft(t *testing.T) *cloud {
	c := newCloud(t)
	c.want(writer, "POST", "/api/v2/boxes", `{"box":{"username":"ops","name":"deb","is_private":false}}`)
	c.want(writer, "POST", ops+"/versions", `{"version":{"version":"1.0"}}`)
	return c
}

const (
	drafted   = ops + "/version/1.0"
	providers = drafted + "/providers"
	sum       = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
)

func TestProviderIsDeclared(t *testing.T) {
	t.Parallel()
	c := emptyDraft(t)
	o := c.want(writer, "POST", providers, `{"provider":{"name":"libvirt","checksum":" `+strings.ToUpper(sum)+` ","checksum_type":"SHA256","architecture":"x86_64"}}`)
	for path, want := range map[string]any{
		"name": "libvirt", "architecture": "amd64", "default_architecture": true, "checksum": sum, "checksum_type": "sha256", "hosted": true, "url": nil,
	} {
		if got := o.get(path); got != want {
			t.Errorf("%s is %v, want %v", path, got, want)
		}
	}
	if o["created_at"] == nil {
		t.Error("without created_at the gem says that there is no such provider")
	}
	// A run that was broken off is repeated.
	if o := c.want(writer, "POST", providers, `{"provider":{"name":"libvirt","architecture":"amd64","checksum":"","checksum_type":null}}`); o["checksum"] != sum {
		t.Errorf("declared again: %v", o)
	}
	if o := c.want(writer, "GET", drafted+"/provider/libvirt", ""); o["architecture"] != "amd64" {
		t.Errorf("v1 path: %v", o)
	}
	if a := c.ask("GET", o["download_url"].(string)); a.status != 404 {
		t.Errorf("a file that has not come: %d", a.status)
	}
	c.refused(404, "no file for virtualbox", writer, "GET", drafted+"/provider/virtualbox", "")
	c.refused(404, "no file for libvirt/arm64", writer, "GET", drafted+"/provider/libvirt/arm64", "")
	c.refused(404, "no version", writer, "POST", ops+"/version/7/providers", `{"provider":{"name":"libvirt"}}`)
}

func TestBadProviders(t *testing.T) {
	t.Parallel()
	c := emptyDraft(t)
	for body, says := range map[string]string{
		`{}`:                               "provider",
		`{"provider":{"name":"Lib Virt"}}`: "lower-case",
		`{"provider":{"name":"libvirt","architecture":"AMD 64"}}`:                                     "architecture",
		`{"provider":{"name":"libvirt","checksum":"` + sum + `  file.box","checksum_type":"sha256"}}`: "without the file name",
		`{"provider":{"name":"libvirt","checksum":"` + sum + `","checksum_type":"md5"}}`:              "want 32 hexadecimal digits",
		`{"provider":{"name":"libvirt","checksum":"` + sum + `"}}`:                                    "checksum type",
		`{"provider":{"name":"libvirt","checksum":"` + sum + `","checksum_type":"crc32"}}`:            "none of md5",
		`{"provider":{"name":"libvirt","url":"ftp://h/x.box"}}`:                                       "http",
		`{"provider":{"name":"libvirt","url":"/x.box"}}`:                                              "http",
		`{"provider":{"name":"libvirt","url":"javascript:alert(1)"}}`:                                 "http",
	} {
		c.refused(422, says, writer, "POST", providers, body)
	}
	if o := c.want(writer, "GET", drafted, ""); len(o["providers"].([]any)) != 0 {
		t.Errorf("left behind %v", o["providers"])
	}
}

// The first architecture of a provider becomes its default; another that asks for it takes it over.
func TestDefaultArchitecture(t *testing.T) {
	t.Parallel()
	c := emptyDraft(t)
	for _, body := range []string{`"architecture":"amd64"`, `"architecture":"arm64"`, `"architecture":"s390x","default_architecture":true`} {
		c.want(writer, "POST", providers, `{"provider":{"name":"libvirt",`+body+`}}`)
	}
	defaults := func() string {
		var list []string
		for _, p := range c.want(writer, "GET", drafted, "")["providers"].([]any) {
			o := object(p.(map[string]any))
			list = append(list, fmt.Sprint(o["architecture"], o["default_architecture"]))
		}
		return strings.Join(list, " ")
	}
	if got := defaults(); got != "amd64false arm64false s390xtrue" {
		t.Errorf("%s", got)
	}
	c.want(writer, "PUT", drafted+"/provider/libvirt/amd64", `{"provider":{"default_architecture":true}}`)
	c.want(writer, "PUT", drafted+"/provider/libvirt/arm64", `{"provider":{"default_architecture":false,"architecture":"ppc64le"}}`)
	if got := defaults(); got != "ppc64lefalse s390xfalse amd64true" {
		t.Errorf("%s", got)
	}
	c.refused(422, "already", writer, "PUT", drafted+"/provider/libvirt/amd64", `{"provider":{"architecture":"s390x"}}`)
}

// A client of v1 knows of no architectures: the box says which it is, and later versions follow the first.
func TestArchitectureOfV1(t *testing.T) {
	t.Parallel()
	c := emptyDraft(t)
	const v1 = "/api/v1/box/ops/deb"
	if o := c.want(writer, "POST", v1+"/version/1.0/providers", `{"provider":{"name":"libvirt"}}`); o["architecture"] != "unknown" || o["default_architecture"] != true {
		t.Errorf("%v", o)
	}
	to := c.want(writer, "GET", v1+"/version/1.0/provider/libvirt/upload", "")["upload_path"].(string)
	if a := c.send("PUT", to, fakeBox(t, "x")); a.status != 200 || !strings.Contains(a.body, `"architecture":"amd64"`) {
		t.Errorf("%d %s", a.status, a.body)
	}
	if o := c.want(writer, "GET", v1+"/version/1.0/provider/libvirt", ""); o["architecture"] != "amd64" {
		t.Errorf("%v", o)
	}
	c.want(writer, "PUT", v1+"/version/1.0/release", "")
	c.want(writer, "POST", v1+"/versions", `{"version":{"version":"1.1"}}`)
	c.upload(writer, v1+"/version/1.1", "libvirt", "y")
	c.want(writer, "PUT", v1+"/version/1.1/release", "")
	// Nobody can look into a file that is elsewhere: it is taken for what the box has had.
	c.want(writer, "POST", v1+"/versions", `{"version":{"version":"1.2"}}`)
	if o := c.want(writer, "POST", v1+"/version/1.2/providers", `{"provider":{"name":"libvirt","url":"https://h/x.box"}}`); o["architecture"] != "amd64" {
		t.Errorf("the box went back to %v", o["architecture"])
	}
	c.want(writer, "PUT", v1+"/version/1.2/release", "")
	if got := inShort(c.catalogOf("/ops/deb")); got != "1.2: libvirt/amd64* | 1.1: libvirt/amd64* | 1.0: libvirt/amd64*" {
		t.Errorf("%s", got)
	}
}

func TestReleasedFilesStay(t *testing.T) {
	t.Parallel()
	c := draftCloud(t)
	c.want(writer, "PUT", drafted+"/release", "")
	file := drafted + "/provider/libvirt/amd64"
	o := c.want(writer, "GET", file, "")
	// The gem saves what it read.
	for _, body := range []string{`{}`, `{"provider":{"name":"libvirt"}}`, `{"provider":{"name":"libvirt","checksum":"` + o["checksum"].(string) + `","checksum_type":"sha256"}}`} {
		if got := c.want(writer, "PUT", file, body); got["checksum"] != o["checksum"] {
			t.Errorf("%v", got)
		}
	}
	for _, r := range []struct{ method, path, body string }{
		{"PUT", file, `{"provider":{"checksum":"` + sum + `","checksum_type":"sha256"}}`},
		{"PUT", file, `{"provider":{"url":"https://h/x.box"}}`},
		{"PUT", file, `{"provider":{"architecture":"arm64"}}`},
		{"DELETE", file, ""},
		{"DELETE", "/api/v1/box/ops/deb/version/1.0/provider/libvirt", ""},
		{"POST", providers, `{"provider":{"name":"virtualbox"}}`},
		{"GET", file + "/upload", ""},
		{"GET", file + "/upload/direct", ""},
		{"GET", "/api/v1/box/ops/deb/version/1.0/provider/libvirt/upload/direct", ""},
	} {
		c.refused(422, "never change", writer, r.method, r.path, r.body)
	}
}

func TestProviderDelete(t *testing.T) {
	t.Parallel()
	c := emptyDraft(t)
	c.want(writer, "POST", providers, `{"provider":{"name":"libvirt","architecture":"arm64"}}`)
	c.want(writer, "POST", providers, `{"provider":{"name":"libvirt","architecture":"amd64"}}`)
	to := c.want(writer, "GET", drafted+"/provider/libvirt/amd64/upload", "")["upload_path"].(string)
	if a := c.send("PUT", to, fakeBox(t, "x")); a.status != 200 {
		t.Fatal(a.body)
	}
	// Packer cleans up without naming an architecture.
	if o := c.want(writer, "DELETE", drafted+"/provider/libvirt", ""); o["architecture"] != "arm64" {
		t.Errorf("deleted %v", o)
	}
	c.refused(422, "name the architecture", writer, "DELETE", drafted+"/provider/libvirt", "")
	if o := c.want(writer, "GET", drafted+"/provider/libvirt", ""); o["architecture"] != "amd64" || o["default_architecture"] != true {
		t.Errorf("left %v", o)
	}
	// Those of v1 mean the file itself.
	c.want(writer, "DELETE", "/api/v1/box/ops/deb/version/1.0/provider/libvirt", "")
	c.refused(404, "no file", writer, "DELETE", drafted+"/provider/libvirt/amd64", "")
}

// A file that somebody else keeps: the registry sends clients there.
func TestExternalFiles(t *testing.T) {
	t.Parallel()
	c := emptyDraft(t)
	o := c.want(writer, "POST", providers, `{"provider":{"name":"libvirt","architecture":"amd64","url":"https://cdn.example/a b.box","checksum":"`+sum+`","checksum_type":"sha256"}}`)
	if o["hosted"] != false || o["original_url"] != "https://cdn.example/a%20b.box" || o["url"] != o["original_url"] {
		t.Errorf("%v", o)
	}
	c.want(writer, "POST", providers, `{"provider":{"name":"virtualbox","architecture":"amd64","url":"http://cdn.example/v.box"}}`)
	c.want(writer, "PUT", drafted+"/release", "")
	versions := c.catalogOf("/ops/deb").Versions
	libvirt, virtualbox := versions[0].Providers[0], versions[0].Providers[1]
	if libvirt.Checksum != sum || libvirt.ChecksumType != "sha256" {
		t.Errorf("%+v", libvirt)
	}
	// Vagrant 2.2.6 crashes on a checksum type that is null, so there is none.
	if raw := c.ask("GET", "/ops/deb").body; strings.Count(raw, "checksum_type") != 1 || virtualbox.Checksum != "" {
		t.Errorf("%s", raw)
	}
	for _, method := range reading {
		for url, want := range map[string]string{
			libvirt.URL: "https://cdn.example/a%20b.box", virtualbox.URL: "http://cdn.example/v.box",
			"/ops/boxes/deb/versions/1.0/providers/virtualbox.box": "http://cdn.example/v.box",
		} {
			if a := c.ask(method, url); a.status != http.StatusFound || a.header.Get("Location") != want || a.header.Get("Cache-Control") != "no-cache" {
				t.Errorf("%s %s: %d to %q", method, url, a.status, a.header.Get("Location"))
			}
		}
	}
}

func TestUpload(t *testing.T) {
	t.Parallel()
	c := emptyDraft(t)
	box := fakeBox(t, "x")
	digest := sha256.Sum256([]byte(box))
	hexDigest := hex.EncodeToString(digest[:])
	c.want(writer, "POST", providers, `{"provider":{"name":"libvirt","architecture":"amd64","checksum":"`+hexDigest+`","checksum_type":"sha256"}}`)
	file := drafted + "/provider/libvirt/amd64"
	direct := c.want(writer, "GET", file+"/upload/direct", "")
	to, callback := direct["upload_path"].(string), direct["callback"].(string)
	if !strings.HasPrefix(to, c.url+"/up/") || strings.Contains(callback, "?") || !strings.HasPrefix(callback, c.url+"/api/v2/box/ops/deb/version/1.0/provider/libvirt/amd64/upload/direct/") {
		t.Errorf("upload_path %s, callback %s", to, callback)
	}
	if plain := c.want(writer, "GET", file+"/upload", ""); plain["upload_path"] != to || len(plain) != 1 {
		t.Errorf("asked again: %v", plain)
	}
	c.refused(422, "have not come", writer, "PUT", strings.TrimPrefix(callback, c.url), "")
	if a := c.send("PUT", to, fakeBox(t, "other")); a.status != 422 || !strings.Contains(a.body, "other bytes than their maker announced") {
		t.Errorf("other bytes than were declared: %d %s", a.status, a.body)
	}
	if a := c.send("PUT", to, "no box"); a.status != 422 || !strings.Contains(a.body, "not a good box") {
		t.Errorf("no box: %d %s", a.status, a.body)
	}
	for what, headers := range map[string][]string{
		"curl":             {"Expect: 100-continue"},
		"packer, directly": {},
		"packer, not":      {"Authorization: Bearer stale", "Content-Type: application/json"},
		"a form's type":    {"Content-Type: multipart/form-data; boundary=x"},
	} {
		// Packer sends a box again when the answer was lost.
		if a := c.send("PUT", to, box, headers...); a.status != 200 || !strings.Contains(a.body, hexDigest) {
			t.Errorf("%s: %d %s", what, a.status, a.body)
		}
	}
	c.want(writer, "PUT", strings.TrimPrefix(callback, c.url), "")
	c.want(writer, "PUT", drafted+"/release", "")
	if a := c.send("PUT", to, box); a.status != 200 {
		t.Errorf("the same bytes after the release: %d %s", a.status, a.body)
	}
	// Whoever writes without asking first may find the connection closed before the answer is read, so ask as curl does.
	if a := c.send("PUT", "/up/nosuch", box, "Expect: 100-continue"); a.status != 404 || !strings.Contains(a.body, "expired") {
		t.Errorf("no such upload: %d %s", a.status, a.body)
	}
	c.refused(404, "expired", writer, "PUT", file+"/upload/direct/nosuch", "")
	if strings.Contains(c.log.String(), to[len(to)-20:]) {
		t.Error("the secret is in the log")
	}
}

func TestUploadByForm(t *testing.T) {
	t.Parallel()
	c := emptyDraft(t)
	c.want(writer, "POST", providers, `{"provider":{"name":"libvirt","architecture":"amd64"}}`)
	to := c.want(writer, "GET", drafted+"/provider/libvirt/amd64/upload", "")["upload_path"].(string)
	form := func(field, content string) (body, kind string) {
		var b bytes.Buffer
		w := multipart.NewWriter(&b)
		_ = w.WriteField("note", "before the file")
		part, _ := w.CreateFormFile(field, "x.box")
		_, _ = part.Write([]byte(content))
		_ = w.Close()
		return b.String(), "Content-Type: " + w.FormDataContentType()
	}
	body, kind := form("other", "x")
	if a := c.send("POST", to, body, kind); a.status != 422 || !strings.Contains(a.body, "no file") {
		t.Errorf("%d %s", a.status, a.body)
	}
	body, kind = form("file", fakeBox(t, "x"))
	for what, a := range map[string]answer{
		"cut":         c.send("POST", to, body[:len(body)/2], kind),
		"no boundary": c.send("POST", to, body, "Content-Type: multipart/form-data"),
		"empty":       c.send("POST", to, "", kind),
	} {
		if a.status < 400 || a.status > 499 && what != "cut" {
			t.Errorf("%s: %d %s", what, a.status, a.body)
		}
	}
	if a := c.send("POST", to, body, kind); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := c.send("POST", to, fakeBox(t, "another")); a.status != 422 || !strings.Contains(a.body, "already") {
		t.Errorf("another file by the same door: %d %s", a.status, a.body)
	}
	to = c.want(writer, "GET", drafted+"/provider/libvirt/amd64/upload", "")["upload_path"].(string)
	if a := c.send("POST", to, fakeBox(t, "raw")); a.status != 200 {
		t.Errorf("a POST of the file itself: %d %s", a.status, a.body)
	}
}

// A draft whose file was announced anew is not released with the old bytes.
func TestReleaseHoldsToWhatWasDeclared(t *testing.T) {
	t.Parallel()
	c := draftCloud(t)
	const file = drafted + "/provider/libvirt/amd64"
	c.refused(422, "delete that one first", writer, "POST", providers, `{"provider":{"name":"libvirt","architecture":"amd64"}}`)
	box := fakeBox(t, "other")
	digest := sha256.Sum256([]byte(box))
	if o := c.want(writer, "PUT", file, fmt.Sprintf(`{"provider":{"checksum":"%x","checksum_type":"sha256"}}`, digest)); o["checksum"] != hex.EncodeToString(digest[:]) {
		t.Errorf("%v", o)
	}
	c.refused(422, "no file", writer, "PUT", drafted+"/release", "")
	to := c.want(writer, "GET", file+"/upload", "")["upload_path"].(string)
	if a := c.send("PUT", to, box); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	c.want(writer, "PUT", drafted+"/release", "")
}

// Whoever falls silent in the middle of a box does not keep others from sending it.
func TestUploadThatStalls(t *testing.T) {
	t.Parallel()
	c := emptyDraft(t)
	c.want(writer, "POST", providers, `{"provider":{"name":"libvirt","architecture":"amd64"}}`)
	to := c.want(writer, "GET", drafted+"/provider/libvirt/amd64/upload", "")["upload_path"].(string)
	box := fakeBox(t, "x")
	hasty := httptest.NewServer(netxtest.Hasty(c.handler))
	t.Cleanup(hasty.Close)
	if status, text := netxtest.Stall(t, "PUT", strings.Replace(to, c.url, hasty.URL, 1), box[:100], nil); status != http.StatusRequestTimeout || !strings.Contains(text, "silent") {
		t.Errorf("%d %s", status, text)
	}
	if a := c.send("PUT", to, box); a.status != http.StatusOK {
		t.Errorf("the next one: %d %s", a.status, a.body)
	}
}
