package aws

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/internal/fsx"
)

// recordFile is where a record lies in its machine's directory.
const recordFile = "instance.json"

// record is what is known of a machine of ours, kept in its directory. Who asks is in the handle alone.
type record struct {
	Name     string         `json:"name"`
	Tag      hypervisor.Tag `json:"tag"`
	Dir      string         `json:"dir"`
	Region   string         `json:"region"`
	Settings settings       `json:"settings"`
	Source   source         `json:"source"`
	UserData string         `json:"user_data,omitempty"` // in base64
	// Subnets are those to try, in their order; none for what EC2 chooses.
	Subnets []string `json:"subnets,omitempty"`
	// Groups are the security groups and Key is the key pair of the instance.
	Groups []string `json:"groups,omitempty"`
	Key    string   `json:"key,omitempty"`
	// Instance is the id of the instance, as soon as it is known, and Runs how many were run before it.
	Instance string `json:"instance,omitempty"`
	Runs     int    `json:"runs,omitempty"`
	// Asked tells when something was asked for of which nobody knows whether it was made: EC2 may show it later.
	Asked map[kind]time.Time `json:"asked,omitempty"`
	// Replace says that the image takes the place of one with its name, whatever the template says.
	Replace bool `json:"replace,omitempty"`
	// Whole says that Create came to its end.
	Whole bool `json:"whole,omitempty"`
}

// source is the image that an instance starts from.
type source struct {
	ID         string `json:"id"`
	Name       string `json:"name"`
	Owner      string `json:"owner"`
	OwnerName  string `json:"owner_name,omitempty"`
	Created    string `json:"created"`
	Arch       string `json:"arch"` // in Go's words
	UEFI       bool   `json:"uefi,omitempty"`
	RootDevice string `json:"root_device"`
}

// readRecord reads what is written beside a machine; false if nothing is.
func readRecord(dir string) (r record, found bool, err error) {
	data, err := os.ReadFile(filepath.Join(dir, recordFile))
	if errors.Is(err, fs.ErrNotExist) || dir == "" {
		return r, false, nil
	}
	if err != nil {
		return r, false, err
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return r, false, fmt.Errorf("%s: %w", filepath.Join(dir, recordFile), err)
	}
	return r, true, nil
}

// save writes the record down before what it says is done.
func (r record) save() error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return fsx.WriteFile(filepath.Join(r.Dir, recordFile), data, 0o600)
}

func removeRecord(dir string) error {
	if dir == "" {
		return nil
	}
	err := os.Remove(filepath.Join(dir, recordFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
