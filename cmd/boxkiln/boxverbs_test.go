package main

import (
	"bytes"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/boxkiln/boxkiln/boxregistry/boxfile"
)

// boxFile makes a box with a disk of size bytes that do not compress.
func (b *bench) boxFile(name string, seed byte, size int) string {
	b.t.Helper()
	data := make([]byte, size)
	rand.NewChaCha8([32]byte{seed}).Read(data)
	disk := b.write(name+".disk", string(data))
	var box bytes.Buffer
	_, err := boxfile.Write(b.t.Context(), &box, boxfile.Contents{Metadata: boxfile.Metadata{Provider: "parallels", Architecture: "arm64"},
		Files: []boxfile.File{{Name: "disk", Path: disk}}}, boxfile.Options{Level: 1, Parallel: 1})
	if err != nil {
		b.t.Fatal(err)
	}
	return b.write(name, box.String())
}

func TestBoxVerbs(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	one, two := b.boxFile("one.box", 1, 100_000), b.boxFile("two.box", 2, 100_000)
	publish := func(file, version string, more ...string) result {
		return b.run(append([]string{"box", "publish", file, "--as", "ops/deb", "--version", version, "--chunk-size", "30K"}, more...)...)
	}
	publish(one, "1.0", "--description", "@"+b.write("about.md", "# Debian")).wants(t, exitOK, "ops/deb 1.0 parallels/arm64 is published\n") // with a daemon of its own
	b.serve()
	publish(one, "1.0", "--release").wants(t, exitOK, "is there already, and the version is released")
	publish(two, "1.0").wants(t, exitFailed, "released versions never change")
	publish(two, "2.0", "--architecture", "amd64").wants(t, exitFailed, "architecture", "arm64")
	publish(two, "2.0", "--channel", "candidate").wants(t, exitOK, "is published, and the version is released")
	publish(b.write("no.box", "hello"), "3.0").wants(t, exitFailed, "not a good box", "no.box")
	b.run("box", "ls").wants(t, exitOK, "ops/deb", "1.0", "parallels", "arm64")
	b.run("box", "ls", "--org", "none", "--json").wants(t, exitOK)
	b.run("box", "promote", "ops/deb", "2.0").wants(t, exitOK, "ops/deb 2.0 is promoted")
	b.run("box", "demote", "ops/deb", "2.0", "--channel", "stable").wants(t, exitOK)
	b.run("box", "promote", "ops/deb", "2.0", "--channel", "stable").wants(t, exitOK)
	b.run("box", "pin", "ops/deb", "2.0").wants(t, exitOK, "is pinned")
	b.run("box", "describe", "ops/deb", "2.0", "--description", "notes").wants(t, exitOK)
	b.run("box", "show", "ops/deb").wants(t, exitOK, "2.0", "released (candidate stable), pinned", "parallels/arm64 (default)", "KiB")
	b.run("box", "show", "ops/deb", "--json").wants(t, exitOK, `"description":"# Debian"`, `"description":"notes"`)
	b.run("box", "unpin", "ops/deb", "2.0").wants(t, exitOK)
	b.run("box", "retention", "ops/deb", "--keep", "1", "--preview").wants(t, exitOK, "To be deleted: 1.0")
	b.run("box", "retention", "ops/deb").wants(t, exitOK, "keeps every version")
	b.run("box", "retention", "ops/deb", "--keep", "5", "--keep-newer", "90d").wants(t, exitOK, "keeps the last 5 versions and what was released within 90d")
	b.run("box", "retention", "ops/deb", "--keep-newer", "soon").wants(t, exitFailed, `"soon" is not a time span`)
	b.run("box", "revoke", "ops/deb", "2.0", "--why", "CVE-1").wants(t, exitOK, "is revoked")
	b.run("box", "delete", "ops/deb", "2.0").wants(t, exitFailed, "add --yes")
	b.run("box", "delete", "ops/deb", "2.0", "--yes").wants(t, exitOK, "boxkiln box restore ops/deb 2.0")
	b.run("box", "show", "ops/deb").wants(t, exitOK, "revoked (candidate stable), deleted: CVE-1")
	b.run("box", "restore", "ops/deb", "2.0").wants(t, exitOK, "ops/deb 2.0 is there again")
	b.run("box", "delete", "ops/deb", "--yes").wants(t, exitOK)
	b.run("box", "ls", "--trash").wants(t, exitOK, "ops/deb")
	b.run("box", "purge", "ops/deb").wants(t, exitOK, "ops/deb is gone")
	b.run("box", "restore", "ops/deb").wants(t, exitFailed, "not found")
	b.run("box", "create", "lab/new", "--private", "--short", "a new one").wants(t, exitOK)
	b.run("box", "edit", "lab/new", "--public", "--name", "lab/newer").wants(t, exitOK)
	if r := b.run("box", "show", "lab/newer"); !strings.Contains(r.stdout, "lab/newer  a new one") || strings.Contains(r.stdout, "private") {
		t.Error(r.stdout)
	}
}

func TestUploadLimitsFlag(t *testing.T) {
	t.Parallel()
	var l limitsFlag
	if err := l.Set("size=1G, unpacked=2T,ratio=3,entries=4,window=5M"); err != nil {
		t.Fatal(err)
	}
	if got := l.String(); got != "size=1073741824,unpacked=2199023255552,window=5242880,ratio=3,entries=4" {
		t.Error(got)
	}
	for _, bad := range []string{"", "size", "size=x", "depth=3", "ratio=0", "ratio=x"} {
		if err := l.Set(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestConfirm(t *testing.T) {
	t.Parallel()
	in, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if err := (&environment{stdin: in, stderr: os.Stderr}).confirm("Sure?"); err == nil || !strings.Contains(err.Error(), "--yes") {
		t.Errorf("got %v", err)
	}
}
