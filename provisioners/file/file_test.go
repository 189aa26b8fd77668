package file_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/internal/schema"
	"github.com/boxkiln/boxkiln/provisioners"
	"github.com/boxkiln/boxkiln/provisioners/file"
	"github.com/boxkiln/boxkiln/provisioners/guesttest"
)

func TestArgsCanBeDescribed(t *testing.T) {
	t.Parallel()
	for _, a := range schema.New("file", "", file.Args{}).Args {
		if a.Guest == "" || a.Doc == "" {
			t.Errorf("%s has no doc or does not say whether it reaches the guest", a.Name)
		}
	}
}

func provision(t *testing.T, files guesttest.Files, args file.Args) (map[string]string, error) {
	t.Helper()
	raw, err := json.Marshal(args)
	if err != nil {
		t.Fatal(err)
	}
	outputs := &guesttest.Outputs{}
	p, err := file.New(raw, guesttest.Env(files, outputs, provisioners.Vars{Host: "guest.example"}))
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	err = p.Provision(t.Context(), &guesttest.Local{}, &log)
	return outputs.Files(), err
}

// content lists the files below a directory.
func content(t *testing.T, dir string) map[string]string {
	t.Helper()
	got := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		got[strings.TrimPrefix(path, dir+"/")] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestUpload(t *testing.T) {
	t.Parallel()
	files := guesttest.Files{
		"app.conf": {Data: []byte("1"), Mode: 0o640}, "run": {Data: []byte("2"), Mode: 0o755},
		"tree/a": {Data: []byte("3"), Mode: 0o644}, "tree/sub/b": {Data: []byte("4"), Mode: 0o644},
	}
	for name, tc := range map[string]struct {
		args file.Args
		want map[string]string
	}{
		"to a name":             {file.Args{Source: "app.conf", Destination: "new"}, map[string]string{"new": "1"}},
		"into a directory":      {file.Args{Source: "./app.conf", Destination: ""}, map[string]string{"app.conf": "1"}},
		"several":               {file.Args{Sources: []string{"app.conf"}, Source: "run", Destination: ""}, map[string]string{"app.conf": "1", "run": "2"}},
		"directory":             {file.Args{Source: "tree", Destination: ""}, map[string]string{"tree/a": "3", "tree/sub/b": "4"}},
		"content of directory":  {file.Args{Source: "tree/", Destination: "to"}, map[string]string{"to/a": "3", "to/sub/b": "4"}},
		"content":               {file.Args{Content: "hello {{ build `Host` }}\n", Destination: "motd"}, map[string]string{"motd": "hello guest.example\n"}},
		"content in directory":  {file.Args{Content: "x", Destination: ""}, map[string]string{"pkr-file-content": "x"}},
		"destination with host": {file.Args{Content: "x", Destination: "{{ build `Host` }}"}, map[string]string{"guest.example": "x"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			tc.args.Destination = dir + "/" + tc.args.Destination
			if _, err := provision(t, files, tc.args); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, content(t, dir)); diff != "" {
				t.Error(diff)
			}
			if info, err := os.Stat(dir + "/run"); err == nil && info.Mode().Perm() != 0o755 {
				t.Errorf("mode %v", info.Mode())
			}
		})
	}
}

func TestDownload(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{"a.log": "1", "b c.log": "2", "x": "3", "sub/d.txt": "4"} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(dir+"/"+name), 0o755), os.WriteFile(dir+"/"+name, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	for name, tc := range map[string]struct {
		src, dst string
		want     map[string]string
	}{
		"file":                 {"a.log", "logs/first", map[string]string{"logs/first": "1"}},
		"into a directory":     {"a.log", "logs/", map[string]string{"logs/a.log": "1"}},
		"content of directory": {"sub/", "logs", map[string]string{"logs/d.txt": "4"}},
		"pattern":              {"*.log", "logs/", map[string]string{"logs/a.log": "1", "logs/b c.log": "2"}},
		"pattern of directory": {"s[a-u]b", "logs/", map[string]string{"logs/sub/d.txt": "4"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := provision(t, nil, file.Args{Direction: "download", Source: dir + "/" + tc.src, Destination: tc.dst})
			if diff := cmp.Diff(tc.want, got); err != nil || diff != "" {
				t.Error(err, diff)
			}
		})
	}
	for _, src := range []string{"none", "none/", "none*", "$(touch x)*"} {
		if _, err := provision(t, nil, file.Args{Direction: "download", Source: dir + "/" + src, Destination: "d/"}); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", src, err)
		}
	}
}

func TestMissingSource(t *testing.T) {
	t.Parallel()
	_, err := provision(t, guesttest.Files{}, file.Args{Source: "none", Destination: t.TempDir() + "/"})
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "none") {
		t.Errorf("got %v", err)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		`{"source":"a","destination":"/b"}`:                         "",
		`{"content":"a","destination":"/b"}`:                        "",
		`{"sources":["a","b"],"destination":"/b/"}`:                 "",
		`{"sources":["a","b"],"destination":"/b"}`:                  "slash",
		`{"destination":"/b"}`:                                      "nothing to copy",
		`{"source":"a"}`:                                            "destination",
		`{"source":"a","content":"b","destination":"/b"}`:           "together",
		`{"content":"b","destination":"/b","direction":"download"}`: "downloaded",
		`{"source":"a","destination":"/b","direction":"up"}`:        `"up"`,
		`{"sauce":"a"}`:                                             "sauce",
	} {
		if err := file.Check(json.RawMessage(raw)); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", raw, err, want)
		}
	}
}

func TestInputs(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string][]string{
		`{"source":"a","sources":["b"],"destination":"/d/"}`:      {"b", "a"},
		`{"source":"a","destination":"d","direction":"download"}`: nil,
		`{"source":"a","destination":"d","generated":true}`:       nil,
		`{"content":"a","destination":"d"}`:                       nil,
	} {
		got, err := file.Inputs(json.RawMessage(raw))
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Error(raw, err, diff)
		}
	}
}
