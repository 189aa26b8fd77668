package main

import (
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"
)

// cloud sends a request to Vagrant Cloud's API and wants 200.
func (s *served) cloud(token, method, path, body string) map[string]any {
	s.b.t.Helper()
	res, text := s.do(method, strings.TrimPrefix(path, s.url), http.Header{"Authorization": {"Bearer " + token}, "Content-Type": {"application/json"}}, body)
	var out map[string]any
	if err := json.Unmarshal([]byte(text), &out); err != nil || res.StatusCode != http.StatusOK {
		s.b.t.Fatalf("%s %s: %s, %v: %s", method, path, res.Status, err, text)
	}
	return out
}

// TestVagrantCloud: what Packer asks of Vagrant Cloud, asked of the daemon. The download is counted, also when the daemon ends
// right after it.
func TestVagrantCloud(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d := b.serve()
	made := b.run("token", "create", "--scope", "write", "ci")
	made.wants(t, exitOK)
	token := strings.TrimSpace(made.stdout)
	box, err := os.ReadFile(b.box("x.box", "published"))
	if err != nil {
		t.Fatal(err)
	}
	const path = "/api/v2/box/acme/x"
	d.cloud(token, "GET", "/api/v2/authenticate", "")
	const create = `{"box":{"username":"acme","name":"x","is_private":false}}`
	res, text := d.do("POST", "/api/v2/boxes", http.Header{"Authorization": {"Bearer " + token}, "Content-Type": {"application/json"}}, create)
	if res.StatusCode != http.StatusForbidden || !strings.Contains(text, "org create") {
		t.Errorf("a writer made an organisation: %s %s", res.Status, text)
	}
	b.run("org", "create", "acme").wants(t, exitOK)
	d.cloud(token, "POST", "/api/v2/boxes", create)
	d.cloud(token, "POST", path+"/versions", `{"version":{"version":"1.0"}}`)
	d.cloud(token, "POST", path+"/version/1.0/providers", `{"provider":{"name":"qemu","architecture":"amd64"}}`)
	door := d.cloud(token, "GET", path+"/version/1.0/provider/qemu/amd64/upload/direct", "")
	d.cloud("", "PUT", door["upload_path"].(string), string(box))
	d.cloud(token, "PUT", door["callback"].(string), "")
	d.cloud(token, "PUT", path+"/version/1.0/release", "")

	if res, text := d.get("/acme/boxes/x/versions/1.0/providers/qemu.box", nil); res.StatusCode != http.StatusOK || text != string(box) {
		t.Errorf("download: %s, %d bytes of %d", res.Status, len(text), len(box))
	}
	if res, _ := d.do("POST", "/api/v2/boxes", nil, `{"username":"acme","name":"y"}`); res.StatusCode != http.StatusUnauthorized {
		t.Errorf("without a token: %s", res.Status)
	}
	d.stop()
	d = b.serve()
	if got := d.cloud("", "GET", path, "")["downloads"]; got != 1.0 {
		t.Errorf("%v downloads were counted, want 1", got)
	}
}
