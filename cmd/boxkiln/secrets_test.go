package main

import (
	"bytes"
	"encoding/base64"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSecrets: the value of a sensitive variable shows up nowhere but in its sealed file and in the guest.
func TestSecrets(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d := b.serve()
	const secret = "correct-horse-battery"
	gate := b.barrier("gate")
	template := b.solo(map[string]string{
		"http_content": `{ "/preseed.cfg" = "d-i passwd/root-password password ${var.password}" }`,
		"boot_command": `["url=http://{{ .HTTPIP }}:{{ .HTTPPort }}/preseed.cfg<enter>"]`,
		"ssh_password": "var.password",
		"cd_content":   `{ "user-data" = "password: ${var.password}" }`,
	}, "  provisioner \"shell\" {\n    inline = [\"echo the password is ${var.password}\", \"echo the key is ${local.key}\", \"read line < "+gate+"\", \"exit 9\"]\n  }\n")
	text, err := os.ReadFile(template)
	if err != nil {
		t.Fatal(err)
	}
	declared := "variable \"password\" {\n  type      = string\n  sensitive = true\n}\n\nlocal \"key\" {\n  sensitive  = true\n  expression = base64encode(var.password)\n}\n\n"
	b.write("solo.pkr.hcl", declared+string(text))
	b.env["PKR_VAR_password"] = secret

	c := b.start("build", "-color=false", template)
	c.stdout.await("the key is")
	b.hidden(commandLines(t), secret)
	b.hidden(d.everything(), secret)
	b.lift(gate)
	r := c.wait()
	r.wants(t, exitFailed, "the password is [redacted]", "the key is [redacted]", "status 9")
	b.hidden(map[string]string{"stdout": r.stdout, "stderr": r.stderr, "daemon": d.stderr.text()}, secret)
	b.hidden(d.everything(), secret)
	d.stop()
	b.hidden(b.files(), secret)
	b.run("inspect", template).wants(t, exitOK, `var.password: "<sensitive>"`)
	b.hidden(map[string]string{"inspect": b.run("inspect", template).stdout, "validate": b.run("validate", template).stderr}, secret)
}

// hidden fails if a text has the secret, plain or in base64.
func (b *bench) hidden(texts map[string]string, secret string) {
	b.t.Helper()
	for name, text := range texts {
		for _, form := range []string{secret, base64.StdEncoding.EncodeToString([]byte(secret))} {
			if i := strings.Index(text, form); i >= 0 {
				b.t.Errorf("%s shows the secret: ...%q", name, text[max(0, i-80):min(len(text), i+len(form)+20)])
			}
		}
	}
}

// everything is what the daemon says of its builds, to those who may ask.
func (s *served) everything() map[string]string {
	s.b.t.Helper()
	header := http.Header{"Authorization": {"Bearer " + s.b.token("admin", "reader")}}
	id := string(s.b.builds()[0].ID)
	texts := map[string]string{}
	paths := []string{"/v1/builds", "/v1/builds/" + id, "/v1/builds/" + id + "/outputs", "/", "/builds", "/builds/" + id}
	if !s.b.builds()[0].State.Final() {
		paths = paths[:len(paths)-1] // the page of a running build may follow its log
	} else {
		paths = append(paths, "/v1/builds/"+id+"/events")
	}
	for _, path := range paths {
		res, text := s.get(path, header)
		if res.StatusCode != http.StatusOK {
			s.b.t.Errorf("%s: %s", path, res.Status)
		}
		texts[path] = text
	}
	return texts
}

// commandLines are those of all processes.
func commandLines(t *testing.T) map[string]string {
	t.Helper()
	names, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	lines := map[string]string{}
	for _, name := range names {
		if data, err := os.ReadFile(name); err == nil { // processes come and go
			lines[name] = string(bytes.ReplaceAll(data, []byte{0}, []byte{' '}))
		}
	}
	return lines
}

// files are all files of the data directory.
func (b *bench) files() map[string]string {
	b.t.Helper()
	texts := map[string]string{}
	err := filepath.WalkDir(b.data, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		texts[path] = string(data)
		return err
	})
	if err != nil || len(texts) < 5 {
		b.t.Fatalf("%d files, %v", len(texts), err)
	}
	return texts
}
