package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// TestPostProcessors: a chain leaves its files where Packer would put them, and the machine's own go.
func TestPostProcessors(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r := b.run("build", "-color=false", b.solo(nil, `
  post-processors {
    post-processor "vagrant" {
      output = "`+b.path("boxes")+`/golden-{{ .Provider }}.box"
    }
    post-processor "checksum" {
      checksum_types      = ["sha256"]
      output              = "`+b.path("boxes")+`/golden.{{ .ChecksumType }}"
      keep_input_artifact = true
    }
  }
  post-processor "manifest" {
    output = "`+b.path("manifest.json")+`"
  }
  post-processor "shell-local" {
    inline = ["echo built $PACKER_BUILD_NAME"]
  }
`))
	r.wants(t, exitOK, "--> fake.solo: 'libvirt' provider box: "+b.path("boxes/golden-libvirt.box"), "fake.solo: built solo")
	sum, err := os.ReadFile(b.path("boxes/golden.sha256"))
	if err != nil || !strings.Contains(string(sum), "golden-libvirt.box") {
		t.Errorf("the checksum file says %q (%v)", sum, err)
	}
	var manifest struct {
		Builds []struct {
			Name  string
			Files []struct{ Name string }
		}
	}
	data, err := os.ReadFile(b.path("manifest.json"))
	if err == nil {
		err = json.Unmarshal(data, &manifest)
	}
	if err != nil || len(manifest.Builds) != 1 || len(manifest.Builds[0].Files) == 0 {
		t.Errorf("manifest: %v: %s", err, data)
	}
	b.nothingLeft()
}

// TestVagrantReplaces: the box is what remains, unless the template keeps the machine's files.
func TestVagrantReplaces(t *testing.T) {
	t.Parallel()
	for keep, want := range map[string]bool{"false": false, "true": true} {
		b := newBench(t)
		b.run("build", b.solo(nil, "  post-processor \"vagrant\" {\n    output = \""+b.path("x.box")+"\"\n    keep_input_artifact = "+keep+"\n  }\n")).wants(t, exitOK)
		if got := b.exists("out/packer-solo"); got != want || !b.exists("x.box") {
			t.Errorf("keep_input_artifact = %s: the disk is there: %t; the box: %t", keep, got, b.exists("x.box"))
		}
		b.nothingLeft()
	}
}

// TestPublishedBox: what a post-processor made is what is published.
func TestPublishedBox(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.run("build", "--box", "acme/made", "--box-version", "1", b.solo(nil, "  post-processor \"vagrant\" {\n    output = \""+b.path("x.box")+"\"\n  }\n")).
		wants(t, exitOK, "Published and released: acme/made 1")
	b.servesBox(t, "acme/made", "x.box")
}

// TestChangedBox: a box that a command of the template changes after it was packed is looked at like a stranger's.
func TestChangedBox(t *testing.T) {
	t.Parallel()
	post := func(b *bench, command string) string {
		return b.solo(nil, `
  post-processors {
    post-processor "vagrant" {
      output = "`+b.path("x.box")+`"
    }
    post-processor "shell-local" {
      inline = ["cd `+b.dir+`", "`+command+`"]
    }
  }
`)
	}
	t.Run("good", func(t *testing.T) {
		t.Parallel()
		b := newBench(t)
		b.run("build", "--box", "acme/made", "--box-version", "1", post(b, "gzip -dc x.box > y.box && mv y.box x.box")).
			wants(t, exitOK, "Published and released: acme/made 1")
		b.servesBox(t, "acme/made", "x.box")
	})
	t.Run("bad", func(t *testing.T) {
		t.Parallel()
		b := newBench(t)
		b.run("build", "--box", "acme/made", "--box-version", "1", post(b, "echo no box > x.box")).
			wants(t, exitFailed, "not a good box")
		b.nothingLeft()
	})
}

// servesBox checks that the one version of a box holds the bytes of a file.
func (b *bench) servesBox(t *testing.T, box, file string) {
	t.Helper()
	want, err := os.ReadFile(b.path(file))
	if err != nil {
		t.Fatal(err)
	}
	d := b.serve()
	_, text := d.get("/"+box, nil)
	var catalog struct {
		Versions []struct{ Providers []struct{ URL string } }
	}
	if err := json.Unmarshal([]byte(text), &catalog); err != nil || len(catalog.Versions) != 1 {
		t.Fatalf("%v: %s", err, text)
	}
	if _, box := d.get(strings.TrimPrefix(catalog.Versions[0].Providers[0].URL, d.url), nil); box != string(want) {
		t.Errorf("%d bytes are served, the box has %d", len(box), len(want))
	}
}

// TestParallelBuilds: with -parallel-builds=1 the second build begins when the first has ended.
func TestParallelBuilds(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.run(b.pair("-parallel-builds=1")...).wants(t, exitOK)
	builds := b.builds() // newest first
	if len(builds) != 2 || builds[0].Started.Time().Before(builds[1].Finished.Time()) {
		t.Errorf("%+v", builds)
	}
}

// TestSharedVersion: two sources publish into one version, which is released by the last of them; if one fails it stays a
// draft.
func TestSharedVersion(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.run(b.pair("--box=acme/pair", "--box-version=1", "-only=*.alpha")...).wants(t, exitOK, "released: acme/pair 1")
	r := b.run(b.pair("--box=acme/pair", "--box-version=2", "-force", "-parallel-builds=1", "-var", "greeting=x; [ $PACKER_BUILD_NAME = alpha ] && exit 4")...)
	r.wants(t, exitFailed, "status 4", "acme/pair 2 stays a draft")
}
