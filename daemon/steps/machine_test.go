package steps

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/iso"
)

// Whether a checkpoint fits is asked before the seed media are made; a machine without their drives would never fit.
func TestSpecHasDrivesBeforeTheirMedia(t *testing.T) {
	t.Parallel()
	p := &build.Plan{}
	p.CD.Content, p.Floppy.Content = map[string]string{"user-data": "x"}, map[string]string{"ks.cfg": "x"}
	s := &build.Session{Plan: p, Media: iso.File{Path: "/media/installer.iso"}}
	s.Dirs.Machine = "/work"
	spec := (&Set{}).spec(s)
	if d := cmp.Diff([]string{"/media/installer.iso", "/work/seed.iso"}, spec.CDs); d != "" || spec.Floppy != "/work/seed.flp" {
		t.Errorf("floppy %q, CDs (-want +got):\n%s", spec.Floppy, d)
	}
	p.CD.Content, p.Floppy.Content = nil, nil
	if spec := (&Set{}).spec(s); len(spec.CDs) != 1 || spec.Floppy != "" {
		t.Errorf("drives for nothing: %q %q", spec.CDs, spec.Floppy)
	}
}
