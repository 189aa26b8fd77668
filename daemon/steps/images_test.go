package steps

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/boxkiln/boxkiln/boxregistry/boxfile"
	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/pack"
	"github.com/boxkiln/boxkiln/hypervisor"
)

// TestParcels: what a build publishes, of files and of images, each once.
func TestParcels(t *testing.T) {
	t.Parallel()
	amis := []hypervisor.RemoteID{{Region: "us-east-1", ID: "ami-1"}}
	other := []hypervisor.RemoteID{{Region: "eu", ID: "img-1"}}
	packed := &hypervisor.File{Format: boxfile.AWS, Role: hypervisor.RoleBox}
	for name, c := range map[string]struct {
		session *build.Session
		remote  bool
		want    string // providers, "file" for what was packed before, "own" for the machine's files
		err     error
	}{
		"a machine here":               {session: &build.Session{}, want: "own"},
		"a machine here, and an AMI":   {session: &build.Session{IDs: amis}, want: "own aws"},
		"packages and an AMI":          {session: &build.Session{IDs: amis, Boxes: []hypervisor.File{{Format: "virtualbox"}}}, want: "file aws"},
		"a machine in EC2":             {session: &build.Session{IDs: amis}, remote: true, want: "aws"},
		"its box is packed already":    {session: &build.Session{IDs: amis, Box: packed}, remote: true, want: "file"},
		"a cloud that Vagrant has not": {session: &build.Session{IDs: other}, remote: true, err: pack.ErrNoLayout},
		"no image was made":            {session: &build.Session{}, remote: true, err: errNothing},
	} {
		c.session.Plan = &build.Plan{Machine: hypervisor.Spec{Remote: c.remote}}
		list, err := parcels(c.session)
		var got []string
		for _, p := range list {
			switch {
			case p.box != nil:
				got = append(got, "file")
			case p.provider == "":
				got = append(got, "own")
			default:
				got = append(got, p.provider)
			}
		}
		if strings.Join(got, " ") != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: %v, %v; want %q, %v", name, got, err, c.want, c.err)
		}
	}
}

// blind is a driver that cannot tell whether an image is still there, and asked one that says what it is told to.
type blind struct{ hypervisor.Driver }

func (blind) Name() string { return "blind" }

type asked struct {
	blind
	says error
}

func (a asked) Remains(context.Context, hypervisor.Spec, []hypervisor.RemoteID) error { return a.says }

// TestKeptImages: ids are kept and taken only where somebody can tell that they mean something still.
func TestKeptImages(t *testing.T) {
	t.Parallel()
	a := &hypervisor.Artifact{IDs: []hypervisor.RemoteID{{Region: "us-east-1", ID: "ami-1"}}}
	for name, c := range map[string]struct {
		driver hypervisor.Driver
		keeps  bool
		gone   string
	}{
		"nobody can tell": {blind{}, false, "driver blind cannot tell whether us-east-1:ami-1 is still there"},
		"it is there":     {asked{}, true, ""},
		"it is gone":      {asked{says: hypervisor.ErrImageNotFound}, true, "there is no such image"},
		"nobody may look": {asked{says: errors.New("access denied")}, true, "access denied"},
	} {
		s := &build.Session{Driver: c.driver, Plan: &build.Plan{}, IDs: a.IDs}
		if got := keepsIDs(s); got != c.keeps {
			t.Errorf("%s: kept %t", name, got)
		}
		k := &kept{set: &Set{}}
		if got := k.gone(t.Context(), s, a); got != c.gone {
			t.Errorf("%s: %q, want %q", name, got, c.gone)
		}
		if got := k.gone(t.Context(), s, &hypervisor.Artifact{}); got != "" {
			t.Errorf("%s: files are gone: %q", name, got)
		}
	}
}
