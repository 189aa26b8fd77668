package pack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/boxregistry/boxfile"
	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/disk"
	"github.com/boxkiln/boxkiln/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func needQemuImg(t *testing.T) { t.Helper(); needTool(t, "qemu-img") }

// needTool skips a test where a program is missing; under BOXKILN_REQUIRE_TOOLS it fails instead.
func needTool(t *testing.T, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err == nil {
		return
	}
	if os.Getenv("BOXKILN_REQUIRE_TOOLS") == "1" {
		t.Fatalf("%s is not installed", name)
	}
	t.Skipf("%s is not installed", name)
}

// diskImage makes a disk with qemu-img.
func diskImage(t *testing.T, format string, size int64, o disk.CreateOptions) hypervisor.File {
	t.Helper()
	needQemuImg(t)
	path := filepath.Join(t.TempDir(), "disk."+format)
	if err := (disk.Tool{}).Create(t.Context(), path, format, size, o); err != nil {
		t.Fatal(err)
	}
	return hypervisor.File{Path: path, Role: hypervisor.RoleDisk, Format: format, VirtualSize: size}
}

func artifact(files ...hypervisor.File) hypervisor.Artifact {
	return hypervisor.Artifact{Builder: "qemu", Driver: "libvirt", Arch: "amd64", Files: files}
}

// box makes a box and inspects it.
func box(t *testing.T, a hypervisor.Artifact, o Options) boxfile.Summary {
	t.Helper()
	var b bytes.Buffer
	res, err := Box(t.Context(), a, o, &b)
	if err != nil {
		t.Fatal(err)
	}
	sum, err := boxfile.Inspect(t.Context(), &b, boxfile.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sum, res); diff != "" || len(sum.Warnings) > 0 {
		t.Errorf("inspected and packed: %s; warnings %q", diff, sum.Warnings)
	}
	return sum
}

func names(sum boxfile.Summary) []string {
	var names []string
	for _, f := range sum.Files {
		names = append(names, f.Name)
	}
	return names
}

func TestOneDisk(t *testing.T) {
	t.Parallel()
	sum := box(t, artifact(diskImage(t, disk.QCOW2, 5<<30+512, disk.CreateOptions{})), Options{})
	want := boxfile.Metadata{Provider: "libvirt", Architecture: "amd64", Format: "qcow2", VirtualSize: 6}
	if diff := cmp.Diff(want, sum.Metadata); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"metadata.json", "Vagrantfile", "box.img"}, names(sum)); diff != "" {
		t.Error(diff)
	}
}

func TestSeveralDisksAndExtras(t *testing.T) {
	t.Parallel()
	extra := filepath.Join(t.TempDir(), "README.txt")
	vars := filepath.Join(t.TempDir(), "x_VARS.fd")
	if err := errors.Join(os.WriteFile(extra, []byte("read me"), 0o600), os.WriteFile(vars, []byte("vars"), 0o600)); err != nil {
		t.Fatal(err)
	}
	a := artifact(diskImage(t, disk.QCOW2, 1<<30, disk.CreateOptions{}), diskImage(t, disk.QCOW2, 2<<30, disk.CreateOptions{}),
		hypervisor.File{Path: vars, Role: hypervisor.RoleNVRAM})
	a.UEFI = true
	sum := box(t, a, Options{Include: []string{extra}, Info: map[string]string{"a": "b"}, Architecture: "arm64"})
	want := boxfile.Metadata{Provider: "libvirt", Architecture: "arm64", NVRAM: "efivars.fd", Machine: json.RawMessage(`{"machine":{"uefi":true}}`),
		Disks: []boxfile.MetadataDisk{{Path: "box_0.img", Format: "qcow2"}, {Path: "box_1.img", Format: "qcow2"}}}
	if diff := cmp.Diff(want, sum.Metadata); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"metadata.json", "Vagrantfile", "info.json", "box_0.img", "box_1.img", "efivars.fd", "README.txt"}, names(sum)); diff != "" {
		t.Error(diff)
	}
}

func TestDisksAreConvertedAndFlattened(t *testing.T) {
	t.Parallel()
	base := diskImage(t, disk.QCOW2, 1<<30, disk.CreateOptions{})
	unnamed := diskImage(t, disk.VDI, 1<<30, disk.CreateOptions{})
	unnamed.Format = ""
	for name, f := range map[string]hypervisor.File{
		"raw": diskImage(t, disk.Raw, 1<<30, disk.CreateOptions{}), "unnamed": unnamed,
		"overlay": diskImage(t, disk.QCOW2, 0, disk.CreateOptions{Backing: base.Path, BackingFormat: disk.QCOW2}),
	} {
		scratch := t.TempDir()
		if sum := box(t, artifact(f), Options{Scratch: scratch}); sum.VirtualSize != 1<<30 {
			t.Errorf("%s: %+v", name, sum)
		}
		if left, _ := os.ReadDir(scratch); len(left) > 0 {
			t.Errorf("%s: %v was left in the scratch directory", name, left)
		}
		if _, err := Box(t.Context(), artifact(f), Options{}, &bytes.Buffer{}); err == nil {
			t.Errorf("%s: a disk was converted nowhere", name)
		}
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	good := diskImage(t, disk.QCOW2, 1<<20, disk.CreateOptions{})
	lie := good
	lie.Path = filepath.Join(t.TempDir(), "raw")
	if err := os.WriteFile(lie.Path, make([]byte, 512), 0o600); err != nil {
		t.Fatal(err)
	}
	uefi := artifact(good)
	uefi.UEFI, uefi.Arch = true, "riscv64"
	for word, c := range map[string]struct {
		a hypervisor.Artifact
		o Options
	}{
		"no disk":      {artifact(), Options{}},
		"not a qcow2":  {artifact(lie), Options{}},
		"amazon-ebs":   {hypervisor.Artifact{Builder: "amazon-ebs"}, Options{}},
		"hyperv":       {artifact(good), Options{Provider: "hyperv"}},
		"no directory": {artifact(good), Options{Provider: "virtualbox"}},
		"riscv64":      {uefi, Options{}},
		"floppy":       {artifact(good), Options{Hardware: Hardware{DiskBus: "floppy"}}},
		"/no/such":     {artifact(good), Options{Include: []string{"/no/such"}}},
		"two files":    {artifact(good), Options{Include: []string{good.Path, good.Path}}},
		"no such file": {artifact(hypervisor.File{Path: "/no/such", Role: hypervisor.RoleDisk, Format: disk.QCOW2}), Options{}},
	} {
		if _, err := Box(t.Context(), c.a, c.o, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%v; want %q in it", err, word)
		}
	}
}

func TestDiskFullAndCancel(t *testing.T) {
	t.Parallel()
	a := artifact(diskImage(t, disk.QCOW2, 1<<30, disk.CreateOptions{}))
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	if _, err := Box(t.Context(), a, Options{}, full); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("error is %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Box(ctx, a, Options{}, &bytes.Buffer{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
}

// ruby runs a box's Vagrantfile under a stand-in for Vagrant in which only the named files exist, and returns what it set.
func ruby(t *testing.T, vagrantfile string, exist ...string) string {
	t.Helper()
	if _, err := exec.LookPath("ruby"); err != nil {
		t.Skip("ruby is not installed")
	}
	const stub = `
class Sink
  def method_missing(name, *args) puts "#{name}#{args[0]}" end
  def respond_to_missing?(*) true end
end
class VM; def provider(name) yield Sink.new end end
class Config; def vm() VM.new end end
module Vagrant; def self.configure(v) yield Config.new end end
EXIST = ARGV.dup
def File.exist?(path) EXIST.include?(path) end
eval STDIN.read
`
	cmd := exec.CommandContext(t.Context(), "ruby", append([]string{"-W0", "-e", stub}, exist...)...)
	cmd.Stdin = strings.NewReader(vagrantfile)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, out, vagrantfile)
	}
	check := exec.CommandContext(t.Context(), "ruby", "-c", "-")
	check.Stdin = strings.NewReader(vagrantfile)
	if out, err := check.CombinedOutput(); err != nil || !strings.Contains(string(out), "Syntax OK") {
		t.Errorf("ruby -c: %v %s", err, out)
	}
	return string(out)
}

func TestVagrantfile(t *testing.T) {
	t.Parallel()
	f := diskImage(t, disk.QCOW2, 1<<20, disk.CreateOptions{})
	plain := artifact(f)
	uefi := plain
	uefi.UEFI = true
	for name, c := range map[string]struct {
		a     hypervisor.Artifact
		o     Options
		exist []string
		want  string
	}{
		"plain": {plain, Options{}, []string{"/usr/share/ovmf/OVMF.fd"}, "driver=kvm\n"},
		"hardware": {plain, Options{Hardware: Hardware{Driver: "qemu", CPUs: 2, MemoryMiB: 768, Machine: "q35", DiskBus: "sata", NIC: "e1000"}}, nil,
			"driver=qemu\ncpus=2\nmemory=768\nmachine_type=q35\ndisk_device=sda\ndisk_bus=sata\nnic_model_type=e1000\n"},
		"hostile": {plain, Options{Hardware: Hardware{Machine: "q'#{puts 1}\\"}}, nil, "driver=kvm\nmachine_type=q'#{puts 1}\\\n"},
		"debian":  {uefi, Options{}, []string{"/usr/share/ovmf/OVMF.fd", "/usr/share/OVMF/OVMF_CODE.fd"}, "driver=kvm\nloader=/usr/share/ovmf/OVMF.fd\n"},
		"arch":    {uefi, Options{}, []string{"/usr/share/edk2/x64/OVMF.4m.fd"}, "driver=kvm\nloader=/usr/share/edk2/x64/OVMF.4m.fd\n"},
		"nothing": {uefi, Options{}, nil, "driver=kvm\n"},
		"appended": {plain, Options{Vagrantfile: `Vagrant.configure("2") { |c| c.vm.provider(:libvirt) { |l| l.driver = "qemu" } }`}, nil,
			"driver=kvm\ndriver=qemu\n"},
	} {
		sum := box(t, c.a, c.o)
		if diff := cmp.Diff(c.want, ruby(t, sum.Vagrantfile, c.exist...)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	fedora := ruby(t, box(t, uefi, Options{}).Vagrantfile, "/usr/share/edk2/ovmf/OVMF_CODE.fd")
	if !strings.Contains(fedora, "loader=/usr/share/edk2/ovmf/OVMF_CODE.fd\nnvram=/var/lib/libvirt/qemu/nvram/vagrant-") {
		t.Errorf("fedora: %s", fedora)
	}
}

// TestVagrantTakesIt has the real client add a box and load its Vagrantfile.
func TestVagrantTakesIt(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("vagrant"); err != nil {
		t.Skip("vagrant is not installed")
	}
	a := artifact(diskImage(t, disk.QCOW2, 1<<30, disk.CreateOptions{}))
	a.UEFI = true
	path, home, project := filepath.Join(t.TempDir(), "x.box"), t.TempDir(), t.TempDir()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Box(t.Context(), a, Options{Hardware: Hardware{CPUs: 2, DiskBus: "sata", Machine: "q35"}, Info: map[string]string{"made": "here"}}, f)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	vagrant := func(args ...string) string {
		cmd := exec.CommandContext(t.Context(), "vagrant", args...)
		cmd.Env, cmd.Dir = append(os.Environ(), "VAGRANT_HOME="+home, "VAGRANT_CHECKPOINT_DISABLE=1"), project
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("vagrant %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	vagrant("box", "add", "--name", "me/test", path)
	if out := vagrant("box", "list", "-i"); !strings.Contains(out, "me/test (libvirt, 0)") || !strings.Contains(out, "made: here") {
		t.Errorf("vagrant box list: %s", out)
	}
	if err := os.WriteFile(filepath.Join(project, "Vagrantfile"), []byte("Vagrant.configure('2') { |c| c.vm.box = 'me/test' }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := vagrant("validate"); !strings.Contains(out, "validated successfully") {
		t.Errorf("vagrant validate: %s", out)
	}
}
