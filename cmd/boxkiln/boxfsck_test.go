package main

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/boxkiln/boxkiln/boxregistry/blob/s3/s3test"
)

const soloFile = "/acme/boxes/solo/versions/1.0/providers/libvirt/amd64/vagrant.box"

// publishSolo builds and publishes a box.
func (b *bench) publishSolo() {
	b.t.Helper()
	b.run("build", "--box", "acme/solo", "--box-version", "1.0", b.solo(nil, "")).wants(b.t, exitOK, "Published and released: acme/solo 1.0")
}

// TestBoxFsck damages a box on disk, finds and repairs that, and uploads it again.
func TestBoxFsck(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.run("box", "fsck").wants(t, exitNoDaemon, "boxkiln serve")
	d := b.serve()
	b.run("box", "fsck").wants(t, exitOK, "0 blobs, 0 B read: all whole")
	b.publishSolo()
	b.run("box", "fsck", "--rate", "1G").wants(t, exitOK, "1 blobs", "all whole")
	files, err := filepath.Glob(filepath.Join(b.data, "blobs", "??", "*"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	good, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	bad := append([]byte{}, good...)
	bad[len(bad)/2] ^= 1
	if err := os.Remove(files[0]); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(files[0], bad, 0o444); err != nil {
		t.Fatal(err)
	}
	b.run("box", "fsck").wants(t, exitFailed, "damaged", "acme/solo 1.0 libvirt/amd64", "1 damaged")
	b.run("box", "fsck", "--repair").wants(t, exitFailed, "put into quarantine")
	b.run("box", "fsck", "--json").wants(t, exitFailed, `"kind":"missing"`, `"counts":{"missing":1}`)
	if res, text := d.get(soloFile, nil); res.StatusCode != http.StatusGone || !strings.Contains(text, "upload it again") {
		t.Errorf("%s %s", res.Status, text)
	}
	if log := d.stderr.text(); !strings.Contains(log, "a file of a box is missing") {
		t.Errorf("the log: %s", log)
	}
	b.run("box", "fsck", "--rate", "fast").wants(t, exitFailed, "is not a size")
}

// TestBlobsInABucket keeps boxes in a bucket, and goes on there when nobody says where they are.
func TestBlobsInABucket(t *testing.T) {
	service := s3test.Gateway(t)
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": service.Key, "AWS_SECRET_ACCESS_KEY": service.Secret, "AWS_SESSION_TOKEN": "", "AWS_PROFILE": "",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
	} {
		t.Setenv(name, value)
	}
	b := newBench(t)
	place := "s3://" + service.Bucket + "/kiln?" + url.Values{"endpoint": {service.Endpoint}, "region": {service.Region}, "path_style": {"true"}}.Encode()
	d := b.serve("--blobs", place)
	b.publishSolo()
	d.download(soloFile)
	if files, _ := filepath.Glob(filepath.Join(b.data, "blobs", "??", "*")); len(files) != 0 {
		t.Errorf("in the data directory: %v", files)
	}
	d.stop()

	d = b.serve("--blob-redirect") // where they were the last time
	res, whole := d.get(soloFile, nil)
	if res.StatusCode != http.StatusOK || !strings.HasPrefix(whole, "\x1f\x8b") || !strings.HasPrefix("http://"+res.Request.URL.Host, service.Endpoint) {
		t.Errorf("%s, %d bytes from %s", res.Status, len(whole), res.Request.URL.Host)
	}
	b.run("box", "fsck").wants(t, exitOK, "1 blobs", "all whole")
	log := d.stderr.text()
	d.stop()
	if strings.Contains(log, service.Secret) {
		t.Error("the secret is in the log")
	}
	other := newBench(t)
	other.run("serve", "--listen", "", "--blobs", place).wants(t, exitFailed, "belongs to the installation")
	other.run("serve", "--listen", "", "--blobs", "s3://key:hidden@bucket").wants(t, exitFailed, "--blobs", "takes no keys")
	other.env[envBlobs] = "ftp://bucket"
	other.run("serve", "--listen", "").wants(t, exitFailed, envBlobs, "want s3://")
}
