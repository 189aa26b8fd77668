package layout_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/internal/layout"
)

func data(t *testing.T, dir string) layout.Dir {
	t.Helper()
	d, err := layout.Data(dir)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestFind(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		flag string
		env  map[string]string
		uid  int
		want string
	}{
		"root":             {env: map[string]string{"HOME": "/root", "XDG_DATA_HOME": "/x"}, want: "/var/lib/boxkiln"},
		"user":             {uid: 1000, env: map[string]string{"HOME": "/home/u"}, want: "/home/u/.local/share/boxkiln"},
		"xdg":              {uid: 1000, env: map[string]string{"HOME": "/home/u", "XDG_DATA_HOME": "/x"}, want: "/x/boxkiln"},
		"relative xdg":     {uid: 1000, env: map[string]string{"HOME": "/home/u", "XDG_DATA_HOME": "x"}, want: "/home/u/.local/share/boxkiln"},
		"environment":      {env: map[string]string{"BOXKILN_DATA": "/e/"}, want: "/e"},
		"switch":           {flag: "/f", env: map[string]string{"BOXKILN_DATA": "/e"}, want: "/f"},
		"nowhere":          {uid: 1000},
		"switch over none": {flag: "/f", uid: 1000, want: "/f"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, err := layout.Find(tt.flag, func(k string) string { return tt.env[k] }, tt.uid)
			if tt.want == "" {
				if err == nil || !strings.Contains(err.Error(), "--data") {
					t.Errorf("%q, %v: want an error that names --data", d.Path(), err)
				}
				return
			}
			if err != nil || d.Path() != tt.want {
				t.Errorf("%q, %v, want %q", d.Path(), err, tt.want)
			}
		})
	}
}

// TestPaths is the picture of the data directory in the design.
func TestPaths(t *testing.T) {
	t.Parallel()
	d := data(t, "/data")
	b, err := d.Build("01j9z3")
	if err != nil {
		t.Fatal(err)
	}
	socket, err := d.Socket()
	if err != nil {
		t.Fatal(err)
	}
	checkpoint, err := d.Checkpoint("abc123")
	if err != nil {
		t.Fatal(err)
	}
	a := b.Attempt(2)
	got := []string{
		d.DB(), d.Lock(), socket, d.Key(), d.Inputs(), d.Media(), d.Blobs(), d.Staging(), d.Uploads(), d.Checkpoints(), checkpoint, d.Builds(),
		b.Path(), b.Plan(), b.Files(), b.Secrets(),
		a.Path(), b.Log(), a.Serial(), a.Screen(), a.Timeline(), a.Work(), a.Outputs(),
	}
	want := []string{
		"/data/boxkiln.db", "/data/lock", "/data/daemon.sock", "/data/key", "/data/inputs", "/data/media", "/data/blobs",
		"/data/staging", "/data/uploads", "/data/checkpoints", "/data/checkpoints/abc123", "/data/builds",
		"/data/builds/01j9z3", "/data/builds/01j9z3/plan.json", "/data/builds/01j9z3/files.json", "/data/builds/01j9z3/secrets",
		"/data/builds/01j9z3/attempt-2", "/data/builds/01j9z3/log", "/data/builds/01j9z3/attempt-2/serial",
		"/data/builds/01j9z3/attempt-2/screen.png", "/data/builds/01j9z3/attempt-2/timeline.json",
		"/data/builds/01j9z3/attempt-2/work", "/data/builds/01j9z3/attempt-2/outputs",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestNamesCannotEscape(t *testing.T) {
	t.Parallel()
	d := data(t, "/data")
	for _, id := range []string{"", ".", "..", "../x", "a/b", "/etc", "a\x00b", "-rf", "a b", "ä", strings.Repeat("a", 129), "a\n"} {
		if b, err := d.Build(id); err == nil {
			t.Errorf("build %q lies at %s", id, b.Path())
		}
		if dir, err := d.Checkpoint(id); err == nil {
			t.Errorf("checkpoint %q lies at %s", id, dir)
		}
	}
}

func TestSocketTooLong(t *testing.T) {
	t.Parallel()
	d := data(t, "/"+strings.Repeat("d", 100))
	if s, err := d.Socket(); err == nil || !strings.Contains(err.Error(), "--data") {
		t.Errorf("%q, %v", s, err)
	}
	d = data(t, "/"+strings.Repeat("d", 90))
	if _, err := d.Socket(); err != nil {
		t.Error(err)
	}
}

func TestDataNeedsAName(t *testing.T) {
	t.Parallel()
	if _, err := layout.Data(""); err == nil {
		t.Error("an empty name is a data directory")
	}
	if d := data(t, "rel"); !filepath.IsAbs(d.Path()) {
		t.Errorf("%q is relative", d.Path())
	}
}

func TestMake(t *testing.T) {
	t.Parallel()
	d := data(t, filepath.Join(t.TempDir(), "a", "b"))
	for range 2 {
		if err := d.Make(); err != nil {
			t.Fatal(err)
		}
	}
	b, err := d.Build("x1")
	if err != nil {
		t.Fatal(err)
	}
	a := b.Attempt(1)
	if err := a.Make(); err != nil {
		t.Fatal(err)
	}
	want := map[string]fs.FileMode{
		filepath.Dir(d.Path()): 0o711, d.Path(): 0o711, d.Inputs(): 0o700, d.Media(): 0o711, d.Blobs(): 0o711, d.Staging(): 0o700, d.Uploads(): 0o700,
		d.Checkpoints(): 0o711, d.Builds(): 0o711, b.Path(): 0o711, a.Path(): 0o711, a.Work(): 0o711, a.Outputs(): 0o711,
	}
	for path, mode := range want {
		info, err := os.Stat(path)
		if err != nil {
			t.Error(err)
			continue
		}
		if info.Mode() != mode|fs.ModeDir {
			t.Errorf("%s has mode %s, want %s", path, info.Mode(), mode)
		}
	}
}

func TestMakeKeepsModes(t *testing.T) {
	t.Parallel()
	d := data(t, t.TempDir())
	if err := os.Chmod(d.Path(), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := d.Make(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(d.Path()); err != nil || info.Mode().Perm() != 0o750 {
		t.Errorf("%v, %v", info, err)
	}
}

func TestMakeRefusesAFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{path, filepath.Join(path, "below")} {
		if err := data(t, dir).Make(); err == nil {
			t.Errorf("%s was made", dir)
		}
	}
}
