package checkpoint

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What cannot be read goes too: the daemon starts without it.
func TestRecoverDropsWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	k := newKiln(t, Options{})
	ids := k.chain(t, "one", "two")
	manifest := filepath.Join(k.path(ids[1]), manifestFile)
	remove(t, manifest)
	if err := os.Mkdir(manifest, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := k.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := k.names(t); !cmp.Equal(got, ids[:1]) || k.has(t, ids[1]) != "" {
		t.Errorf("left: %v", got)
	}
	if !strings.Contains(k.log.String(), string(ids[1])) {
		t.Errorf("the log does not name it: %s", k.log)
	}
}
