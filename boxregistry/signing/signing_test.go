package signing_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/boxkiln/boxkiln/boxregistry/signing"
)

func newKey(t *testing.T) *signing.Key {
	t.Helper()
	k, err := signing.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func sign(t *testing.T, k *signing.Key, data, comment string) string {
	t.Helper()
	text, err := k.SignBytes([]byte(data), comment)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestSignAndCheck(t *testing.T) {
	t.Parallel()
	k := newKey(t)
	text := sign(t, k, "a box", "ops/deb 1.0")
	comment, err := k.Public().Check(strings.NewReader("a box"), []byte(text))
	if err != nil || comment != "ops/deb 1.0" {
		t.Errorf("comment %q, %v", comment, err)
	}
	if again := sign(t, k, "a box", "ops/deb 1.0"); again != text {
		t.Error("the same file and comment give another signature")
	}
}

func TestCheckRefuses(t *testing.T) {
	t.Parallel()
	k, other := newKey(t), newKey(t)
	text := sign(t, k, "a box", "ops/deb 1.0")
	for name, c := range map[string]struct{ data, text, says string }{
		"other bytes":      {"a bux", text, "is not what the key"},
		"other comment":    {"a box", strings.Replace(text, "ops/deb 1.0", "ops/deb 1.1", 1), "is not what the key"},
		"cut off":          {"a box", text[:len(text)/2], "format"},
		"nothing":          {"a box", "", "format"},
		"another key":      {"a box", sign(t, other, "a box", "ops/deb 1.0"), other.Public().ID()},
		"another's header": {"a box", strings.Replace(sign(t, other, "a box", "x"), other.Public().ID(), k.Public().ID(), 1), other.Public().ID()},
	} {
		if _, err := k.Public().Check(strings.NewReader(c.data), []byte(c.text)); !errors.Is(err, signing.ErrSignature) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want ErrSignature with %q", name, err, c.says)
		}
	}
	broken := errors.New("the disk is broken")
	if _, err := k.Public().Check(brokenReader{broken}, []byte(text)); !errors.Is(err, broken) || errors.Is(err, signing.ErrSignature) {
		t.Errorf("a file that cannot be read: %v", err)
	}
}

type brokenReader struct{ err error }

func (b brokenReader) Read([]byte) (int, error) { return 0, b.err }

func TestRecomment(t *testing.T) {
	t.Parallel()
	k := newKey(t)
	text, err := k.Recomment([]byte(sign(t, k, "a box", "ops/deb 1.0")), "ops/deb 1.1")
	if err != nil {
		t.Fatal(err)
	}
	if want := sign(t, k, "a box", "ops/deb 1.1"); string(text) != want {
		t.Errorf("it is not what a signature with that comment is:\n%s\n%s", text, want)
	}
	if _, err := newKey(t).Recomment(text, "x"); !errors.Is(err, signing.ErrSignature) {
		t.Errorf("of another key: %v", err)
	}
	if _, err := k.Recomment([]byte("x"), "x"); !errors.Is(err, signing.ErrSignature) {
		t.Errorf("of no signature: %v", err)
	}
	if _, err := k.Recomment(text, "two\nlines"); err == nil {
		t.Error("a comment of two lines is taken")
	}
}

func TestLoad(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key")
	first, err := signing.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v", info.Mode(), err)
	}
	again, err := signing.Load(path)
	if err != nil || again.Public().String() != first.Public().String() {
		t.Errorf("another key the second time: %v", err)
	}
	if _, err := again.Public().Check(strings.NewReader("x"), []byte(sign(t, first, "x", "y"))); err != nil {
		t.Error(err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := signing.Load(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a key that others can read: %v", err)
	}
	bad := filepath.Join(t.TempDir(), "bad")
	for _, text := range []string{"", "untrusted comment: x\nRWQ=\n"} {
		if err := os.WriteFile(bad, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := signing.Load(bad); err == nil || !strings.Contains(err.Error(), bad) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := signing.Load(filepath.Join(path, "x")); err == nil {
		t.Error("a path below a file is taken")
	}
}

func TestParsePublicKey(t *testing.T) {
	t.Parallel()
	p := newKey(t).Public()
	for _, text := range []string{p.String(), p.File(), "  " + p.String() + "\r\n"} {
		if got, err := signing.ParsePublicKey(text); err != nil || got.String() != p.String() {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "RWQ", "ssh-ed25519 AAAA", p.String()[:20]} {
		if _, err := signing.ParsePublicKey(text); err == nil {
			t.Errorf("%q is taken for a key", text)
		}
	}
}

// TestAgainstMinisign has the real program check what is signed here, and the other way round, where it is installed.
func TestAgainstMinisign(t *testing.T) {
	t.Parallel()
	program, err := exec.LookPath("minisign")
	if err != nil {
		t.Skip("minisign is not installed")
	}
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	k, err := signing.Load(path("key"))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{"a.box": "a box", "a.box.minisig": sign(t, k, "a box", "ops/deb 1.0"), "b.box": "another"}
	for name, text := range files {
		if err := os.WriteFile(path(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(args ...string) string {
		out, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("minisign %v: %v: %s", args, err, out)
		}
		return string(out)
	}
	if out := run("-V", "-m", path("a.box"), "-P", k.Public().String()); !strings.Contains(out, "ops/deb 1.0") {
		t.Errorf("minisign says %s", out)
	}
	run("-S", "-s", path("key"), "-m", path("b.box"), "-t", "by hand")
	text, err := os.ReadFile(path("b.box.minisig"))
	if err != nil {
		t.Fatal(err)
	}
	if comment, err := k.Public().Check(strings.NewReader("another"), text); err != nil || comment != "by hand" {
		t.Errorf("%q, %v", comment, err)
	}
}

func FuzzCheck(f *testing.F) {
	k, err := signing.NewKey()
	if err != nil {
		f.Fatal(err)
	}
	good, err := k.SignBytes([]byte("a box"), "ops/deb 1.0")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(good))
	f.Fuzz(func(t *testing.T, text string) {
		comment, err := k.Public().Check(strings.NewReader("a box"), []byte(text))
		if err == nil && comment != "ops/deb 1.0" {
			t.Errorf("%q holds with the comment %q", text, comment)
		}
		if p, err := signing.ParsePublicKey(text); err == nil {
			if again, err := signing.ParsePublicKey(p.File()); err != nil || again.String() != p.String() {
				t.Errorf("%q is read as %s, and that as %s (%v)", text, p, again, err)
			}
		}
	})
}
