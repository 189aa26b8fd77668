package build

import (
	"errors"
	"fmt"

	"github.com/boxkiln/boxkiln/boxregistry"
)

// Validate finds a box name or a version that Vagrant could not use, and halves of a pair.
func (a PublishArgs) Validate() error {
	if a.Box == "" {
		if a.Version != "" || a.Smoke {
			return errors.New("box_version and smoke need a box to publish: set box or give --box ORG/NAME")
		}
		return nil
	}
	_, nameErr := boxregistry.ParseName(a.Box)
	if a.Version == "" {
		return errors.Join(nameErr, fmt.Errorf("box %q has no version: set box_version or give --box-version", a.Box))
	}
	_, versionErr := boxregistry.ParseVersion(a.Version)
	return errors.Join(nameErr, versionErr)
}
