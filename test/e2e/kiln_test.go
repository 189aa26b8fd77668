package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// kiln is a data directory with its daemon.
type kiln struct {
	t     *testing.T
	owner *testing.T // that the daemon lives as long as
	data  string
	dir   string // for templates and outputs
	url   string
	env   []string // of the daemon
	proc  *program // the daemon; nil when none runs
}

// startup is how long a daemon may take to answer and to end.
const startup = 5 * time.Minute

// newKiln starts a daemon on a fresh data directory, with an environment beyond that of the tests. Everything above it can be passed through by QEMU's account.
func newKiln(t *testing.T, env ...string) *kiln {
	t.Helper()
	dir, err := os.MkdirTemp("/var/tmp", "boxkiln-e2e-")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	k := &kiln{t: t, owner: t, env: env, data: filepath.Join(dir, "data"), dir: filepath.Join(dir, "work")}
	if err := os.Mkdir(k.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	k.start()
	return k
}

var listening = regexp.MustCompile(`on (http://\S+)\n`)

func (k *kiln) start() {
	k.t.Helper()
	k.proc = launch(k.owner, 2*time.Hour, k.env, command(k.t), "serve", "--data", k.data, "--listen", "127.0.0.1:0")
	k.owner.Cleanup(k.stop) // before the program is killed: clean-ups run backwards
	k.proc.await(" on http://", startup)
	k.url = listening.FindStringSubmatch(k.proc.out.text())[1]
}

// stop ends the daemon, if one runs.
func (k *kiln) stop() {
	k.t.Helper()
	if k.proc == nil {
		return
	}
	k.proc.signal(syscall.SIGTERM)
	if code := k.proc.wait(); code != 0 {
		k.t.Errorf("serve ended with %d:\n%s", code, k.proc.out.text())
	}
	k.proc = nil
}

// kill ends the daemon as a crash would.
func (k *kiln) kill() {
	k.t.Helper()
	k.proc.signal(syscall.SIGKILL)
	k.proc.wait()
	k.proc = nil
}

// longest is how long one build may take.
const longest = 30 * time.Minute

// oneCPU gives the examples' machines one processor: several run at once, and two emulated ones that wait for each other cost
// a quarter more. The template for UEFI has two.
const oneCPU = "PKR_VAR_cpus=1"

// build starts a build by the daemon.
func (k *kiln) build(args ...string) *program {
	k.t.Helper()
	return launch(k.t, longest, []string{"BOXKILN_DATA=" + k.data, oneCPU}, command(k.t), append([]string{"build", "-color=false"}, args...)...)
}

// buildIn starts a build from a folder, which the template's own names of files are relative to.
func (k *kiln) buildIn(dir string, args ...string) *program {
	k.t.Helper()
	return launch(k.t, longest, []string{"BOXKILN_DATA=" + k.data}, "env", append([]string{"-C", dir, absolute(k.t, command(k.t)), "build", "-color=false"}, args...)...)
}

// path is a name in the folder for templates and outputs.
func (k *kiln) path(name string) string { return filepath.Join(k.dir, name) }

// write makes a file there.
func (k *kiln) write(name string, data []byte) string {
	k.t.Helper()
	if err := os.MkdirAll(filepath.Dir(k.path(name)), 0o755); err != nil {
		k.t.Fatal(err)
	}
	if err := os.WriteFile(k.path(name), data, 0o644); err != nil {
		k.t.Fatal(err)
	}
	return k.path(name)
}

// record is what `boxkiln builds ls --json` says of a build.
type record struct {
	ID, State, Template, Started, Finished, Step, Error string
}

// builds lists the builds, newest first.
func (k *kiln) builds() []record {
	k.t.Helper()
	dec := json.NewDecoder(strings.NewReader(run(k.t, command(k.t), "builds", "ls", "--json", "--data", k.data)))
	var all []record
	for {
		var r record
		err := dec.Decode(&r)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			k.t.Fatal(err)
		}
		all = append(all, r)
	}
}

// leftovers fails if anything is left of the builds: a process, a domain, variables of a firmware, a port, a folder.
func (k *kiln) leftovers() {
	k.t.Helper()
	for _, p := range processes(k.t, k.data) {
		k.t.Errorf("a process is left: %s", p)
	}
	domains := run(k.t, "virsh", "-q", "-c", "qemu:///system", "list", "--all", "--name")
	for _, b := range k.builds() {
		if strings.Contains(domains, "boxkiln-"+b.ID) {
			k.t.Errorf("a domain of build %s is left", b.ID)
		}
		k.noFiles("/var/lib/libvirt/qemu/nvram/*" + b.ID + "*")
	}
	for _, dir := range []string{"work", "scratch"} {
		k.noFiles(filepath.Join(k.data, "builds", "*", "attempt-*", dir))
	}
	k.closedPorts()
}

func (k *kiln) noFiles(pattern string) {
	k.t.Helper()
	if found, err := filepath.Glob(pattern); err != nil || len(found) > 0 {
		k.t.Errorf("left are %v (%v)", found, err)
	}
}

var seedPort = regexp.MustCompile(`Starting HTTP server on port (\d+)`)

// closedPorts checks that nobody listens where the builds' seed servers did.
func (k *kiln) closedPorts() {
	k.t.Helper()
	logs, err := filepath.Glob(filepath.Join(k.data, "builds", "*", "log"))
	if err != nil || len(logs) == 0 {
		k.t.Fatalf("no logs of builds (%v)", err)
	}
	for _, log := range logs {
		text, err := os.ReadFile(log)
		if err != nil {
			k.t.Fatal(err)
		}
		for _, m := range seedPort.FindAllSubmatch(text, -1) {
			if c, err := net.DialTimeout("tcp", "127.0.0.1:"+string(m[1]), time.Second); err == nil {
				_ = c.Close()
				k.t.Errorf("port %s of a build is open still", m[1])
			}
		}
	}
}

// processes lists the command lines that hold a text, but for those of the command itself and of the tests.
func processes(t *testing.T, text string) []string {
	t.Helper()
	names, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			continue // processes come and go
		}
		line := strings.ReplaceAll(string(data), "\x00", " ")
		if strings.Contains(line, text) && !strings.HasPrefix(line, command(t)) {
			found = append(found, fmt.Sprintf("%s %.300s", filepath.Base(filepath.Dir(name)), line))
		}
	}
	return found
}
