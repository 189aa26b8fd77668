package ovf_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/hypervisor/ovf"
)

const (
	sha1Empty   = "da39a3ee5e6b4b0d3255bfef95601890afd80709"
	sha256Empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	sha512Empty = "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e"
)

// TestReadManifest reads what VirtualBox, ovftool, openssl and people on Windows write.
func TestReadManifest(t *testing.T) {
	t.Parallel()
	text := "SHA1 (box.ovf) = " + sha1Empty + "\n" +
		"SHA256(disk (1).vmdk)= " + strings.ToUpper(sha256Empty) + "\r\n" +
		"\n# a comment\n" +
		"SHA2-256(b.iso)= " + sha256Empty + "\n" +
		"SHA512(c.img) =" + sha512Empty // without a line end
	got, err := ovf.ReadManifest(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	want := ovf.Manifest{
		{File: "box.ovf", Algorithm: ovf.SHA1, Hex: sha1Empty}, {File: "disk (1).vmdk", Algorithm: ovf.SHA256, Hex: sha256Empty},
		{File: "b.iso", Algorithm: ovf.SHA256, Hex: sha256Empty}, {File: "c.img", Algorithm: ovf.SHA512, Hex: sha512Empty},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	var written bytes.Buffer
	if err := got.Write(&written); err != nil {
		t.Fatal(err)
	}
	again, err := ovf.ReadManifest(&written)
	if err != nil || !cmp.Equal(got, again) {
		t.Errorf("it does not come back: %v %+v", err, again)
	}
}

func TestReadManifestRefuses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"MD5(box.ovf)= d41d8cd98f00b204e9800998ecf8427e":        "not of the form",
		"SHA256(box.ovf)= " + sha1Empty:                         "SHA256 has 64",
		"SHA1(../box.ovf)= " + sha1Empty:                        "leads out",
		"SHA1(..\\box.ovf)= " + sha1Empty:                       "leads out",
		"SHA1(a)= " + sha1Empty + "\nSHA256(a)= " + sha256Empty: "line 2 of the manifest: \"a\" is there twice",
		"<html>": "line 1",
		strings.Repeat("#"+strings.Repeat("x", 1000)+"\n", 2000):                 "longer than",
		"SHA1(" + strings.Repeat("x", 70_000) + ")= " + sha1Empty:                "read the manifest",
		strings.Repeat("\n", 3) + "SHA1(box.ovf)= " + sha1Empty[:39] + "g\n\n\n": "line 4",
	} {
		if m, err := ovf.ReadManifest(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: got %v, %v, want something with %q", text, m, err, want)
		}
	}
}

// TestManifestOfFolder compares with sha256sum, and finds what was changed.
func TestManifestOfFolder(t *testing.T) {
	t.Parallel()
	needTool(t, "sha256sum")
	dir := t.TempDir()
	for name, text := range map[string]string{"box.ovf": "<Envelope/>", "a disk.vmdk": "KDMV"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	m, err := ovf.SumFiles(t.Context(), dir, "box.ovf", "a disk.vmdk")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range m {
		if got := strings.Fields(run(t, dir, "sha256sum", s.File))[0]; got != s.Hex {
			t.Errorf("%s: sha256sum says %s, the manifest %s", s.File, got, s.Hex)
		}
	}
	if err := m.CheckDir(t.Context(), dir); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a disk.vmdk"), []byte("KDMW"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "box.ovf")); err != nil {
		t.Fatal(err)
	}
	err = m.CheckDir(t.Context(), dir)
	if err == nil || !strings.Contains(err.Error(), `digest of "a disk.vmdk" does not match`) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want both files named", err)
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if err := m.CheckDir(stopped, dir); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want it to stop", err)
	}
	if err := (ovf.Manifest{{File: "a\nb"}}).Write(&bytes.Buffer{}); err == nil {
		t.Error("a file name of two lines was written")
	}
}

func FuzzManifest(f *testing.F) {
	f.Add("SHA1 (box.ovf) = " + sha1Empty + "\nSHA256(disk (1).vmdk)= " + sha256Empty + "\r\n")
	f.Add("SHA2-512(c.img)= " + sha512Empty)
	f.Fuzz(func(t *testing.T, text string) {
		m, err := ovf.ReadManifest(strings.NewReader(text))
		if err != nil {
			return
		}
		var b bytes.Buffer
		if err := m.Write(&b); err != nil {
			t.Fatal(err)
		}
		again, err := ovf.ReadManifest(&b)
		if err != nil || !cmp.Equal(m, again) {
			t.Errorf("%+v comes back as %+v, %v", m, again, err)
		}
	})
}
