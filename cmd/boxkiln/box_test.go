package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/boxkiln/boxkiln/boxregistry/provenance"
	"github.com/boxkiln/boxkiln/daemon/wire"
	"github.com/boxkiln/boxkiln/hypervisor"
)

// packager is a script after which the guest's dpkg lists some packages, pairs of names and versions.
func (b *bench) packager(name string, installed ...string) string {
	var lines strings.Builder
	for i := 0; i < len(installed); i += 2 {
		lines.WriteString("ii \t" + installed[i] + "\t" + installed[i+1] + "\tamd64\n")
	}
	return b.write(name, `#!/bin/sh
tool="$(dirname "$(command -v systemctl)")/dpkg-query"
cat >"$tool" <<'END'
#!/bin/sh
cat <<'LIST'
`+lines.String()+`LIST
END
chmod 755 "$tool"
`)
}

// needsDpkg skips on hosts whose guests, played on the host itself, would show another package manager.
func needsDpkg(t *testing.T) {
	t.Helper()
	if info, err := os.Stat("/var/lib/dpkg/status"); err != nil || info.Size() == 0 {
		t.Skip("this host is no Debian")
	}
}

// TestBoxOfOurOwn follows a box from its build over its repetition to whoever checks it.
func TestBoxOfOurOwn(t *testing.T) {
	t.Parallel()
	needsDpkg(t)
	b := newBench(t)
	d := b.serve()
	// The fake's disks are empty: another size makes another box of them.
	template := b.scripted(map[string]string{"disk_size": "1"}, b.packager("packages.sh", "bash", "5.2.15-2", "gone", "1.0"))
	publish := func(version string, also ...string) result {
		return b.run(append([]string{"build", "--box=acme/solo", "--box-version=" + version, template}, also...)...)
	}
	publish("1.0").wants(t, exitOK, "2 packages are installed (debian", "Published and released")
	template = b.scripted(map[string]string{"disk_size": "2"}, b.packager("packages.sh", "bash", "5.2.15-2+deb12u1", "new", "0.1"))
	publish("1.1").wants(t, exitOK, "2 packages are installed")
	publish("1.2").wants(t, exitOK, "Nothing changed", "Published and released")

	b.run("box", "diff", "acme/solo", "1.1").wants(t, exitOK, "acme/solo 1.1 libvirt/amd64, since 1.0: 1 added, 1 removed, 1 upgraded, 0 downgraded, 0 unchanged",
		"added     new:amd64   0.1", "removed   gone:amd64  1.0", "upgraded  bash:amd64  5.2.15-2 -> 5.2.15-2+deb12u1")
	b.run("box", "diff", "acme/solo", "1.2", "1.0").wants(t, exitOK, "downgraded  bash:amd64  5.2.15-2+deb12u1 -> 5.2.15-2")
	b.run("box", "diff", "acme/solo", "1.2").wants(t, exitOK, "since 1.1: 0 added, 0 removed, 0 upgraded, 0 downgraded, 2 unchanged")
	b.run("box", "parity", "acme/solo", "1.1").wants(t, exitOK, "there is nothing to compare: the packages of 1 of its boxes are known")
	var diff wire.PackageDiff
	if err := json.Unmarshal([]byte(b.run("box", "diff", "--json", "acme/solo", "1.1").stdout), &diff); err != nil || len(diff.Changes.Upgraded) != 1 {
		t.Errorf("%+v, %v", diff, err)
	}

	b.run("box", "verify", "acme/solo").wants(t, exitOK, "signed  as acme/solo 1.2 libvirt amd64", "ok      signature of the box", "ok      sha256 in the catalog",
		"ok      subject of the provenance", "ok      list of packages", "from            solo.pkr.hcl, source fake.solo", "unchanged from  build "+string(b.builds()[1].ID),
		"template        solo.pkr.hcl  sha256 ", "input           packages.sh  sha256 ", "medium          installer.iso  sha256 ", "packages        2")
	b.run("box", "verify", "acme/solo", "--version=1.1", "--provider=libvirt", "--architecture=amd64").wants(t, exitOK, "signed  as acme/solo 1.1")
	d.stop()
	b.run("box", "verify", "acme/solo").wants(t, exitNoDaemon, "--key")
}

// TestVerifyElsewhere downloads a box with what lies beside it, as anybody can, and checks it without the daemon.
func TestVerifyElsewhere(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d := b.serve()
	b.run("build", "--box=acme/solo", "--box-version=1.0", b.solo(nil, "")).wants(t, exitOK, "Published and released")
	keyText := d.text("/minisign.pub")
	key := b.write("minisign.pub", keyText)
	folder := path.Dir(d.fileOf("acme/solo"))
	url := d.url + folder + "/vagrant.box"
	b.run("box", "verify", "--key="+key, url).wants(t, exitOK, "given with --key", "signed  as acme/solo 1.0 libvirt amd64", "Built")
	b.run("box", "verify", "--server="+d.url, "acme/solo").wants(t, exitFailed, "a server that sends false boxes sends a false key too")
	b.run("box", "verify", "--server="+d.url, "--key="+key, "acme/solo").wants(t, exitOK, "signed  as acme/solo 1.0")
	b.run("box", "verify", "--key="+key, d.url+"/acme/boxes/none/versions/1/providers/x/y/vagrant.box").wants(t, exitFailed, "file does not exist")

	for _, name := range []string{"vagrant.box", "vagrant.box.minisig", "provenance.json", "provenance.json.minisig", "sbom.cdx.json"} {
		text := d.text(folder + "/" + name)
		b.write(filepath.Join("got", name), text)
	}
	d.stop()
	box, keyLine := b.path("got/vagrant.box"), "--key="+strings.Split(keyText, "\n")[1]
	b.run("box", "verify", keyLine, box).wants(t, exitOK, "ok      signature of the provenance", "Built")
	var report provenance.Report
	if err := json.Unmarshal([]byte(b.run("box", "verify", "--json", keyLine, box).stdout), &report); err != nil || report.Failed() || report.Statement == nil {
		t.Errorf("%+v, %v", report, err)
	}
	b.run("box", "verify", keyLine, "--version=1.1", box).wants(t, exitFailed, "Error: name of the box: it was signed as version 1.0, and 1.1 was asked for")
	b.tamper("got/provenance.json", "fake.solo", "fake.evil")
	r := b.run("box", "verify", keyLine, box)
	r.wants(t, exitFailed, "ok      signature of the box", "Error: signature of the provenance: the signature does not hold")
	if r.says("Built") || r.says("fake.evil") {
		t.Errorf("what was not proved is shown:\n%s", r.stdout)
	}
	if err := os.Remove(b.path("got/vagrant.box.minisig")); err != nil {
		t.Fatal(err)
	}
	b.run("box", "verify", keyLine, box).wants(t, exitFailed, "there is no vagrant.box.minisig beside the box")
	b.run("box", "verify", box).wants(t, exitNoDaemon, "--key")
	b.run("box", "verify", "--key=/nowhere", box).wants(t, exitFailed, "/nowhere")
	b.run("box", "verify", "--key=RWxx", box).wants(t, exitFailed, "is not a public key of minisign")
	b.run("box", "verify", keyLine, b.path("none.box")).wants(t, exitFailed, "is neither a file here, nor a URL, nor the name of a box")
	b.run("box", "verify", keyLine, "--version=v1", box).wants(t, exitFailed, "v1")
}

// TestVerifyWithoutBoxkiln runs the commands of docs/provenance.md, where the programs are installed.
func TestVerifyWithoutBoxkiln(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"minisign", "jq", "curl", "sha256sum"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is not installed", program)
		}
	}
	document, err := os.ReadFile("../../docs/provenance.md")
	if err != nil {
		t.Fatal(err)
	}
	_, commands, _ := strings.Cut(string(document), "## Checking without boxkiln")
	commands, _, _ = strings.Cut(commands, "## ")
	b := newBench(t)
	d := b.serve()
	b.run("build", "--box=acme/solo", "--box-version=1.0", b.solo(nil, "")).wants(t, exitOK, "Published and released")
	b.write("minisign.pub", d.text("/minisign.pub"))
	var script strings.Builder
	for line := range strings.Lines(commands) {
		switch line, isCommand := strings.CutPrefix(line, "    "); {
		case isCommand && strings.HasPrefix(line, "base="):
			script.WriteString("base=" + d.url + path.Dir(d.fileOf("acme/solo")) + "\n")
		case isCommand:
			script.WriteString(line)
		}
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", script.String())
	cmd.Dir = b.dir
	out, err := cmd.CombinedOutput()
	for _, text := range []string{"Trusted comment: acme/solo 1.0 libvirt amd64 sha256:", "Trusted comment: provenance of acme/solo 1.0", "vagrant.box: OK", "sbom.cdx.json: OK", `"boxkiln_role": "medium"`} {
		if err != nil || !strings.Contains(string(out), text) {
			t.Fatalf("%v, want %q in\n%s", err, text, out)
		}
	}
}

// text is what the daemon serves at a path.
func (s *served) text(path string) string {
	s.b.t.Helper()
	res, text := s.get(path, nil)
	if res.StatusCode != http.StatusOK {
		s.b.t.Fatalf("%s: %s", path, res.Status)
	}
	return text
}

// fileOf is the path of the only file of a box's newest version.
func (s *served) fileOf(box string) string {
	s.b.t.Helper()
	var found struct {
		Versions []struct{ Providers []struct{ URL string } }
	}
	if err := json.Unmarshal([]byte(s.text("/"+box)), &found); err != nil {
		s.b.t.Fatal(err)
	}
	return strings.TrimPrefix(found.Versions[0].Providers[0].URL, s.url)
}

// tamper changes a text in a file.
func (b *bench) tamper(name, old, text string) {
	b.t.Helper()
	data, err := os.ReadFile(b.path(name))
	if err != nil {
		b.t.Fatal(err)
	}
	b.write(name, strings.Replace(string(data), old, text, 1))
}

// TestSmokeIsInTheProvenance: what the smoke test saw is signed with the rest, and one that failed leaves a draft.
func TestSmokeIsInTheProvenance(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var broken atomic.Bool
	b.wrap = func(d hypervisor.Driver) hypervisor.Driver { return smokeless{d, &broken} }
	d := b.serve()
	template := b.solo(nil, "")
	b.run("build", "--smoke", "--box=acme/solo", "--box-version=1.0", template).wants(t, exitOK, "Smoke test", "Published and released")
	b.run("box", "verify", "acme/solo").wants(t, exitOK, "smoke test  logged in")
	broken.Store(true)
	b.run("build", "--force", "--smoke", "--box=acme/solo", "--box-version=1.1", template).wants(t, exitFailed, "failed its smoke test and stays a draft", "no second machine today")
	if catalog := d.text("/acme/solo"); strings.Contains(catalog, "1.1") {
		t.Errorf("the version is not a draft: %s", catalog)
	}
}

// smokeless is a driver that, while broken, makes no machines for smoke tests.
type smokeless struct {
	hypervisor.Driver
	broken *atomic.Bool
}

func (s smokeless) Create(ctx context.Context, spec hypervisor.Spec) (hypervisor.Machine, error) {
	if s.broken.Load() && strings.HasSuffix(spec.Name, "-smoke") {
		return nil, errors.New("no second machine today")
	}
	return s.Driver.Create(ctx, spec)
}

// TestVerifyInAnExport: a tree of files has beside each of our own boxes what proves it, also of two versions with the same bytes.
func TestVerifyInAnExport(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d := b.serve()
	template := b.solo(nil, "")
	for _, version := range []string{"1.0", "1.1"} {
		b.run("build", "-force", "--box=acme/solo", "--box-version="+version, template).wants(t, exitOK, "Published and released")
	}
	b.run("box", "import", b.box("web.box", "x"), "--as", "acme/web", "--version", "1").wants(t, exitOK)
	d.stop()
	b.run("box", "export", "--static", b.path("tree")).wants(t, exitOK, "==> wrote minisign.pub")
	key := "--key=" + b.path("tree/minisign.pub")
	for _, version := range []string{"1.0", "1.1"} {
		folders, err := filepath.Glob(b.path("tree/dl/sha256/*/acme-solo-" + version + "-libvirt-amd64"))
		if err != nil || len(folders) != 1 {
			t.Fatal(folders, err)
		}
		b.run("box", "verify", key, "--version="+version, folders[0]+"/vagrant.box").
			wants(t, exitOK, "signed  as acme/solo "+version+" libvirt amd64", "ok      signature of the provenance", "Built")
	}
	if files, err := filepath.Glob(b.path("tree/dl/sha256/*/acme-web-1-qemu-amd64/*")); err != nil || len(files) != 1 {
		t.Errorf("beside a box of others lie %v, %v", files, err)
	}
	b.run("box", "export", "--static", b.path("tree")).wants(t, exitOK, "0 files written")
}

// TestPageSaysWhatIsInside: the page of a version lists the files of its box and shows its Vagrantfile, wherever the box is from:
// packed while it was published, taken from the store of checkpoints, made by a post-processor, imported.
func TestPageSaysWhatIsInside(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	d := b.serve()
	build := func(box, version, template string, says ...string) {
		b.run("build", "-force", "--box=acme/"+box, "--box-version="+version, template).wants(t, exitOK, append(says, "Published and released")...)
	}
	template := b.solo(nil, "")
	build("solo", "1.0", template)
	build("solo", "1.1", template, "Nothing changed")
	b.write("README.txt", "read me")
	template = b.solo(nil, "  post-processor \"vagrant\" {\n    output = \""+b.path("x.box")+"\"\n    include = [\""+b.path("README.txt")+"\"]\n  }\n")
	build("made", "1.0", template)
	build("made", "1.1", template, "Nothing changed")
	b.run("box", "import", d.url+"/acme/made", "--as=copy", "--version=1.0").wants(t, exitOK, "copy/made 1.0: released")
	own := []string{"metadata.json", "box.img", "Written by Boxkiln"}
	for page, texts := range map[string][]string{
		"acme/solo/versions/1.0": append(own, "3 files inside"), "acme/solo/versions/1.1": append(own, "3 files inside"),
		"acme/made/versions/1.0": append(own, "4 files inside", "README.txt"), "acme/made/versions/1.1": append(own, "4 files inside", "README.txt"),
		"copy/made/versions/1.0": append(own, "4 files inside", "README.txt"),
	} {
		_, html := d.get("/boxes/"+page, http.Header{"Accept": {"text/html"}})
		for _, text := range texts {
			if !strings.Contains(html, text) {
				t.Errorf("the page %s does not say %q", page, text)
			}
		}
	}
}
