package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/boxkiln/boxkiln/boxregistry/boxfile"
	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/disk"
)

// onDisk are the packages that are files.
func onDisk() []hypervisor.Package {
	return slices.DeleteFunc(hypervisor.Packages(), hypervisor.Package.IsRemote)
}

// allPackages is a template's list of all that are files.
func allPackages() map[string]string {
	list, err := json.Marshal(onDisk())
	if err != nil {
		panic(err) // of strings
	}
	return map[string]string{"package": string(list)}
}

// providers are those of a version, as Vagrant sees them, with the bytes of each.
func (b *bench) providers(box string) map[string]string {
	b.t.Helper()
	d := b.serve()
	defer d.stop()
	_, text := d.get("/"+box, nil)
	var catalog struct {
		Versions []struct {
			Providers []struct{ Name, URL string }
		}
	}
	if err := json.Unmarshal([]byte(text), &catalog); err != nil || len(catalog.Versions) == 0 {
		b.t.Fatalf("%v: %s", err, text)
	}
	found := map[string]string{}
	for _, p := range catalog.Versions[0].Providers {
		_, found[p.Name] = d.get(strings.TrimPrefix(p.URL, d.url), nil)
	}
	return found
}

// TestPackages: one build makes everything and publishes three providers of one version; the next takes it all from the cache.
func TestPackages(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	template := b.solo(allPackages(), "")
	b.run("build", "--box=acme/solo", "--box-version=1.0", template).wants(t, exitOK,
		"Packaging for libvirt, virtualbox, vmware_desktop, ova, vmx, qcow2, raw, vhd, vhdx",
		"Published and released: acme/solo 1.0 (libvirt, amd64; virtualbox, amd64; vmware_desktop, amd64)",
		"'virtualbox' provider box: "+b.path("out/packer-solo.virtualbox.box"), "vmx: machine in directory: "+b.path("out/packer-solo-vmx"), "ova: "+b.path("out/packer-solo.ova"))
	want := []string{"packer-solo-vmx", "packer-solo.libvirt.box", "packer-solo.openstack.json", "packer-solo.ova", "packer-solo.qcow2", "packer-solo.raw",
		"packer-solo.vhd", "packer-solo.vhdx", "packer-solo.virtualbox.box", "packer-solo.vmware_desktop.box"}
	if diff := cmp.Diff(want, b.listed("out")); diff != "" {
		t.Errorf("results: %s", diff)
	}
	b.goodBoxes("acme/solo")
	first := b.contents("out")

	r := b.run("build", "-force", "--box=acme/solo", "--box-version=1.1", template)
	r.wants(t, exitOK, "Nothing changed", "package: cached", "Published and released: acme/solo 1.1 (libvirt, amd64; virtualbox, amd64; vmware_desktop, amd64)")
	if r.says("Creating the machine") || r.says("Packaging for") {
		t.Errorf("something ran:\n%s", r.stdout)
	}
	if diff := cmp.Diff(first, b.contents("out")); diff != "" {
		t.Error("the results of the second build are others")
	}
	d := b.serve()
	b.run("box", "parity", "acme/solo", "1.1").wants(t, exitOK, "libvirt", "virtualbox", "vmware_desktop")
	d.stop()
	b.nothingLeft()
}

// listed lists a folder of the bench.
func (b *bench) listed(dir string) []string {
	b.t.Helper()
	entries, err := os.ReadDir(b.path(dir))
	if err != nil {
		b.t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// contents reads all files below a folder of the bench.
func (b *bench) contents(dir string) map[string]string {
	b.t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(b.path(dir), func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		found[path] = string(data)
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return found
}

// goodBoxes checks that the three providers of a box are the files that the build left, and that nobody has anything to say
// against them.
func (b *bench) goodBoxes(box string) {
	b.t.Helper()
	served := b.providers(box)
	for _, p := range []string{"libvirt", "virtualbox", "vmware_desktop"} {
		made, err := os.ReadFile(b.path("out/packer-solo." + p + ".box"))
		if err != nil || string(made) != served[p] {
			b.t.Errorf("%s: %d bytes are served, %d were made (%v)", p, len(served[p]), len(made), err)
		}
		sum, err := boxfile.Inspect(b.t.Context(), strings.NewReader(served[p]), boxfile.Limits{})
		if err != nil || len(sum.Warnings) > 0 || sum.Metadata.Provider != p {
			b.t.Errorf("%s: %+v, %v", p, sum, err)
		}
	}
}

// TestPackageSwitch: --package is worth more than the template, and a post-processor's box more than a package.
func TestPackageSwitch(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	plain := b.solo(map[string]string{"package": `["ova"]`, "vm_name": `"golden.qcow2"`}, "")
	b.run("build", "--package=raw,qcow2", plain).wants(t, exitOK, "raw: "+b.path("out/golden.raw"), "qcow2: "+b.path("out/golden.qcow2"))
	if diff := cmp.Diff([]string{"golden.openstack.json", "golden.qcow2", "golden.raw"}, b.listed("out")); diff != "" {
		t.Errorf("results: %s", diff)
	}
	b.run("build", "-force", "--package=raw,qcow2", plain).wants(t, exitOK, "Nothing changed", "qcow2: "+b.path("out/golden.qcow2"))
	b.run("build", "-force", "--package=", plain).wants(t, exitOK, "VM files in directory")

	post := b.solo(map[string]string{"package": `["libvirt", "virtualbox"]`}, "  post-processor \"vagrant\" {\n    output = "+literal(b.path("mine.box"))+"\n  }\n")
	b.run("build", "-force", "--box=acme/solo", "--box-version=1", post).wants(t, exitOK, "Packaging for virtualbox...",
		"'libvirt' provider box: "+b.path("mine.box"), "(libvirt, amd64; virtualbox, amd64)")
	mine, err := os.ReadFile(b.path("mine.box"))
	if got := b.providers("acme/solo"); err != nil || got["libvirt"] != string(mine) || len(got) != 2 {
		t.Errorf("%d providers are served, and the box that a post-processor made is not (%v)", len(got), err)
	}
	// A box of another provider by the post-processor, with its user's own text in it.
	other := b.solo(nil, "  post-processor \"vagrant\" {\n    provider_override = \"virtualbox\"\n    output = "+literal(b.path("vb.box"))+"\n  }\n")
	b.run("build", "-force", other).wants(t, exitOK, "'virtualbox' provider box: "+b.path("vb.box"))
	b.nothingLeft()
}

// TestPackageFingerprint: another list is another artifact, made of the same machine.
func TestPackageFingerprint(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	template := b.solo(nil, inline("echo base runs"))
	b.run("build", "--package=qcow2", template).wants(t, exitOK, "base runs")
	r := b.run("build", "-force", "--package=qcow2,ova", template)
	r.wants(t, exitOK, "Thawing the machine", "Packaging for qcow2, ova", "`package` changed")
	if r.says("base runs") {
		t.Errorf("the machine was made again:\n%s", r.stdout)
	}
	b.run("build", "-force", "--package=qcow2", template).wants(t, exitOK, "Nothing changed")
	b.nothingLeft()
}

// TestPackageMistakes are found before anything is built.
func TestPackageMistakes(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, c := range []struct {
		list  string
		flags []string
		want  []string
	}{
		{`["virtualbx"]`, nil, []string{`"virtualbx"`, `did you mean "virtualbox"`}},
		{`["ovf"]`, nil, []string{`"ovf" is called "ova"`}},
		{`["vmware"]`, nil, []string{"vmware_desktop"}},
		{`["raw", "raw"]`, nil, []string{"named twice"}},
		{`["zzz"]`, nil, []string{"use libvirt, virtualbox"}},
		{`["raw"]`, []string{"--box=acme/x", "--box-version=1"}, []string{"acme/x is to be published", "makes no box", "add libvirt"}},
		{`["raw"]`, []string{"--package=qcow,raw"}, []string{`did you mean "qcow2"`}},
	} {
		b.refused(t, append(c.want, "solo.pkr.hcl"), append(c.flags, b.solo(map[string]string{"package": c.list}, ""))...)
	}
}

// stuckTool puts a qemu-img before the real one that never ends a conversion to VHDX, and tells when it is at it. Its
// environment is returned, and the file that appears.
func (b *bench) stuckTool() (env []string, marker string) {
	b.t.Helper()
	needQemuImg(b.t)
	marker = b.path("stuck")
	b.write("bin/qemu-img", "#!/bin/sh\ncase \"$*\" in *convert*vhdx*) : >"+marker+"; exec sleep 600;; esac\nPATH=${PATH#*:} exec qemu-img \"$@\"\n")
	if err := os.Chmod(b.path("bin/qemu-img"), 0o755); err != nil {
		b.t.Fatal(err)
	}
	return []string{"PATH=" + b.path("bin") + ":" + os.Getenv("PATH")}, marker
}

func needQemuImg(t *testing.T) {
	t.Helper()
	if _, err := (disk.Tool{}).Info(t.Context(), os.Args[0], disk.Raw); err != nil {
		if os.Getenv("BOXKILN_REQUIRE_TOOLS") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
}

// TestPackagingInterrupted: neither an interrupt in the middle nor the end of the daemon leaves a part of a package.
func TestPackagingInterrupted(t *testing.T) {
	t.Parallel()
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGKILL} {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			env, marker := b.stuckTool()
			template := b.solo(allPackages(), "")
			p := b.spawn(env, "build", "--box=acme/solo", "--box-version=1.0", template)
			b.awaitFiles(marker, 1)
			p.signal(signal)
			if r := p.wait(); r.code == exitOK {
				t.Errorf("it succeeded:\n%s", r.stdout)
			}
			if signal == syscall.SIGKILL { // the next daemon cleans up
				d := b.spawnServe()
				d.signal(syscall.SIGTERM)
				d.wait().wants(t, exitOK)
			}
			if b.exists("out") {
				t.Errorf("%v are left", b.listed("out"))
			}
			b.nothingLeft()
			b.run("build", "--box=acme/solo", "--box-version=1.0", template).wants(t, exitOK, "Published and released: acme/solo 1.0")
		})
	}
}

// TestPackagingDiskFull: packages that do not fit leave nothing, and the error says what is missing.
func TestPackagingDiskFull(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	small := b.path("small")
	if err := os.Mkdir(small, 0o755); err != nil {
		t.Fatal(err)
	}
	err := unix.Mount("tmpfs", small, "tmpfs", 0, "size=64k")
	if errors.Is(err, unix.EPERM) {
		t.Skip("a small file system can only be mounted by root")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(small, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	args := map[string]string{"output_directory": literal(filepath.Join(small, "out")), "package": `["libvirt", "virtualbox", "ova", "vmx", "qcow2"]`}
	r := b.run("build", "--box=acme/solo", "--box-version=1.0", b.solo(args, ""))
	r.wants(t, exitFailed, "packer-solo")
	if !strings.Contains(strings.ToLower(r.stdout), "no space left on device") { // the system and qemu-img spell it differently
		t.Errorf("nobody says that the disk is full:\n%s", r.stdout)
	}
	if states := b.states(); !slices.Equal(states, []build.State{build.Errored}) {
		t.Errorf("the build is %v", states)
	}
	if left, err := os.ReadDir(small); err != nil || len(left) > 0 {
		t.Errorf("%v is left (%v)", left, err)
	}
	b.nothingLeft()
}
