package host

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/boxkiln/boxkiln/internal/fsx"
)

// Record is what is known of a machine from its start until its files are let go.
type Record struct {
	VMX     string // absolute path
	PID     int    // the process that is responsible for it
	Address string // of its first card; empty without one
}

const recordFile = "machine.json"

// Machine is the folder of a machine's process: its record, and QEMU's files.
func (h Home) Machine(vmx string) string { return filepath.Join(h.Dir, "running", key(vmx)) }

// Put writes the record of a machine.
func (h Home) Put(r Record) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return fsx.WriteFile(filepath.Join(h.Machine(r.VMX), recordFile), data, 0o644)
}

// Get returns the record of a machine whose process lives; false for any other.
func (h Home) Get(vmx string) (Record, bool) {
	data, err := os.ReadFile(filepath.Join(h.Machine(vmx), recordFile))
	if err != nil {
		return Record{}, false
	}
	var r Record
	return r, json.Unmarshal(data, &r) == nil && alive(r.PID)
}

// All returns the records of the machines whose process lives, in the order of their paths.
func (h Home) All() ([]Record, error) {
	entries, err := os.ReadDir(filepath.Join(h.Dir, "running"))
	if err != nil {
		return nil, err
	}
	var records []Record
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(h.Dir, "running", e.Name(), recordFile))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return nil, err
		}
		var r Record
		if json.Unmarshal(data, &r) == nil && alive(r.PID) {
			records = append(records, r)
		}
	}
	slices.SortFunc(records, func(a, b Record) int { return strings.Compare(a.VMX, b.VMX) })
	return records, nil
}

// Forget removes the record of a machine.
func (h Home) Forget(vmx string) error { return os.RemoveAll(h.Machine(vmx)) }
