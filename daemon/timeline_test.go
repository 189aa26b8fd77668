package daemon

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/daemon/build"
)

// A timeline that is read now and then while its log grows, by half lines too, is that of the whole log.
func TestTimelineCatchesUp(t *testing.T) {
	t.Parallel()
	const log = `{"time":"2026-11-20T12:00:00Z","kind":"state","label":"x","state":"running","attempt":1}
{"time":"2026-11-20T12:00:01Z","kind":"message","label":"x","text":"\"kind\":\"mark\""}
{"time":"2026-11-20T12:00:01Z","kind":"step","label":"x","step":"export","phase":"began"}
{"time":"2026-11-20T12:00:02Z","kind":"mark","label":"x","text":"says \"kind\":\"message\"","mark":"login"}
{"time":"2026-11-20T12:00:03Z","kind":"step","label":"x","step":"export","phase":"done","seconds":2}
`
	path := filepath.Join(t.TempDir(), "log")
	var grows, whole timelineFold
	for end := 0; end <= len(log); end += 37 {
		if err := os.WriteFile(path, []byte(log[:end]), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := grows.catchUp(path); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(path, []byte(log), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, f := range []*timelineFold{&grows, &whole} {
		if err := f.catchUp(path); err != nil {
			t.Fatal(err)
		}
	}
	moments := whole.moments((*build.Timeline).Moments)
	if diff := cmp.Diff(moments, grows.moments((*build.Timeline).Moments)); diff != "" {
		t.Error(diff)
	}
	var names []string
	for _, m := range moments {
		names = append(names, m.Name+" "+string(m.Phase))
	}
	if diff := cmp.Diff([]string{"running began", "export done", "login "}, names); diff != "" {
		t.Error(diff)
	}
	if err := os.WriteFile(path, []byte(log+"{nonsense\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := whole.catchUp(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a damaged log: %v", err)
	}
}
