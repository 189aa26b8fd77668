package steps

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/boxkiln/boxkiln/boxregistry/sbom"
	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/provisioners"
)

const (
	// recordTimeout is how long a guest may take to list its packages. Under emulation a few thousand take some seconds.
	recordTimeout = 2 * time.Minute
	// maxReport bounds what a guest may answer, in bytes: ten times what a full desktop has.
	maxReport = 8 << 20
)

// errLongReport says that a guest does not stop listing.
var errLongReport = fmt.Errorf("the list is longer than %d MiB", maxReport>>20)

// packagesWanted tells whether anybody will see the list of packages: a version that is published, or a later build that
// publishes the artifact of this one.
func (k *kept) packagesWanted(s *build.Session) bool {
	if !k.machineNeeded(s) || s.Plan.Communicator.Kind() != "ssh" {
		return false
	}
	last := len(k.stages) - 1
	return s.Plan.Publish.Box != "" || last >= 0 && k.stages[last].Never == ""
}

// recordPackages asks the guest what is installed. A guest that cannot tell is no reason to fail.
func (t *Set) recordPackages(ctx context.Context, s *build.Session) error {
	if s.Guest == nil {
		return nil
	}
	inv, err := listPackages(ctx, s.Guest)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err == nil {
		s.Packages, err = sbom.Encode(inv)
	}
	if err != nil {
		s.Log.Message("What is installed in the guest is not recorded: %v", err)
		return nil
	}
	s.Log.Message("%d packages are installed (%s)", len(inv.Packages), strings.TrimSpace(inv.System.ID+" "+inv.System.Version))
	return nil
}

// listPackages runs the script in the guest.
func listPackages(ctx context.Context, g provisioners.Guest) (sbom.Inventory, error) {
	text, err := askGuest(ctx, g, sbom.Script, fmt.Errorf("the guest did not list its packages within %s", recordTimeout))
	if err != nil {
		return sbom.Inventory{}, err
	}
	return sbom.ParseReport(text)
}

// askGuest runs a script that only prints in the guest, and returns what it printed. late is the error of one that takes
// too long.
func askGuest(ctx context.Context, g provisioners.Guest, script string, late error) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, recordTimeout, late)
	defer cancel()
	report := &capped{}
	exit, err := g.Run(ctx, provisioners.Command{Line: "/bin/sh -s", Stdin: strings.NewReader(script), Stdout: report})
	switch {
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case report.full:
		return "", errLongReport
	case err != nil:
		return "", err
	case exit != 0 && report.text.Len() == 0:
		return "", &provisioners.ExitError{Command: "/bin/sh", Status: exit}
	}
	return report.text.String(), nil
}

// capped is a buffer that takes maxReport bytes and then forgets them, without keeping the guest from writing.
type capped struct {
	text bytes.Buffer
	full bool
}

func (c *capped) Write(p []byte) (int, error) {
	if c.full = c.full || c.text.Len()+len(p) > maxReport; c.full {
		c.text.Reset()
		return len(p), nil
	}
	return c.text.Write(p)
}

// keepPackages writes the list into the folder of an artifact that is kept, under the name that it has beside a box. It is
// checked with the other files there.
func keepPackages(s *build.Session, dir string) error {
	if s.Packages == nil {
		return nil
	}
	return os.WriteFile(filepath.Join(dir, sbom.FileName), s.Packages, 0o600)
}

// keptPackages reads what keepPackages wrote; nil if the artifact has none.
func keptPackages(dir string) ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(dir, sbom.FileName))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return data, err
}
