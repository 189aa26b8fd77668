package virtualbox

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/boxkiln/boxkiln/hypervisor"
)

// victim is what a process shall make until it is killed.
type victim struct {
	Spec hypervisor.Spec
}

const victimVariable = "BOXKILN_TEST_VICTIM"

// TestVictim is the process of TestKilled: it makes a machine and starts it.
func TestVictim(t *testing.T) {
	text := os.Getenv(victimVariable)
	if text == "" {
		t.Skip("it is started by TestKilled")
	}
	var v victim
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	m, err := New(Options{Install: install}).Create(t.Context(), v.Spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-t.Context().Done()
}

// TestKilled kills a process at several moments while it makes and starts a machine, new or imported. Whoever comes after
// finds what is left by what the ledger knows, and removes it.
func TestKilled(t *testing.T) {
	t.Parallel()
	h := newHost(t, "7.0")
	d := h.driver(install)
	source := exported(t, d, smallArgs()).Files[0].Path
	for _, after := range []time.Duration{20, 60, 100, 150, 200, 300, 500, 900} {
		imported := plan(t, TypeOVF, install, map[string]any{"source_path": source, "guest_additions_mode": "disable", "headless": true})
		for _, spec := range []hypervisor.Spec{lasting(t), imported} {
			h.kill(t, spec, after*time.Millisecond)
			m, err := d.Open(t.Context(), hypervisor.Handle{Driver: Name, Name: spec.Name, Tag: spec.Tag, Dir: spec.Dir})
			switch {
			case errors.Is(err, hypervisor.ErrNotFound):
			case err != nil:
				t.Errorf("Open after %d ms: %v", after, err)
			default:
				if err := m.Destroy(t.Context()); err != nil {
					t.Errorf("Destroy after %d ms: %v", after, err)
				}
			}
			named := func(h hypervisor.Handle) bool { return h.Name == spec.Name }
			if list, err := d.List(t.Context()); err != nil || slices.ContainsFunc(list, named) {
				t.Errorf("after %d ms: List = %v, %v", after, list, err)
			}
		}
	}
}

// kill runs TestVictim for some time.
func (h *host) kill(t *testing.T, spec hypervisor.Spec, after time.Duration) {
	t.Helper()
	text, err := json.Marshal(victim{Spec: spec})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestVictim$", "-test.count=1")
	cmd.Env = append(append(os.Environ(), h.env...), victimVariable+"="+string(text), "PATH="+filepath.Dir(h.path)+":"+os.Getenv("PATH"))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
	defer kill.Stop()
	_ = cmd.Wait() // it was killed
}
