package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/hypervisor/disk"
)

// image makes a disk with something on it in the bench's folder.
func (b *bench) image(name string) string {
	b.t.Helper()
	needQemuImg(b.t)
	raw, path := b.write("filling.raw", strings.Repeat("filling ", 1<<15)+strings.Repeat("\x00", 1<<20)), b.path(name)
	err := disk.Tool{}.Convert(b.t.Context(), disk.ConvertOptions{Src: raw, SrcFormat: disk.Raw, Dst: path, DstFormat: disk.QCOW2})
	if err != nil {
		b.t.Fatal(err)
	}
	return path
}

// sameDisk compares two images.
func (b *bench) sameDisk(one, other, format string) {
	b.t.Helper()
	same, err := disk.Tool{}.Compare(b.t.Context(), disk.Image{Path: one, Format: disk.QCOW2}, disk.Image{Path: other, Format: format})
	if err != nil || !same {
		b.t.Errorf("%s differs from its source (%v)", other, err)
	}
}

// TestConvert makes everything of an image, and of each of these the image again.
func TestConvert(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	src := b.image("web.qcow2")
	var list []string
	for _, p := range onDisk() {
		list = append(list, string(p))
	}
	r := b.run("convert", src, "--package", strings.Join(list, ","), "-o", b.path("all"), "--name=golden", "--guest-os=debian/12", "--memory=768", "--firmware=uefi")
	r.wants(t, exitOK, "==> virtualbox: "+b.path("all/golden.virtualbox.box"))
	for _, name := range []string{"golden.libvirt.box", "golden.virtualbox.box", "golden.vmware_desktop.box", "golden.ova", "golden-vmx/golden.vmx", "golden.qcow2", "golden.raw",
		"golden.vhd", "golden.vhdx", "golden-vmx/golden-disk001.vmdk"} {
		back := b.path("back-" + filepath.Base(name))
		b.run("convert", b.path("all/"+name), "--package=qcow2,virtualbox,vmx", "--output="+back, "--name=x").wants(t, exitOK, back+"/x.qcow2")
		b.sameDisk(src, filepath.Join(back, "x.qcow2"), disk.QCOW2)
		text, err := os.ReadFile(filepath.Join(back, "x.openstack.json"))
		if err != nil {
			t.Fatal(err)
		}
		if image := strings.Contains(name, ".raw") || strings.Contains(name, ".vhd") || strings.Contains(name, "disk001") || strings.HasSuffix(name, ".qcow2"); !image &&
			(!strings.Contains(string(text), `"hw_firmware_type": "uefi"`) || !strings.Contains(string(text), `"min_ram": 768`) || !strings.Contains(string(text), `"os_distro": "debian"`)) {
			t.Errorf("%s has forgotten the machine: %s", name, text)
		}
	}
	for name, format := range map[string]string{"golden.raw": disk.Raw, "golden.vhd": disk.VPC, "golden.vhdx": disk.VHDX, "golden-vmx/golden-disk001.vmdk": disk.VMDK} {
		b.sameDisk(src, b.path("all/"+name), format)
	}
	if b.exists("data") || len(b.listed("all")) != 10 {
		t.Errorf("there is more than was asked for: %v", b.listed("all"))
	}
}

// TestConvertSeveral: several images are the disks of one machine.
func TestConvertSeveral(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	one, two := b.image("one.qcow2"), b.image("two.qcow2")
	r := b.run("convert", "--json", "--package=vmx,raw", "-o", b.path("out"), one, two)
	r.wants(t, exitOK)
	var got converted
	if err := json.Unmarshal([]byte(r.stdout), &got); err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, p := range got.Packages {
		for _, f := range p.Files {
			paths = append(paths, strings.TrimPrefix(f.Path, b.path("out")+"/"))
		}
	}
	if diff := cmp.Diff([]string{"one-vmx/one.vmx", "one-vmx/one-disk001.vmdk", "one-vmx/one-disk002.vmdk", "one.raw", "one-1.raw"}, paths); diff != "" {
		t.Error(diff)
	}
	b.sameDisk(two, b.path("out/one-1.raw"), disk.Raw)
}

// TestConvertNeverOverwrites: without -force nothing is replaced, and never what is converted.
func TestConvertNeverOverwrites(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	src := b.image("web.qcow2")
	precious := b.write("web.raw", "precious")
	r := b.run("convert", src, "--package=raw", "-o", b.dir)
	r.wants(t, exitFailed, precious+" is there already", "-force", "--name")
	if data, err := os.ReadFile(precious); err != nil || string(data) != "precious" {
		t.Errorf("it holds %.20q (%v)", data, err)
	}
	b.run("convert", src, "--package=qcow2", "-o", b.dir, "-force").wants(t, exitFailed, `would be replaced by "qcow2" of itself`)
	b.run("convert", src, "--package=raw", "-o", b.dir, "-force").wants(t, exitOK)
	b.sameDisk(src, precious, disk.Raw)
	for _, name := range b.listed("") {
		if strings.HasPrefix(name, ".part-") {
			t.Errorf("%s is left", name)
		}
	}
}

// TestConvertInterrupted: nothing is left of a conversion that is ended in the middle, and what was there before stays.
func TestConvertInterrupted(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	src := b.image("web.qcow2")
	env, marker := b.stuckTool()
	b.write("out/web.raw", "precious")
	p := b.spawn(env, "convert", src, "--package=libvirt,raw,vhdx", "-o", b.path("out"), "-force")
	b.awaitFiles(marker, 1)
	p.signal(syscall.SIGINT)
	p.wait().wants(t, exitFailed)
	if diff := cmp.Diff([]string{"web.raw"}, b.listed("out")); diff != "" {
		t.Errorf("after the interrupt: %s", diff)
	}
	if data, err := os.ReadFile(b.path("out/web.raw")); err != nil || string(data) != "precious" {
		t.Errorf("it holds %.20q (%v)", data, err)
	}
}

// tarFile writes an archive.
func (b *bench) tarFile(name string, members ...string) string {
	b.t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for i := 0; i < len(members); i += 2 {
		if err := w.WriteHeader(&tar.Header{Name: members[i], Size: int64(len(members[i+1])), Mode: 0o644, Format: tar.FormatUSTAR}); err != nil {
			b.t.Fatal(err)
		}
		if _, err := w.Write([]byte(members[i+1])); err != nil {
			b.t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		b.t.Fatal(err)
	}
	return b.write(name, buf.String())
}

// TestConvertRefuses: whatever is wrong with a file or a switch, the error names it, says what to do, and nothing is made.
func TestConvertRefuses(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	good := b.image("good.qcow2")
	whole, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	b.run("convert", good, "--package=ova,vmx,libvirt,virtualbox", "-o", b.path("made")).wants(t, exitOK)
	ova, err := os.ReadFile(b.path("made/good.ova"))
	if err != nil {
		t.Fatal(err)
	}
	descriptor, err := os.ReadFile(b.path("made/good-vmx/good.vmx"))
	if err != nil {
		t.Fatal(err)
	}
	over := b.path("over.qcow2")
	if err := (disk.Tool{}).Create(t.Context(), over, disk.QCOW2, 0, disk.CreateOptions{Backing: good, BackingFormat: disk.QCOW2}); err != nil {
		t.Fatal(err)
	}
	changed := bytes.Replace(ova, []byte("filling"), []byte("FILLING"), 1)
	changed[len(changed)/2] ^= 0xff
	const evil = "# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\nRW 4 FLAT \"/etc/passwd\" 0\n"
	child := strings.Replace(strings.Replace(evil, "/etc/passwd", "good.qcow2", 1), "RW", "parentFileNameHint=\"/etc/passwd\"\nRW", 1)
	raw := "--package=raw"
	for name, c := range map[string]struct {
		args []string
		want []string
	}{
		"no package":         {[]string{good}, []string{"--package", "virtualbox"}},
		"wrong package":      {[]string{good, "--package=virtualbx,hyperv"}, []string{`did you mean "virtualbox"`, `"hyperv" cannot be made yet`}},
		"missing":            {[]string{b.path("none.qcow2"), raw}, []string{"none.qcow2", "is not there"}},
		"folder":             {[]string{b.path("made"), raw}, []string{"is a folder", "name the .ovf or .vmx"}},
		"empty":              {[]string{b.write("empty.img", ""), raw}, []string{"empty.img", "is empty"}},
		"text":               {[]string{b.write("notes.txt", "hello\n"), raw}, []string{"notes.txt", "no disk image", "6 bytes"}},
		"compressed":         {[]string{b.write("web.img.gz", "\x1f\x8b\x08 rest"), raw}, []string{"compressed with gzip", "unpack it first"}},
		"CD":                 {[]string{b.write("cd.iso", strings.Repeat("\x00", 32769)+"CD001\x01\x00"+strings.Repeat("\x00", 2041)), raw}, []string{"image of a CD", "iso_url"}},
		"cut qcow2":          {[]string{b.write("cut.qcow2", string(whole[:len(whole)/2])), raw}, []string{"cut.qcow2", "damaged or cut off"}},
		"overlay":            {[]string{over, raw}, []string{"over.qcow2", "needs another file", "flatten it"}},
		"cut box":            {[]string{b.write("cut.box", "\x1f\x8b\x08\x00\x00\x00"), raw}, []string{"cut.box", "not a good box"}},
		"box of a stranger":  {[]string{b.tarFile("utm.box", "metadata.json", `{"provider":"utm"}`), raw}, []string{"is a box for utm", "libvirt, virtualbox and vmware_desktop"}},
		"box with a way out": {[]string{b.tarFile("evil.box", "metadata.json", `{"provider":"utm"}`, "../../out", "x"), raw}, []string{"evil.box", "leads out of the box"}},
		"appliance of it":    {[]string{b.tarFile("evil.ova", "x.ovf", "<Envelope/>", "../../out", "x"), raw}, []string{"evil.ova"}},
		"cut appliance":      {[]string{b.write("cut.ova", string(ova[:len(ova)*2/3])), raw}, []string{"cut.ova"}},
		"changed appliance":  {[]string{b.write("changed.ova", string(changed)), raw}, []string{"changed.ova", "digest"}},
		"disk elsewhere":     {[]string{b.write("evil.vmx", strings.ReplaceAll(string(descriptor), "good-disk001.vmdk", "../../etc/passwd")), raw}, []string{"evil.vmx", "../../etc/passwd", "not beside it"}},
		"disk that is gone":  {[]string{b.write("lone.vmx", string(descriptor)), raw}, []string{"lone.vmx", "good-disk001.vmdk"}},
		"data elsewhere":     {[]string{b.write("evil.vmdk", evil), raw}, []string{"evil.vmdk", "/etc/passwd", "not beside it"}},
		"snapshot":           {[]string{b.write("child.vmdk", child), raw}, []string{"child.vmdk", "snapshot"}},
		"mixture":            {[]string{good, b.path("made/good.ova"), raw}, []string{"good.ova", "convert it by itself"}},
		"switches": {[]string{good, raw, "--firmware=efi", "--name=../x", "--guest-os=beos", "--cpus=-1"},
			[]string{"--firmware=efi: use bios or uefi", `--name="../x"`, `--guest-os="beos"`, "--cpus=-1"}},
		"output": {[]string{good, raw, "-o", good + "/x"}, []string{"--output", "good.qcow2"}},
	} {
		args := append([]string{"convert", "-o", b.path("out")}, c.args...)
		b.run(args...).wants(t, exitFailed, c.want...)
		if b.exists("out") && len(b.listed("out")) > 0 {
			t.Fatalf("%s: %v is left", name, b.listed("out"))
		}
	}
}
