package vagrantapi

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/boxkiln/boxkiln/boxregistry"
)

const ops = "/api/v2/box/ops/deb"

// The gem sends boxes flat up to 3.1.2, below "box" from 3.1.3, and as a form before 3.0.
func TestBoxIsCreatedFromEveryShapeOfBody(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	for name, body := range map[string]string{
		"flat":   `{"username":"ops","name":"flat","short_description":"short","description":"long","is_private":false}`,
		"nested": `{"box":{"username":"ops","name":"nested","short_description":"short","description":"long","is_private":false}}`,
		"text":   `{"box":{"username":"ops","name":"text","short_description":"short","description":"long","is_private":"false"}}`,
	} {
		for _, v := range []string{"v1", "v2"} {
			o := c.want(writer, "POST", "/api/"+v+"/boxes", strings.ReplaceAll(body, name+`"`, name+"-"+v+`"`))
			if o["tag"] != "ops/"+name+"-"+v || o["short_description"] != "short" || o["description"] != "long" || o["description_markdown"] != "long" || o["private"] != false {
				t.Errorf("%s: %v", name, o)
			}
		}
	}
	a := c.send("POST", "/api/v1/boxes", "box[username]=ops&box[name]=form&box[is_private]=false&box[short_description]=a%20b", "Authorization: Bearer "+writer,
		"Content-Type: application/x-www-form-urlencoded")
	if a.status != 200 || !strings.Contains(a.body, `"short_description":"a b"`) || !strings.Contains(a.body, `"private":false`) {
		t.Errorf("a form: %d %s", a.status, a.body)
	}
}

func TestBoxObject(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	o := c.want(writer, "POST", "/api/v2/boxes", `{"box":{"username":"ops","name":"deb"}}`)
	if o["private"] != true {
		t.Error("a box is not private unless told otherwise")
	}
	if got := fmt.Sprint(slices.Sorted(maps.Keys(o))); got != "[created_at current_version description description_html description_markdown downloads name private short_description tag updated_at username versions]" {
		t.Errorf("fields %s", got)
	}
	if o["current_version"] != nil || fmt.Sprint(o["versions"]) != "[]" || o["downloads"] != 0.0 || o["created_at"] == nil || o["updated_at"] == nil {
		t.Errorf("%v", o)
	}
	c.want(writer, "POST", ops+"/versions", `{"version":{"version":"1.0","description":"notes"}}`)
	c.upload(writer, ops+"/version/1.0", "libvirt", "one")
	c.want(writer, "PUT", ops+"/version/1.0/release", "")
	o = c.want(writer, "GET", ops, "")
	for path, want := range map[string]any{
		"versions.0.version": "1.0", "versions.0.number": "1.0", "versions.0.status": "active", "versions.0.description": "notes",
		"versions.0.description_markdown": "notes", "versions.0.release_url": c.url + ops + "/version/1.0/release",
		"versions.0.revoke_url": c.url + ops + "/version/1.0/revoke", "current_version.version": "1.0",
		"versions.0.providers.0.name": "libvirt", "versions.0.providers.0.hosted": true, "versions.0.providers.0.hosted_token": nil,
		"versions.0.providers.0.original_url": nil, "versions.0.providers.0.url": nil, "versions.0.providers.0.checksum_type": "sha256",
		"versions.0.providers.0.architecture": "amd64", "versions.0.providers.0.default_architecture": true,
	} {
		if got := o.get(path); got != want {
			t.Errorf("%s is %v, want %v", path, got, want)
		}
	}
	for _, path := range []string{"versions.0.created_at", "versions.0.updated_at", "versions.0.providers.0.created_at", "versions.0.providers.0.updated_at"} {
		if text, _ := o.get(path).(string); len(text) != len("2026-10-20T14:19:59.842Z") {
			t.Errorf("%s is %q", path, text)
		}
	}
	if url := o.get("versions.0.providers.0.download_url").(string); c.ask("GET", url, "Authorization: Bearer "+reader).status != 200 {
		t.Errorf("the download_url %s does not work", url)
	}
}

func TestBoxUpdateLeavesWhatIsNotSent(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.want(writer, "POST", "/api/v1/boxes", `{"username":"ops","name":"deb","short_description":"s","description":"d","is_private":true}`)
	for _, step := range []struct{ body, short, long string }{
		{`{"short_description":"s2"}`, "s2", "d"},
		{`{"box":{"description":"d2","short_description":null}}`, "s2", "d2"},
		{`{"box":{"name":"deb","username":"ops","description":""}}`, "s2", ""},
		{``, "s2", ""},
	} {
		o := c.want(writer, "PUT", ops, step.body)
		if o["short_description"] != step.short || o["description"] != step.long || o["private"] != true {
			t.Errorf("after %s: %v", step.body, o)
		}
	}
	if o := c.want(writer, "PUT", ops, `{"box":{"is_private":false}}`); o["private"] != false {
		t.Error("the box stayed private")
	}
	if o := c.want(writer, "PUT", ops, `{"box":{"name":"debian"}}`); o["tag"] != "ops/debian" {
		t.Errorf("renamed to %v", o["tag"])
	}
	c.refused(404, "not found", writer, "GET", ops, "")
	c.refused(422, "one slash", writer, "PUT", "/api/v2/box/ops/debian", `{"name":"../x"}`)
}

func TestBoxesAreDeletedAndCanBeRestored(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.release("ops/deb", "1.0", "libvirt/amd64")
	if o := c.want(writer, "DELETE", "/api/v1/box/ops/deb", ""); o["tag"] != "ops/deb" || o.get("versions.0.version") != "1.0" {
		t.Errorf("the answer to DELETE is not what the box was: %v", o)
	}
	if a := c.ask("GET", "/ops/deb"); a.status != 404 {
		t.Errorf("a deleted box: %d", a.status)
	}
	c.refused(422, "restore", writer, "POST", "/api/v1/boxes", `{"username":"ops","name":"deb"}`)
	if err := c.RestoreBox(t.Context(), must(boxregistry.ParseName("ops/deb"))); err != nil {
		t.Fatal(err)
	}
	if a := c.ask("GET", "/ops/deb"); a.status != 200 {
		t.Errorf("a restored box: %d", a.status)
	}
}

func TestBadBoxes(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.want(writer, "POST", "/api/v2/boxes", `{"username":"ops","name":"deb"}`)
	for _, r := range []struct {
		status     int
		says, body string
	}{
		{422, "already", `{"username":"ops","name":"deb"}`},
		{422, "written ops/deb", `{"username":"ops","name":"DEB"}`},
		{422, "each half", `{"username":"ops"}`},
		{422, "each half", `{}`},
		{422, "each half", ``},
		{422, "taken by the registry", `{"username":"api","name":"x"}`},
		{403, "may not write", `{"username":"others","name":"x"}`},
		{400, "no JSON object", `[]`},
		{400, "no JSON object", `{"username"`},
		{400, "no JSON object", `null {}`},
		{400, "cannot be a", `{"username":1,"name":"x"}`},
		{400, "neither true nor false", `{"username":"ops","name":"x","is_private":"perhaps"}`},
		{413, "shorten", `{"username":"ops","name":"x","description":"` + strings.Repeat("x", bodyLimit) + `"}`},
	} {
		c.refused(r.status, r.says, writer, "POST", "/api/v2/boxes", r.body)
	}
}

// Packer asks for a box before it publishes and gives up when there is none.
func TestPackerFindsItsBoxMade(t *testing.T) {
	t.Parallel()
	packer := func(c *cloud, token, path string) answer {
		return c.ask("GET", path, "User-Agent: Go-http-client/1.1", "Content-Type: application/json", "Authorization: Bearer "+token)
	}
	c := newCloud(t)
	a := packer(c, writer, ops)
	if a.status != 200 || !strings.Contains(a.body, `"tag":"ops/deb"`) || !strings.Contains(a.body, `"private":true`) {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := packer(c, writer, ops); a.status != 200 {
		t.Errorf("again: %d %s", a.status, a.body)
	}
	for what, a := range map[string]answer{
		"a reader": packer(c, reader, "/api/v2/box/ops/new"), "a stranger": packer(c, foreign, "/api/v2/box/ops/new"),
		"nobody": packer(c, "", "/api/v2/box/ops/new"), "another organisation": packer(c, writer, "/api/v2/box/others/new"),
		"Vagrant":          c.ask("GET", "/api/v2/box/ops/new", "Authorization: Bearer "+writer, "Content-Type: application/json"),
		"a hand":           c.ask("GET", "/api/v2/box/ops/new", "Authorization: Bearer "+writer, "User-Agent: curl/7.88.1"),
		"a name of ours":   packer(c, admin, "/api/v2/box/api/new"),
		"a switch that is": packer(newCloud(t, func(o *Options) { o.NoAutoCreate = true }), writer, ops),
	} {
		if a.status != 404 {
			t.Errorf("%s made a box: %d %s", what, a.status, a.body)
		}
	}
}

func TestOrganisation(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	for i := range 30 {
		c.release(fmt.Sprintf("ops/b%02d", i), "1.0", "libvirt/amd64")
	}
	c.want(writer, "POST", "/api/v1/boxes", `{"username":"ops","name":"empty","is_private":true}`)
	o := c.want(writer, "GET", "/api/v1/user/ops", "")
	boxes := o["boxes"].([]any)
	if len(boxes) != 31 || o["username"] != "ops" || o["avatar_url"] != "" || o["profile_html"] != "" || o["profile_markdown"] != "" {
		t.Errorf("%d boxes, want all 31 on one page; %v", len(boxes), o["username"])
	}
	for _, b := range boxes {
		box := b.(map[string]any)
		if _, ok := box["versions"]; ok {
			t.Fatal("a box in a list has versions: the gem shows each twice")
		}
		if box["name"] != "empty" && object(box).get("current_version.version") != "1.0" {
			t.Errorf("%v has no current version", box["name"])
		}
	}
	if o := c.want("", "GET", "/api/v1/user/ops", ""); len(o["boxes"].([]any)) != 30 {
		t.Error("strangers see private boxes, or not the public ones")
	}
	if o := c.want(writer, "GET", "/api/v1/user/me", ""); fmt.Sprint(o["boxes"]) != "[]" {
		t.Errorf("an organisation without boxes: %v", o)
	}
	c.refused(404, "no organisation", "", "GET", "/api/v1/user/nobody", "")
	if o := c.want(writer, "GET", "/api/v1/user/OPS", ""); fmt.Sprint(o["boxes"]) != "[]" {
		t.Errorf("a client would go on with a name in another case: %v", o)
	}
}

func TestListsFollowChanges(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.release("ops/deb", "1.0", "libvirt/amd64")
	current := func() any {
		return c.want("", "GET", "/api/v2/search?q=deb", "").get("boxes.0.current_version.version")
	}
	if got := current(); got != "1.0" {
		t.Errorf("current version %v", got)
	}
	c.release("ops/deb", "1.1", "libvirt/amd64")
	if got := current(); got != "1.1" {
		t.Errorf("after a release the current version is %v", got)
	}
	if got := c.want("", "GET", "/api/v2/search?q=deb", "").get("boxes.0.downloads"); got != 0.0 {
		t.Errorf("downloads %v", got)
	}
	f := must(c.Box(t.Context(), must(boxregistry.ParseName("ops/deb")))).Releases[0].Files[0]
	c.ask("GET", f.Path(must(boxregistry.ParseName("ops/deb")), must(boxregistry.ParseVersion("1.1"))))
	if err := c.api.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := c.want("", "GET", "/api/v2/search?q=deb", "").get("boxes.0.downloads"); got != 1.0 {
		t.Errorf("downloads %v after one", got)
	}
}

func TestSearch(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.release("ops/deb", "1.0", "libvirt/amd64", "virtualbox/arm64")
	c.release("ops/alma", "1.0", "libvirt/amd64")
	c.release("others/deb", "1.0", "libvirt/amd64")
	c.draft("ops/draft", "1.0", "libvirt/amd64")
	c.release("ops/secret", "1.0", "libvirt/amd64")
	err := c.EditBox(t.Context(), must(boxregistry.ParseName("ops/secret")), func(b *boxregistry.Box) error { b.Private = true; return nil })
	if err != nil {
		t.Fatal(err)
	}
	tags := func(token, query string) string {
		o := c.want(token, "GET", "/api/v2/search?"+query, "")
		if len(o) != 1 {
			t.Errorf("fields besides boxes crash the gem: %v", o)
		}
		var list []string
		for _, b := range o["boxes"].([]any) {
			if len(b.(map[string]any)) != 12 || b.(map[string]any)["current_version"] == nil {
				t.Errorf("%v", b)
			}
			list = append(list, b.(map[string]any)["tag"].(string))
		}
		return strings.Join(list, " ")
	}
	for _, q := range []struct{ token, query, want string }{
		{"", "", "ops/alma ops/deb others/deb"},
		{"", "q=deb", "ops/deb others/deb"},
		{"", "q=secret", ""},
		{reader, "q=secret", "ops/secret"},
		{foreign, "q=secret", ""},
		{admin, "q=secret", "ops/secret"},
		{"", "provider=virtualbox", "ops/deb"},
		{"", "architecture=arm64", "ops/deb"},
		{"", "q=deb&limit=1", "ops/deb"},
		{"", "q=deb&limit=1&page=2", "others/deb"},
		{"", "q=deb&limit=1&page=3", ""},
		{"", "sort=created&order=desc", "others/deb ops/alma ops/deb"},
		{"", "sort=created&order=asc", "ops/deb ops/alma others/deb"},
		{"", "sort=created&order=asc&limit=2&page=2", "others/deb"},
		{"", "sort=created&order=asc&limit=2&page=3", ""},
		{"", "sort=updated", "others/deb ops/alma ops/deb"},
		{"", "sort=nonsense&limit=x&page=-1", "ops/alma ops/deb others/deb"},
		{"", "page=99999999999999999999", "ops/alma ops/deb others/deb"},
		{"", "page=2147483647&limit=100", ""},
	} {
		if got := tags(q.token, q.query); got != q.want {
			t.Errorf("search %s by %q: %s, want %s", q.query, q.token, got, q.want)
		}
	}
}

func TestAuthenticate(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	for _, v := range []string{"v1", "v2"} {
		path := "/api/" + v + "/authenticate"
		if o := c.want(writer, "GET", path, ""); o.get("user.username") != "me" {
			t.Errorf("%v", o)
		}
		if o := c.want(reader, "GET", path, ""); o.get("user.username") != "laptop" {
			t.Errorf("a token of nobody in particular: %v", o)
		}
		c.refused(401, "auth login --token", "stale", "GET", path, "")
		c.refused(401, "no user of that name", "", "POST", path, `{"user":{"login":"me","password":"guess"}}`)
		o := c.want("", "POST", path, `{"user":{"login":"me","password":"secret"},"token":{"description":"Vagrant login"},"two_factor":{"code":null}}`)
		token, _ := o["token"].(string)
		if o["description"] != "Vagrant login" || o["created_at"] == nil || len(o["token_hash"].(string)) != 64 {
			t.Errorf("%v", o)
		}
		c.want(token, "GET", path, "")
		c.want(token, "DELETE", path, "")
		c.refused(401, "revoked", token, "GET", path, "")
		c.refused(401, "", token, "DELETE", path, "")
		c.refused(422, "no second factor", "", "POST", "/api/"+v+"/two-factor/request-code", `{"two_factor":{"delivery_method":"sms"}}`)
	}
}

func TestWithoutPartsTheRoutesSaySo(t *testing.T) {
	t.Parallel()
	c := newCloud(t, func(o *Options) { o.Accounts = nil })
	c.api.o.Uploads = nil
	c.draft("ops/deb", "1.0", "libvirt/amd64")
	c.refused(503, "ask whoever runs it", "", "POST", "/api/v1/authenticate", "{}")
	c.refused(503, "ask whoever runs it", writer, "DELETE", "/api/v1/authenticate", "{}")
	c.refused(503, "ask whoever runs it", "", "PUT", "/up/secret", "{}")
	c.refused(503, "ask whoever runs it", writer, "GET", ops+"/version/1.0/provider/libvirt/amd64/upload", "")
	c.refused(503, "ask whoever runs it", writer, "PUT", ops+"/version/1.0/provider/libvirt/amd64/upload/direct/x", "")
	c.api.o.Editor = nil
	c.refused(503, "ask whoever runs it", writer, "POST", "/api/v1/boxes", "{}")
	c.refused(503, "ask whoever runs it", writer, "PUT", ops, "{}")
	c.refused(503, "ask whoever runs it", "", "GET", "/api/v1/user/ops", "")
	c.refused(503, "ask whoever runs it", "", "GET", "/api/v1/search", "")
}

// Every route that changes something, asked by those who may not.
func TestPermissions(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.draft("ops/open", "1.0", "libvirt/amd64")
	c.draft("ops/shut", "1.0", "libvirt/amd64")
	err := c.EditBox(t.Context(), must(boxregistry.ParseName("ops/shut")), func(b *boxregistry.Box) error { b.Private = true; return nil })
	if err != nil {
		t.Fatal(err)
	}
	const version, file = "/version/1.0", "/version/1.0/provider/libvirt/amd64"
	for _, r := range []struct{ method, path string }{
		{"PUT", ""}, {"DELETE", ""}, {"POST", "/versions"}, {"PUT", version}, {"DELETE", version}, {"PUT", version + "/release"},
		{"PUT", version + "/revoke"}, {"POST", version + "/providers"}, {"PUT", file}, {"DELETE", file}, {"DELETE", version + "/provider/libvirt"},
		{"GET", file + "/upload"}, {"GET", file + "/upload/direct"}, {"PUT", file + "/upload/direct/x"},
	} {
		for _, v := range []string{"v1", "v2"} {
			for _, box := range []string{"open", "shut"} {
				path := "/api/" + v + "/box/ops/" + box + r.path
				c.refused(401, "token", "", r.method, path, "{}")
				c.refused(401, "token", "stale", r.method, path, "{}")
				c.refused(403, "may not write", reader, r.method, path, "{}")
			}
			c.refused(403, "may not write", foreign, r.method, "/api/"+v+"/box/ops/open"+r.path, "{}")
			c.refused(404, missing, foreign, r.method, "/api/"+v+"/box/ops/shut"+r.path, "{}")
			c.refused(404, missing, foreign, r.method, "/api/"+v+"/box/ops/none"+r.path, "{}")
			c.refused(404, "not found", writer, r.method, "/api/"+v+"/box/ops/none"+r.path, "{}")
		}
	}
	c.refused(401, "token", "", "POST", "/api/v2/boxes", "{}")
	for path, want := range map[string]int{"": 404, version: 404, file: 404} {
		for _, token := range []string{"", "stale", foreign} {
			if status, _ := c.do(token, "GET", "/api/v2/box/ops/shut"+path, ""); status != want {
				t.Errorf("GET %s of a private box by %q: %d", path, token, status)
			}
		}
	}
	// Drafts are there for those only who may write.
	c.refused(404, "no version", reader, "GET", "/api/v2/box/ops/open"+version, "")
	if o := c.want(reader, "GET", "/api/v2/box/ops/open", ""); fmt.Sprint(o["versions"]) != "[]" {
		t.Errorf("a reader sees drafts: %v", o["versions"])
	}
	if o := c.want(writer, "GET", "/api/v2/box/ops/open"+file, ""); o["architecture"] != "amd64" {
		t.Errorf("%v", o)
	}
	if rel := must(c.Box(t.Context(), must(boxregistry.ParseName("ops/open")))).Releases[0]; rel.State != boxregistry.Draft || len(rel.Files) != 1 {
		t.Errorf("somebody who may not changed it: %+v", rel)
	}
}
