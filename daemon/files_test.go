package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/wire"
	"github.com/boxkiln/boxkiln/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func TestLockNamesItsOwner(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	first, err := lockData(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = lockData(path)
	var locked *LockedError
	if !errors.As(err, &locked) || locked.PID != os.Getpid() || locked.Dir != filepath.Dir(path) {
		t.Errorf("a second daemon: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := lockData(path)
	if err != nil {
		t.Fatalf("after the first has ended: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

// The file of a daemon that was killed says nothing about who may have the lock now.
func TestLockOfADeadDaemon(t *testing.T) {
	t.Parallel()
	for _, left := range []string{"", "1\n", "123456789012345678901234567890\n", "garbage"} {
		path := filepath.Join(t.TempDir(), "lock")
		if err := os.WriteFile(path, []byte(left), 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := lockData(path)
		if err != nil {
			t.Fatalf("%q: %v", left, err)
		}
		if data, err := os.ReadFile(path); string(data) != fmt.Sprintln(os.Getpid()) || err != nil {
			t.Errorf("%q, %v", data, err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := lockData(filepath.Join(t.TempDir(), "none", "lock")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
}

func TestVault(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	key, sealed := filepath.Join(dir, "key"), filepath.Join(dir, "secrets")
	v, err := openVault(key)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"hunter2", "", "line\nbreak"}
	if err := v.write(sealed, want); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{key, sealed} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
	if data, err := os.ReadFile(sealed); err != nil || strings.Contains(string(data), "hunter2") {
		t.Errorf("%q, %v", data, err)
	}
	again, err := openVault(key) // the next daemon
	if err != nil {
		t.Fatal(err)
	}
	got, err := again.read(sealed)
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Error(d, err)
	}
	other, err := openVault(filepath.Join(dir, "other"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.read(sealed); err == nil || !strings.Contains(err.Error(), "another key") {
		t.Errorf("another key opened it: %v", err)
	}
}

func TestVaultRefusesWhatIsNotWhole(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	v, err := openVault(filepath.Join(dir, "key"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "secrets")
	if err := v.write(path, []string{"hunter2"}); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := range whole {
		flipped := append([]byte(nil), whole...)
		flipped[n] ^= 1
		for what, data := range map[string][]byte{"cut": whole[:n], "flipped": flipped} {
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			if got, err := v.read(path); err == nil {
				t.Errorf("%s at %d: %q", what, n, got)
			}
		}
	}
	short := filepath.Join(dir, "short")
	if err := os.WriteFile(short, []byte("too short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openVault(short); err == nil || !strings.Contains(err.Error(), "9 bytes instead of 32") {
		t.Errorf("a key of 9 bytes: %v", err)
	}
}

// rows is a ledger of a few rows.
type rows struct {
	held []string
	fail error
}

func (r *rows) Intend(_ context.Context, res build.Resource) error {
	if r.fail == nil {
		r.held = append(r.held, res.Name)
	}
	return r.fail
}

func (r *rows) Release(_ context.Context, res build.Resource) error {
	for i, name := range r.held {
		if name == res.Name && r.fail == nil {
			r.held = append(r.held[:i:i], r.held[i+1:]...)
			break
		}
	}
	return r.fail
}

func (r *rows) Held(context.Context, build.ID) ([]build.Resource, error) { return nil, r.fail }

func newDirect(cwd string, ledger build.Ledger) *direct {
	return &direct{cwd: cwd, ledger: ledger, row: func(path string) build.Resource {
		return build.Resource{Build: "b", Kind: build.KindOutput, Name: path}
	}}
}

func TestDirectOutputs(t *testing.T) {
	t.Parallel()
	cwd := t.TempDir()
	mine := filepath.Join(cwd, "mine")
	if err := os.WriteFile(mine, []byte("the user's"), 0o600); err != nil {
		t.Fatal(err)
	}
	ledger := &rows{}
	d := newDirect(cwd, ledger)
	for dest, want := range map[string]string{"out/debian.box": filepath.Join(cwd, "out/debian.box"), "mine": mine, mine: mine} {
		if got, err := d.Place(dest); got != want || err != nil {
			t.Errorf("%s: %s, %v", dest, got, err)
		}
	}
	if diff := cmp.Diff([]string{filepath.Join(cwd, "out/debian.box")}, ledger.held); diff != "" {
		t.Error("only what did not exist is ours to remove:", diff)
	}
	if err := d.handOver(t.Context()); err != nil || len(ledger.held) != 0 {
		t.Errorf("handed over: %v, %v", ledger.held, err)
	}
}

func TestDirectOutputsNeedTheLedger(t *testing.T) {
	t.Parallel()
	ledger := &rows{fail: errors.New("disk full")}
	d := newDirect(t.TempDir(), ledger)
	if _, err := d.Place("x"); !errors.Is(err, ledger.fail) {
		t.Errorf("placed without a row: %v", err)
	}
	ledger.fail = nil
	if _, err := d.Place("x"); err != nil {
		t.Fatal(err)
	}
	ledger.fail = errors.New("disk full")
	if err := d.handOver(t.Context()); !errors.Is(err, ledger.fail) {
		t.Errorf("handed over: %v", err)
	}
}

// TestImagesGoWithFiles: a build whose files cannot be handed over has failed, so its images stay in the ledger and are removed.
func TestImagesGoWithFiles(t *testing.T) {
	t.Parallel()
	files, images := &rows{}, &rows{}
	out := newDirect(t.TempDir(), files)
	if _, err := out.Place("x"); err != nil {
		t.Fatal(err)
	}
	s := &build.Session{Build: "b", Ledger: images}
	row := s.Resource(build.KindImage, "machine")
	if err := images.Intend(t.Context(), row); err != nil {
		t.Fatal(err)
	}
	s.HandOver(row)
	files.fail = errors.New("disk full")
	if err := handOver(out).Do(t.Context(), s); !errors.Is(err, files.fail) || len(images.held) != 1 {
		t.Errorf("handed over: %v; the ledger holds the images %v", err, images.held)
	}
	files.fail = nil
	if err := handOver(out).Do(t.Context(), s); err != nil || len(images.held) != 0 {
		t.Errorf("handed over: %v; the ledger holds the images %v", err, images.held)
	}
}

func write(t *testing.T, w io.WriteCloser, err error, text string) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// A file appears under its name when it is whole.
func TestCreatedOutputAppearsWhole(t *testing.T) {
	t.Parallel()
	cwd := t.TempDir()
	path := filepath.Join(cwd, "deep/er/report.txt")
	w, err := newDirect(cwd, &rows{}).Create("deep/er/report.txt")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is there before it is written: %v", err)
	}
	write(t, w, nil, "whole")
	if data, err := os.ReadFile(path); string(data) != "whole" || err != nil {
		t.Errorf("%q, %v", data, err)
	}
}

func TestStagedOutputs(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "outputs")
	if files, err := stagedFiles(dir); len(files) != 0 || err != nil {
		t.Errorf("before anything was made: %v, %v", files, err)
	}
	s := &staged{dir: dir, cwd: "/home/user"}
	w, err := s.Create("../other/debian.box")
	write(t, w, err, "box")
	folder, err := s.Place("/abs/output-debian")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := s.Place("/abs/./output-debian"); again != folder || err != nil {
		t.Errorf("the same place has two: %s and %s, %v", folder, again, err)
	}
	if _, err := s.Place("never made"); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(folder, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{"disk.qcow2": 0o640, "sub/run.sh": 0o755} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(name), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/etc/shadow", filepath.Join(folder, "link")); err != nil {
		t.Fatal(err)
	}
	files, err := stagedFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []wire.Output
	for _, f := range files {
		got = append(got, f.Output)
	}
	want := []wire.Output{
		{Path: "/home/other/debian.box", Size: 3, Mode: 0o644},
		{Path: "/abs/output-debian/disk.qcow2", Size: 10, Mode: 0o640},
		{Path: "/abs/output-debian/sub/run.sh", Size: 10, Mode: 0o755},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// A place whose entry could not be written is none: its file would never be found again.
func TestStagedPlaceThatWasNotWrittenDown(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "outputs")
	if err := os.WriteFile(dir, nil, 0o600); err != nil { // in the way
		t.Fatal(err)
	}
	s := &staged{dir: dir, cwd: "/"}
	for range 2 {
		if path, err := s.Place("x"); err == nil {
			t.Errorf("placed at %s, which is written nowhere", path)
		}
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	w, err := s.Create("x")
	write(t, w, err, "found")
	if files, err := stagedFiles(dir); len(files) != 1 || err != nil {
		t.Errorf("%v, %v", files, err)
	}
}

func TestSpoiltIndexOfOutputs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, stagedIndex), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := stagedFiles(dir); err == nil || !strings.Contains(err.Error(), stagedIndex) {
		t.Error(err)
	}
}
