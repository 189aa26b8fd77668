package vagrantapi

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/boxkiln/boxkiln/boxregistry"
)

// line is one request of a client as it was read from its source, and what the client needs of the answer.
type line struct {
	request string            // method and path, or {a field of an earlier answer}
	body    string            // {box} is the file
	needs   map[string]string // field: value; * for anything but null
}

// Agents of the clients whose requests are replayed.
const (
	gem    = "User-Agent: VagrantCloud/3.1.3"
	packer = "User-Agent: Go-http-client/1.1"
	curl   = "User-Agent: curl/8.5.0"
)

// replay sends the requests in order and wants 200 for each: Packer takes no other number for success in several places.
func (c *cloud) replay(agent string, lines []line) {
	c.t.Helper()
	seen := map[string]string{}
	box := fakeBox(c.t, "replayed")
	for _, l := range lines {
		method, path, _ := strings.Cut(l.request, " ")
		headers := []string{agent, "Content-Type: application/json", "Authorization: Bearer " + writer, "Accept: application/json", "X-Request-Id: 6ec2"}
		if field, ok := strings.CutPrefix(path, "{"); ok {
			path = seen[strings.TrimSuffix(field, "}")]
			if field == "upload_path}" {
				headers = []string{curl, "Expect: 100-continue"}
			} else if agent == gem { // it takes the path of the URL, and only below /api/v2
				u := must(url.Parse(path))
				if !strings.HasPrefix(u.Path, "/api/v2/") {
					c.t.Fatalf("the gem would not find %s", path)
				}
				path = u.Path
			}
		}
		a := c.send(method, path, strings.ReplaceAll(l.body, "{box}", box), headers...)
		if a.status != 200 {
			c.t.Fatalf("%s %s: %d %s", method, path, a.status, a.body)
		}
		var o object
		if err := json.Unmarshal([]byte(a.body), &o); err != nil {
			c.t.Fatalf("%s %s: %v", method, path, err)
		}
		for _, field := range []string{"upload_path", "callback"} {
			if v, ok := o[field].(string); ok {
				seen[field] = v
			}
		}
		for field, want := range l.needs {
			got, ok := o.get(field).(string)
			if !ok || want != "*" && got != want {
				c.t.Errorf("%s %s: %s is %v, want %s", method, path, field, o.get(field), want)
			}
		}
	}
}

// bento's own command under Vagrant 2.4.9: vagrant cloud publish --architecture amd64 --default-architecture
// --no-direct-upload O/B V P FILE --description ... --short-description ... --version-description ... --force --release
// --no-private. (vagrant plugins/commands/cloud/publish.rb, vagrant_cloud 3.1.3.)
func bento(version string, made bool) []line {
	const box = "/api/v2/box/ops/deb"
	v := box + "/version/" + version
	lines := []line{
		{"GET /api/v2/authenticate", "", map[string]string{"user.username": "me"}},
		{"GET /api/v2/user/ops", "", map[string]string{"username": "ops"}},
		{"GET /api/v2/user/ops", "", nil},
		{"POST /api/v2/boxes", `{"box":{"username":"ops","name":"deb","short_description":"s","description":"d","is_private":false}}`, map[string]string{"created_at": "*", "tag": "ops/deb"}},
	}
	if made {
		lines = append(lines[:2], line{"GET " + box, "", map[string]string{"created_at": "*"}},
			line{"PUT " + box, `{"box":{"username":"ops","name":"deb","short_description":"s","description":"d","is_private":false}}`, map[string]string{"created_at": "*"}})
	}
	return append(lines,
		line{"POST " + box + "/versions", `{"version":{"version":"` + version + `","description":"v"}}`, map[string]string{"created_at": "*", "version": version}},
		line{"POST " + v + "/providers", `{"provider":{"name":"libvirt","architecture":"amd64","default_architecture":true}}`, map[string]string{"created_at": "*", "architecture": "amd64"}},
		line{"GET " + v + "/provider/libvirt/amd64/upload", "", map[string]string{"upload_path": "*"}},
		line{"PUT {upload_path}", "{box}", nil},
		line{"PUT " + v + "/release", "", map[string]string{"status": "active"}},
	)
}

func TestReplayOfVagrant24(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.replay(gem, bento("1.0.0", false))
	c.replay(gem, bento("1.0.1", true))
	if got := inShort(c.catalogOf("/ops/deb")); got != "1.0.1: libvirt/amd64* | 1.0.0: libvirt/amd64*" {
		t.Errorf("published %s", got)
	}
	c.replay(gem, []line{
		// cloud version update, revoke, delete; provider update and delete; box show and delete
		{"PUT /api/v2/box/ops/deb/version/1.0.0", `{"version":{"version":"1.0.0","description":"new"}}`, map[string]string{"description": "new"}},
		{"PUT /api/v2/box/ops/deb/version/1.0.0/revoke", "", map[string]string{"status": "revoked"}},
		{"DELETE /api/v2/box/ops/deb/version/1.0.0", "", nil},
		{"POST /api/v2/box/ops/deb/versions", `{"version":{"version":"2.0.0"}}`, nil},
		{"POST /api/v2/box/ops/deb/version/2.0.0/providers", `{"provider":{"name":"virtualbox","url":"https://h/x.box","architecture":"arm64"}}`, map[string]string{"url": "https://h/x.box"}},
		{"PUT /api/v2/box/ops/deb/version/2.0.0/provider/virtualbox/arm64", `{"provider":{"name":"virtualbox","url":"https://h/y.box","architecture":"amd64"}}`, map[string]string{"url": "https://h/y.box", "architecture": "amd64"}},
		{"DELETE /api/v2/box/ops/deb/version/2.0.0/provider/virtualbox/amd64", "", nil},
		{"GET /api/v2/search?q=ops&limit=5", "", map[string]string{"boxes.0.tag": "ops/deb", "boxes.0.current_version.version": "1.0.1"}},
		{"DELETE /api/v2/box/ops/deb", "", nil},
	})
}

// The order of the stub in packer-plugin-vagrant v1.1.7 post-processor_test.go, and its other ways. The box is not there
// before: Packer's question makes it.
func TestReplayOfPackersPlugin(t *testing.T) {
	t.Parallel()
	const box = "/api/v2/box/ops/precise64"
	begin := func(version, provider string) []line {
		return []line{
			{"GET /api/v2/authenticate", "", nil},
			{"GET " + box, "", map[string]string{"tag": "ops/precise64"}},
			{"POST " + box + "/versions", `{"version":{"version":"` + version + `"}}`, map[string]string{"version": version}},
			{"POST " + box + "/version/" + version + "/providers", `{"provider":` + provider + `}`, map[string]string{"name": "libvirt", "architecture": "amd64"}},
		}
	}
	c := newCloud(t)
	c.replay(packer, append(begin("0.5", `{"name":"libvirt","architecture":"amd64","default_architecture":true}`), []line{
		{"GET " + box + "/version/0.5/provider/libvirt/amd64/upload/direct", "", map[string]string{"upload_path": "*", "callback": "*"}},
		{"PUT {upload_path}", "{box}", nil},
		{"PUT {upload_path}", "{box}", nil}, // the answer was lost
		{"PUT {callback}", "", nil},
		{"PUT " + box + "/version/0.5/release", "", nil},
	}...))
	c.replay(packer, append(begin("0.6", `{"name":"libvirt","architecture":"amd64"}`), []line{ // no_direct_upload
		{"GET " + box + "/version/0.6/provider/libvirt/amd64/upload", "", map[string]string{"upload_path": "*"}},
		{"PUT {upload_path}", "{box}", nil},
		{"PUT " + box + "/version/0.6/release", "", nil},
	}...))
	c.replay(packer, append(begin("0.7", `{"name":"libvirt","architecture":"amd64","url":"https://h/x.box"}`), // box_download_url
		line{"PUT " + box + "/version/0.7/release", "", nil}))
	c.replay(packer, append(begin("0.8", `{"name":"libvirt","architecture":"amd64"}`), []line{ // cancelled: it cleans up
		{"DELETE " + box + "/version/0.8/provider/libvirt", "", nil},
		{"POST " + box + "/version/0.8/providers", `{"provider":{"name":"libvirt","architecture":"amd64"}}`, nil},
	}...))
	var tags []string
	for _, v := range must(c.Box(t.Context(), must(boxregistry.ParseName("ops/precise64")))).Visible() {
		tags = append(tags, v.Version.String())
	}
	if got := strings.Join(tags, " "); got != "0.7 0.6 0.5" {
		t.Errorf("published %s", got)
	}
}

// Versions before 1.0.4 of the plugin and the post-processor that came with Packer itself know of no architectures.
func TestReplayOfOldPacker(t *testing.T) {
	t.Parallel()
	for _, api := range []string{"v1", "v2"} {
		c := newCloud(t)
		box := "/api/" + api + "/box/ops/precise64"
		c.replay(packer, []line{
			{"GET /api/" + api + "/authenticate", "", nil},
			{"GET " + box, "", map[string]string{"tag": "ops/precise64"}},
			{"POST " + box + "/versions", `{"version":{"version":"0.5"}}`, nil},
			{"POST " + box + "/version/0.5/providers", `{"provider":{"name":"libvirt"}}`, map[string]string{"name": "libvirt"}},
			{"GET " + box + "/version/0.5/provider/libvirt/upload/direct", "", map[string]string{"upload_path": "*", "callback": "*"}},
			{"PUT {upload_path}", "{box}", nil},
			{"PUT {callback}", "", nil},
			{"PUT " + box + "/version/0.5/release", "", nil},
		})
	}
}

// Vagrant 2.4 asks HEAD for both places of a catalog and takes the API's if both answer with JSON.
func TestReplayOfBoxAdd24(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.release("ops/deb", "1.0", "libvirt/amd64", "libvirt/arm64")
	for _, path := range []string{"/api/v2/vagrant/ops/deb", "/ops/deb"} {
		for _, slash := range []string{"", "/"} {
			a := c.ask("HEAD", slash+path, "Accept: application/json")
			if a.status != 200 || !strings.HasPrefix(a.header.Get("Content-Type"), "application/json") {
				t.Errorf("HEAD %s: %d %s", slash+path, a.status, a.header.Get("Content-Type"))
			}
			catalog := c.catalogOf(slash + path)
			if catalog.Name != "ops/deb" || inShort(catalog) != "1.0: libvirt/arm64 libvirt/amd64*" {
				t.Errorf("GET %s: %s %s", slash+path, catalog.Name, inShort(catalog))
			}
		}
	}
}
