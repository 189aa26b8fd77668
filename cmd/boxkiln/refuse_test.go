package main

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/boxkiln/boxkiln/hypervisor/fake"
	"github.com/boxkiln/boxkiln/internal/sshtest"
)

// madeMachine is in the log of a build that got as far as a machine.
const madeMachine = "Creating the machine"

// refused runs a build that must fail before there is a machine.
func (b *bench) refused(t *testing.T, want []string, args ...string) {
	t.Helper()
	r := b.run(append([]string{"build"}, args...)...)
	r.wants(t, exitFailed, want...)
	if strings.Contains(r.stdout, madeMachine) {
		t.Errorf("a machine was made:\n%s", r.stdout)
	}
}

// TestRefusedTemplates: a template that cannot be right is refused before anything is done, with its place and a remedy.
func TestRefusedTemplates(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, file, text string
		want             []string
	}{
		{"malformed HCL", "bad.pkr.hcl", "source \"fake\" \"x\" {\n  ssh_username = \n}\n", []string{"bad.pkr.hcl:2:", "error:"}},
		{"unclosed block", "open.pkr.hcl", "build {\n  sources = [\"fake.x\"]\n", []string{"open.pkr.hcl:", "error:"}},
		{"malformed JSON", "bad.json", "{\"builders\": [{\"type\": \"fake\",}]}", []string{"bad.json:1:", "error:"}},
		{"JSON of another kind", "list.json", "[1, 2]", []string{"list.json", "error:"}},
		{"unknown function", "fn.pkr.hcl", "locals {\n  x = uper(\"a\")\n}\nsource \"null\" \"x\" {}\nbuild {\n  sources = [\"null.x\"]\n}\n",
			[]string{"fn.pkr.hcl:2:", "uper", "upper"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.refused(t, test.want, b.write(test.file, test.text))
			b.run("validate", b.path(test.file)).wants(t, exitFailed, test.want...)
		})
	}
}

// TestRefusedArguments: values that no build could run with.
func TestRefusedArguments(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		args map[string]string
		body string
		want []string
	}{
		{"unknown argument", map[string]string{"boot_comand": `["x"]`}, "", []string{"boot_comand", "boot_command"}},
		{"wrong type", map[string]string{"cpus": `"many"`}, "", []string{"cpus"}},
		{"several at once", map[string]string{"cpus": "-1", "fake_crash_at": `"noon"`, "ssh_timeout": `"soon"`}, "", []string{"soon"}},
		{"no medium", map[string]string{"iso_url": ""}, "", []string{"iso_url is missing"}},
		{"no checksum", map[string]string{"iso_checksum": ""}, "", []string{"iso_checksum"}},
		{"no user", map[string]string{"ssh_username": ""}, "", []string{"ssh_username"}},
		{"boot token", map[string]string{"boot_command": `["<wait9999999999h>"]`}, "", []string{"boot_command", "is not a time"}},
		{"boot token beside an address", map[string]string{"boot_command": `["<wait9999999999h>", "url={{ .HTTPIP }}"]`}, "", []string{"boot_command", "is not a time"}},
		{"communicator", map[string]string{"communicator": `"telnet"`}, "", []string{`"telnet" is none of ssh, winrm, none`}},
		{"script and scripts", nil, "  provisioner \"shell\" {\n    script = \"a\"\n    scripts = [\"b\"]\n  }\n", []string{"script and scripts are both given"}},
		{"missing script", nil, "  provisioner \"shell\" {\n    script = \"nowhere.sh\"\n  }\n", []string{"nowhere.sh"}},
		{"missing upload", nil, "  provisioner \"file\" {\n    source = \"nowhere\"\n    destination = \"/x\"\n  }\n", []string{"nowhere"}},
		{"unknown provisioner", nil, "  provisioner \"shel\" {\n  }\n", []string{`"shel"`, "shell"}},
		{"more memory than there is", map[string]string{"memory": "900000000"}, "", []string{"memory"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.refused(t, test.want, b.solo(test.args, test.body))
		})
	}
}

// TestBootWarning: a token that nobody knows is typed as it stands, as Packer does, with a warning.
func TestBootWarning(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	template := b.solo(map[string]string{"boot_command": `["<wait5x><entr>"]`}, "")
	for _, verb := range []string{"validate", "build"} {
		b.run(verb, template).wants(t, exitOK, "arning: ", "<wait5x>", "did you mean <wait5s>?", "<entr>", "did you mean <enter>?")
	}
}

// TestRefusedMedia: a medium that is missing, broken or cannot be had.
func TestRefusedMedia(t *testing.T) {
	t.Parallel()
	site := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(site.Close)
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	zeros := literal("sha256:" + strings.Repeat("0", 64))
	for _, test := range []struct {
		name string
		args map[string]string
		want []string
	}{
		{"wrong checksum", map[string]string{"iso_checksum": zeros}, []string{"installer.iso", "checksum", "582b49e0d864"}},
		{"missing", map[string]string{"iso_url": `"/nowhere/debian.iso"`}, []string{"/nowhere/debian.iso"}},
		{"not found", map[string]string{"iso_url": literal(site.URL + "/debian.iso")}, []string{site.URL + "/debian.iso", "404"}},
		{"unreachable", map[string]string{"iso_url": literal(gone.URL + "/debian.iso")}, []string{gone.URL + "/debian.iso", "refused"}},
		{"unknown scheme", map[string]string{"iso_url": `"gopher://x/y.iso"`}, []string{"gopher"}},
		{"checksum file is missing", map[string]string{"iso_checksum": `"file:/nowhere/SHA256SUMS"`}, []string{"/nowhere/SHA256SUMS"}},
		{"a box that is not there", map[string]string{"iso_url": `"box://acme/nothing"`}, []string{"box://acme/nothing"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.refused(t, test.want, b.solo(test.args, ""))
			b.nothingLeftIfAny()
		})
	}
}

// nothingLeftIfAny is nothingLeft for builds that may have been refused before there was a database.
func (b *bench) nothingLeftIfAny() {
	b.t.Helper()
	if _, err := os.Stat(filepath.Join(b.data, "boxkiln.db")); err == nil {
		b.nothingLeft()
	}
}

// TestRefusedBoxes: names and versions that Vagrant could not read, and one that exists.
func TestRefusedBoxes(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, bad := range []struct{ box, version, want string }{
		{"debian", "1.0", "debian"}, {"a/b/c", "1.0", "a/b/c"}, {"/x", "1.0", "/x"}, {"acme/", "1.0", "acme/"},
		{"acme/my box", "1.0", "my box"}, {"acme/../x", "1.0", "acme/../x"}, {"acme/x\n", "1.0", "acme/x"},
		{"acme/x", "one", "one"}, {"acme/x", "1..2", "1..2"}, {"acme/x", "v1.0", "v1.0"}, {"acme/x", "1.0 beta", "1.0 beta"}, {"acme/x", "-1", "-1"},
	} {
		b.refused(t, []string{bad.want, "solo.pkr.hcl"}, "--box="+bad.box, "--box-version="+bad.version, b.solo(nil, ""))
	}
	template := b.solo(nil, "")
	b.run("build", "--box=acme/x", "--box-version=1.0", template).wants(t, exitOK, "Published and released: acme/x 1.0 (libvirt, amd64)")
	b.refused(t, []string{"acme/x 1.0", "publish under a number above"}, "-force", "--box=acme/x", "--box-version=1.0", template)
	b.run("build", "-force", "--box=acme/x", "--box-version=1.1", template).wants(t, exitOK, "acme/x 1.1")
	b.nothingLeft()
}

// TestUnwritableData: a data directory that cannot be made.
func TestUnwritableData(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	blocked := filepath.Join(b.write("file", "no directory"), "data")
	for _, args := range [][]string{{"build", "--data", blocked, b.solo(nil, "")}, {"serve", "--data", blocked},
		{"serve", "--data", "/proc/boxkiln"}, {"builds", "ls", "--data", blocked}} {
		r := b.run(args...)
		r.wants(t, exitFailed, args[len(args)-1][:5])
		if !strings.Contains(r.stderr, "data directory") {
			t.Errorf("%v: the error does not name the data directory: %s", args, r.stderr)
		}
	}
}

// TestProvisionerFails: a script that exits 3 ends the build, and the error names it and the status.
func TestProvisionerFails(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	script := b.write("three.sh", "#!/bin/sh\necho going wrong\nexit 3\n")
	r := b.run("build", b.solo(nil, "  provisioner \"shell\" {\n    script = "+literal(script)+"\n  }\n"))
	r.wants(t, exitFailed, "fake.solo: going wrong", "three.sh", "status 3", "last serial lines", "screen.png")
	b.nothingLeft()
	if b.exists("out") {
		t.Error("the output directory of a failed build is there")
	}
	b.run("build", b.solo(nil, "  provisioner \"shell\" {\n    script = "+literal(script)+"\n    valid_exit_codes = [0, 3]\n  }\n")).wants(t, exitOK)
}

// TestSSHNeverComes: the error shows what was seen. A time limit that may be over before a slow machine has seen it is
// followed by longer ones.
func TestSSHNeverComes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		ssh    sshtest.Options
		args   map[string]string
		limits []string // values of ssh_timeout, the last of which has to do
		want   []string
	}{
		{"no server", sshtest.Options{}, map[string]string{"fake_no_ssh": "true"}, []string{"1s", "20s", "2m"}, []string{"no login in time", "no address yet"}},
		{"wrong password", sshtest.Options{Password: "right"}, map[string]string{"ssh_password": `"wrong"`, "ssh_handshake_attempts": "2"},
			[]string{"1h"}, []string{"2 times (ssh_handshake_attempts)", "login refused", "password"}},
		{"no banner", sshtest.Options{NoAuth: true, BannerDelay: time.Hour}, nil, []string{"4s", "20s", "2m"}, []string{"no login in time", "no banner"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			want := append(test.want, "last screen: ", "last serial lines", "login:")
			for i, limit := range test.limits {
				b := newBenchWith(t, fake.Options{SSH: test.ssh})
				args := map[string]string{"ssh_timeout": literal(limit)}
				maps.Copy(args, test.args)
				r := b.run("build", b.solo(args, ""))
				if i < len(test.limits)-1 && !r.says(want...) {
					continue
				}
				r.wants(t, exitFailed, want...)
				b.keptEvidence()
				b.nothingLeft()
				return
			}
		})
	}
}

// keptEvidence fails if the only build of the bench has not kept its last screen and its serial log.
func (b *bench) keptEvidence() {
	b.t.Helper()
	for _, kept := range []string{"screen.png", "serial"} {
		if found, err := filepath.Glob(filepath.Join(b.data, "builds/*/attempt-1", kept)); err != nil || len(found) != 1 {
			b.t.Errorf("%s: %v (%v)", kept, found, err)
		}
	}
}

// TestMachineEnds: a machine that ends while SSH is waited for ends the wait, whatever ssh_timeout says.
func TestMachineEnds(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, arg, value, want string
	}{
		{"powers itself off", "fake_power_off_after", `"50ms"`, "the guest powered itself off"},
		{"crashes", "fake_crash_at", `"ready"`, "crashed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			r := b.run("build", b.solo(map[string]string{"fake_no_ssh": "true", "ssh_timeout": `"1h"`, test.arg: test.value}, ""))
			r.wants(t, exitFailed, "the machine is gone", test.want)
			b.nothingLeft()
		})
	}
}

// TestNobody: a guest that nobody logs in to ends by itself, as early as it likes, and is waited for.
func TestNobody(t *testing.T) {
	t.Parallel()
	none := map[string]string{"communicator": `"none"`, "ssh_username": "", "shutdown_command": "", "fake_no_ssh": "true"}
	for range 5 {
		b := newBench(t)
		none["fake_power_off_after"] = `"-1s"`
		b.run("build", b.solo(none, "")).wants(t, exitOK)
		b.nothingLeft()
	}
	b := newBench(t)
	none["fake_power_off_after"], none["shutdown_timeout"] = `"1h"`, `"300ms"`
	b.run("build", b.solo(none, "")).wants(t, exitFailed, "did not power off within 300ms by itself: raise shutdown_timeout")
	none["fake_crash_at"], none["shutdown_timeout"] = `"ready"`, `"1h"`
	b.run("build", b.solo(none, "")).wants(t, exitFailed, "crashed")
	b.run("build", b.solo(none, inline("true"))).wants(t, exitFailed, `communicator = "none" cannot run the 1 provisioners`)
	b.nothingLeft()
}
