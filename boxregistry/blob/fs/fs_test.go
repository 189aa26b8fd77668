package fs

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/boxkiln/boxkiln/boxregistry/blob"
	"github.com/boxkiln/boxkiln/boxregistry/blob/blobtest"
)

func open(t *testing.T) *Store {
	t.Helper()
	dir := t.TempDir()
	s, err := Open(filepath.Join(dir, "blobs", "sha256"), filepath.Join(dir, "staging"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConformance(t *testing.T) {
	t.Parallel()
	blobtest.Run(t, func(t *testing.T) blob.Store { return open(t) })
}

func TestFilesAreBareAndReadOnly(t *testing.T) {
	t.Parallel()
	s := open(t)
	info, err := blob.Copy(t.Context(), s, strings.NewReader("hello"), "")
	if err != nil {
		t.Fatal(err)
	}
	r, _, err := s.Open(t.Context(), info.Digest)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	f, ok := r.(*os.File)
	if !ok {
		t.Fatalf("Open returned a %T, want *os.File for sendfile", r)
	}
	st, err := f.Stat()
	if err != nil || st.Mode().Perm() != 0o444 {
		t.Fatalf("mode %v (%v), want 0444", st.Mode(), err)
	}
	if want := filepath.Join(s.dir, string(info.Digest[:2]), string(info.Digest)); f.Name() != want {
		t.Errorf("stored as %s, want %s", f.Name(), want)
	}
}

func TestOpenSweepsStaging(t *testing.T) {
	t.Parallel()
	s := open(t)
	w, err := s.Create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, "half a blob"); err != nil {
		t.Fatal(err)
	}
	if len(staged(t, s)) != 1 {
		t.Fatal("no staging file while writing")
	}
	if _, err := Open(s.dir, s.staging); err != nil { // as after a kill -9
		t.Fatal(err)
	}
	if left := staged(t, s); len(left) != 0 {
		t.Fatalf("staging still holds %v", left)
	}
}

func TestAllPassesOverStrangers(t *testing.T) {
	t.Parallel()
	s := open(t)
	for _, p := range []string{"README", "ab/notes.txt"} {
		path := filepath.Join(s.dir, p)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for info, err := range s.All(t.Context()) {
		t.Errorf("All yielded %v, %v", info, err)
	}
}

func TestDigestsNeverBecomePaths(t *testing.T) {
	t.Parallel()
	s := open(t)
	for _, d := range []blob.Digest{"", "..", "../../etc/passwd", blob.Digest(strings.Repeat("AB", 32))} {
		if _, err := s.Stat(t.Context(), d); !errors.Is(err, blob.ErrNotFound) {
			t.Errorf("Stat(%q): %v, want ErrNotFound", d, err)
		}
		if err := s.Delete(t.Context(), d); err != nil {
			t.Errorf("Delete(%q): %v", d, err)
		}
	}
}

// broken fails at one operation, as a disk that fills up does.
type broken struct {
	stagedFile
	write, sync error
}

func (b broken) Write(p []byte) (int, error) {
	if b.write == nil {
		return b.stagedFile.Write(p)
	}
	n, _ := b.stagedFile.Write(p[:len(p)/2]) // a full disk takes part of the bytes
	return n, b.write
}

func (b broken) Sync() error { return errors.Join(b.sync, b.stagedFile.Sync()) }

func TestDiskFull(t *testing.T) {
	t.Parallel()
	full := &os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}
	for name, breakIt := range map[string]func(*Store){
		"create": func(s *Store) { s.create = func(string) (stagedFile, error) { return nil, full } },
		"write":  func(s *Store) { s.create = wrap(broken{write: full}) },
		"sync":   func(s *Store) { s.create = wrap(broken{sync: full}) },
		"rename": func(s *Store) { s.rename = func(string, string) error { return full } },
		"quota":  func(s *Store) { s.create = wrap(broken{write: &os.PathError{Op: "write", Err: syscall.EDQUOT}}) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t)
			breakIt(s)
			if _, err := blob.Copy(t.Context(), s, strings.NewReader("some bytes"), ""); !errors.Is(err, blob.ErrNoSpace) {
				t.Fatalf("got %v, want ErrNoSpace", err)
			}
			if left := staged(t, s); len(left) != 0 {
				t.Errorf("staging still holds %v", left)
			}
			for info, err := range s.All(t.Context()) {
				t.Errorf("visible: %v, %v", info, err)
			}
		})
	}
}

func wrap(b broken) func(string) (stagedFile, error) {
	return func(path string) (stagedFile, error) {
		f, err := createFile(path)
		b.stagedFile = f
		return b, err
	}
}

func staged(t *testing.T, s *Store) []os.DirEntry {
	t.Helper()
	entries, err := os.ReadDir(s.staging)
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

func TestQuarantineKeepsTheBytes(t *testing.T) {
	t.Parallel()
	s := open(t)
	info, err := blob.Copy(t.Context(), s, strings.NewReader("evidence"), "")
	if err != nil {
		t.Fatal(err)
	}
	if done, err := s.Quarantine(t.Context(), info); !done || err != nil {
		t.Fatal(done, err)
	}
	files, err := filepath.Glob(filepath.Join(s.dir, quarantine, string(info.Digest)+"-*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	if data, err := os.ReadFile(files[0]); string(data) != "evidence" {
		t.Errorf("kept %q, %v", data, err)
	}
}
