package pack

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/disk"
)

// onDisk are the packages that are files.
func onDisk() []hypervisor.Package {
	return slices.DeleteFunc(hypervisor.Packages(), hypervisor.Package.IsRemote)
}

// TestImage: a driver is given raw disks with the bytes of the machine's, and its ids are what was made; the raw disks are a package too
// only if they are wanted.
func TestImage(t *testing.T) {
	t.Parallel()
	one, two := data(t, 4<<20), data(t, 2<<20)
	for _, list := range [][]hypervisor.Package{{hypervisor.PackageAMI}, {hypervisor.PackageAMI, hypervisor.PackageRaw}} {
		dir, scratch := t.TempDir(), t.TempDir()
		a := artifact(one, two)
		a.UEFI = true
		want := []hypervisor.RemoteID{{Region: "r", ID: "ami-1"}}
		var lacks []string
		made, warnings, err := Packages(t.Context(), a, list, dir, Options{Name: "web", Guest: debian, Scratch: scratch,
			Import: func(_ context.Context, p hypervisor.Package, r hypervisor.ImportRequest) (hypervisor.Artifact, error) {
				if p != hypervisor.PackageAMI || !r.UEFI || r.Arch != a.Arch || r.Title != "web" || len(r.Files) != 2 {
					t.Errorf("asked for %s: %+v", p, r)
				}
				same(t, one, r.Files[0].Path, disk.Raw)
				same(t, two, r.Files[1].Path, disk.Raw)
				lacks = r.Lacks
				return hypervisor.Artifact{IDs: want}, nil
			}})
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, made[0].IDs); d != "" || len(made[0].Files) != 0 {
			t.Errorf("made %+v", made)
		}
		if d := cmp.Diff([]string{"nvme", "ena"}, lacks); d != "" {
			t.Error(d)
		}
		if text := strings.Join(warnings, "\n"); !strings.Contains(text, "ami: the guest will not find its disk") || !strings.Contains(text, "kernel's module ena") {
			t.Errorf("warnings are %q", warnings)
		}
		files, err := filepath.Glob(filepath.Join(dir, "*"))
		if want := 2 * (len(list) - 1); err != nil || len(files) != want {
			t.Errorf("files are %q, %v", files, err)
		}
		if left, err := os.ReadDir(scratch); err != nil || len(left) != 0 {
			t.Errorf("scratch has %v, %v", left, err)
		}
	}
}

// TestImageFails: when the driver fails nothing of the other packages is left, and without one it is said.
func TestImageFails(t *testing.T) {
	t.Parallel()
	fail := errors.New("no permission")
	for _, c := range []struct {
		run  func(context.Context, hypervisor.Package, hypervisor.ImportRequest) (hypervisor.Artifact, error)
		want string
	}{
		{nil, "there is none here"},
		{func(context.Context, hypervisor.Package, hypervisor.ImportRequest) (hypervisor.Artifact, error) {
			return hypervisor.Artifact{}, fail
		}, "make ami: no permission"},
	} {
		dir := t.TempDir()
		_, _, err := Packages(t.Context(), artifact(data(t, 2<<20)), []hypervisor.Package{hypervisor.PackageAMI, hypervisor.PackageRaw}, dir, Options{Name: "web", Scratch: t.TempDir(), Import: c.run})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error is %v, not %q", err, c.want)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
			t.Errorf("left are %v, %v", left, err)
		}
	}
}

// TestUpload takes the file that is there, and makes the one that is not.
func TestUpload(t *testing.T) {
	t.Parallel()
	src := data(t, 2<<20)
	a := artifact(src)
	a.Files = append(a.Files, hypervisor.File{Path: "/x/web.ova", Role: hypervisor.RoleAppliance})
	o := Options{Name: "web", Scratch: t.TempDir()}
	ready, err := Upload(t.Context(), a, "ova", t.TempDir(), o)
	if err != nil || len(ready) != 1 || ready[0].Path != "/x/web.ova" {
		t.Errorf("%+v, %v", ready, err)
	}
	made, err := Upload(t.Context(), artifact(src), "raw", t.TempDir(), o)
	if err != nil || len(made) != 1 {
		t.Fatalf("%+v, %v", made, err)
	}
	same(t, src, made[0].Path, disk.Raw)
	if _, err := Upload(t.Context(), artifact(src), "vmdk", t.TempDir(), o); err == nil || !strings.Contains(err.Error(), "raw, vhd, vhdx or ova") {
		t.Errorf("error is %v", err)
	}
}

// TestCloudWarnings: a guest with all drivers is not warned of, nor one about which nothing is known.
func TestCloudWarnings(t *testing.T) {
	t.Parallel()
	fit := Guest{Kernel: "6", Initramfs: "/boot/initrd.img", Early: []string{"nvme"}, Late: []string{"ena"}}
	tied := fit
	tied.Devices = []Named{{"/dev/sda1", "/etc/fstab"}}
	for want, g := range map[string]Guest{"": fit, "/etc/fstab names the disk /dev/sda1, which is /dev/nvme0n1 there": tied} {
		if got := strings.Join(g.CloudWarnings(false), "\n"); !strings.HasPrefix(got, want) || want == "" && got != "" {
			t.Errorf("warnings %q; want %q", got, want)
		}
	}
	if g := (Guest{}); len(g.CloudWarnings(true)) > 0 || g.CloudLacks() != nil {
		t.Errorf("of an unknown guest: %q, %q", g.CloudWarnings(true), g.CloudLacks())
	}
}
