package fake

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/boxkiln/boxkiln/internal/fsx"
)

// Counts is what machines of a host have gone through.
type Counts struct {
	Installations int `json:"installations"` // that were finished
	Freezes       int `json:"freezes"`       // that succeeded
	Thaws         int `json:"thaws"`         // that succeeded
}

// Counts returns what has happened since the journal was begun, or without one since the host was opened.
func (h *Host) Counts() Counts {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.counts
}

// ReadJournal reads the counts that a host keeps in Options.Journal, perhaps one of another process. There are none in a
// file that does not exist.
func ReadJournal(path string) (Counts, error) {
	var c Counts
	if path == "" {
		return c, nil
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return c, err
	}
	if err := json.Unmarshal(data, &c); err != nil {
		return c, fmt.Errorf("journal of a fake host %q: %w", path, err)
	}
	return c, nil
}

// count changes the counts and writes them down. The caller holds mu.
func (h *Host) count(change func(c *Counts)) error {
	change(&h.counts)
	if h.opts.Journal == "" {
		return nil
	}
	data, err := json.Marshal(h.counts)
	if err != nil {
		return err
	}
	return fsx.WriteFile(h.opts.Journal, data, 0o644)
}
