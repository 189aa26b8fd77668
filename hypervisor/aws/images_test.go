package aws

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/aws/ami"
)

// off makes a machine and has it stopped.
func (r *rig) off(t *testing.T, d *Driver, spec hypervisor.Spec) hypervisor.Machine {
	t.Helper()
	m, err := d.Create(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Destroy(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	for _, do := range []func(context.Context) error{m.Start, m.Shutdown, m.Wait} {
		if err := do(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// TestExportMakesImages goes all the way from a machine that is off to images in two regions, which are the user's, are known to the
// driver that is asked for them later, and go when the build fails after all.
func TestExportMakesImages(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	d := r.driver(install)
	spec := r.spec(t, map[string]any{
		"ami_regions": []string{"eu-west-1"}, "tags": map[string]string{"Team": "ops", "Base": "{{ .SourceAMIName }}"}, "imds_support": "v2.0", "encrypt_boot": true,
		"deprecate_at": time.Now().Add(time.Hour).UTC().Format(time.RFC3339), "deregistration_protection": map[string]any{"enabled": true},
	})
	m := r.off(t, d, spec)
	var log bytes.Buffer
	a, err := m.Export(t.Context(), t.TempDir(), hypervisor.ExportOptions{Log: &log})
	if err != nil {
		t.Fatal(err)
	}
	if len(a.IDs) != 2 || a.IDs[0].Region != region || a.IDs[1].Region != "eu-west-1" || a.Driver != Name || a.Arch != "amd64" {
		t.Fatalf("the artifact is %+v", a)
	}
	for _, id := range a.IDs {
		if line := id.Region + ": AMI " + id.ID + " is available\n"; !strings.Contains(log.String(), line) {
			t.Errorf("%q is not in the log:\n%s", line, log.String())
		}
	}
	if err := d.Remains(t.Context(), spec, a.IDs); err != nil {
		t.Error(err)
	}
	if n := r.left(); n["images"] != 2 || n["snapshots"] != 2 {
		t.Errorf("left is %v", n)
	}
	acc, err := d.account(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range a.IDs {
		found, err := ami.Find(t.Context(), acc.In(id.Region), spec.Tag)
		if err != nil || len(found) != 2 || !found[0].Artifact || !found[1].Artifact || found[0].ID != id.ID || !found[0].Protected {
			t.Errorf("%s: found %+v, %v", id.Region, found, err)
		}
	}
	if err := d.RemoveImages(t.Context(), m.Handle()); err != nil {
		t.Fatal(err)
	}
	if err := d.Remains(t.Context(), spec, a.IDs); !errors.Is(err, hypervisor.ErrImageNotFound) {
		t.Errorf("after the images were removed: %v", err)
	}
	if n := r.left(); n["images"]+n["snapshots"] != 0 {
		t.Errorf("left is %v", n)
	}
}
