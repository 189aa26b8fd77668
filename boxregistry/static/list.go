package static

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/boxkiln/boxkiln/internal/fsx"
)

// listName is the list of what exports have written.
const listName = ".boxkiln-export.json"

// list is what exports have written, as paths in the tree with slashes.
type list struct {
	Files []string `json:"files"`
}

func (e *exporter) readList() (list, error) {
	data, err := e.root.ReadFile(listName)
	if errors.Is(err, os.ErrNotExist) {
		return list{}, nil
	}
	var l list
	if err == nil {
		err = json.Unmarshal(data, &l)
	}
	if err != nil {
		return l, fmt.Errorf("the list of what earlier exports wrote, %s: %w", listName, err)
	}
	return l, nil
}

// prune removes what is in the list and was not written now. It returns what is left of the list.
func (e *exporter) prune(l list) (list, error) {
	for _, at := range l.Files {
		if e.wrote[at] || !filepath.IsLocal(at) {
			continue
		}
		if err := e.root.Remove(at); err != nil && !errors.Is(err, os.ErrNotExist) {
			return l, err
		}
		e.report.Removed++
		e.told("removed", at)
		for dir := path.Dir(at); dir != "."; dir = path.Dir(dir) {
			if e.root.Remove(dir) != nil { // there is something else in it
				break
			}
		}
	}
	return list{}, nil
}

func (e *exporter) writeList(before list) error {
	for at := range e.wrote {
		before.Files = append(before.Files, at)
	}
	slices.Sort(before.Files)
	before.Files = slices.Compact(before.Files)
	data, err := json.MarshalIndent(before, "", " ")
	if err != nil {
		return err
	}
	if old, err := e.root.ReadFile(listName); err == nil && bytes.Equal(old, data) {
		return nil
	}
	return fsx.WriteFile(filepath.Join(e.Dir, listName), data, 0o644)
}
