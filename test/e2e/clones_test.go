package e2e

import (
	"crypto/sha256"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// identity prints what two copies of one memory must not share, and fails, so that --keep holds the machine.
const identity = `
  provisioner "shell" {
    cache = false
    inline = [
      "rm -f /tmp/k && ssh-keygen -q -t ed25519 -N '' -f /tmp/k",
      "echo key: $(ssh-keygen -lf /tmp/k.pub)",
      "echo uuid: $(cat /proc/sys/kernel/random/uuid)",
      "echo clock: $(date -u +%s)",
    ]
  }

  provisioner "shell" {
    script = "${path.root}/hold.sh"
  }
`

// held is a build whose machine is held where its last provisioner failed.
type held struct {
	id     string
	client *program
}

// prepared has a template installed, unless that was done, and returns what its checkpoints are.
func (k *kiln) prepared(v variant) map[string][sha256.Size]byte {
	k.t.Helper()
	v.made()
	return k.sums()
}

// together starts two builds at once from one checkpoint and waits until both are held.
func (k *kiln) together(v variant) []held {
	k.t.Helper()
	k.write(filepath.Base(v.dir)+"/hold.sh", []byte("exit 4\n"))
	v.then(identity)
	var all []held
	for _, out := range []string{"-one", "-two"} {
		all = append(all, held{client: v.build(filepath.Base(v.dir)+out, "--keep")})
	}
	for _, h := range all {
		h.client.await("The machine of the failed build is kept", longest)
	}
	for i, b := range k.builds()[:len(all)] { // in any order: nothing depends on which client has which
		all[i].id = b.ID
	}
	progress(k.t, "two builds from one checkpoint are held")
	return all
}

// clones fails unless all machines that run have a name, a disk, a port, keys and random numbers of their own, and the
// right time.
func (k *kiln) clones(all []held) {
	k.t.Helper()
	seen := map[string]string{}
	alone := func(id, what, value string) {
		if value == "" || seen[what+value] != "" {
			k.t.Errorf("build %s: %s %q, which is also that of %q", id, what, value, seen[what+value])
		}
		seen[what+value] = id
	}
	for _, b := range all {
		h := k.history(b.id)
		k.expectInstalled(h, 0)
		for _, what := range []string{"key: ", "uuid: "} {
			value, _ := h.line(what)
			alone(b.id, what, value)
		}
		k.rightTime(h)
		domain := k.domain(b.id)
		alone(b.id, "domain", domain)
		alone(b.id, "disk", k.overlay(domain))
		alone(b.id, "port", sshPort.FindString(k.virsh("qemu-monitor-command", "--hmp", domain, "info usernet")))
		k.reachable(b.id)
	}
}

// rightTime fails if the clock that the guest told was wrong. The log takes the line when it comes, on a machine that may
// be slow; a guest that went on with its frozen clock would be off by the age of its checkpoint.
func (k *kiln) rightTime(h history) {
	k.t.Helper()
	const slack = 10 * time.Second
	text, at := h.line("clock: ")
	seconds, err := strconv.ParseInt(text, 10, 64)
	if off := at.Sub(time.Unix(seconds, 0)); err != nil || off.Abs() > slack {
		k.t.Errorf("the guest's clock says %q at %s (%v)", text, at, err)
	}
}

// sshPort is where QEMU listens for a machine's port 22.
var sshPort = regexp.MustCompile(`127\.0\.0\.1 +\d+`)

// virsh runs a virsh verb to its good end.
func (k *kiln) virsh(args ...string) string {
	k.t.Helper()
	return run(k.t, "virsh", append([]string{"-q", "-c", "qemu:///system"}, args...)...)
}

// domain is the name of the domain of a build; empty if there is none.
func (k *kiln) domain(id string) string {
	k.t.Helper()
	for _, name := range strings.Fields(k.virsh("list", "--name")) {
		if strings.HasPrefix(name, "boxkiln-"+id) {
			return name
		}
	}
	return ""
}

// overlay is the file of a domain's first disk.
func (k *kiln) overlay(domain string) string {
	k.t.Helper()
	for line := range strings.Lines(k.virsh("domblklist", domain)) {
		if f := strings.Fields(line); len(f) == 2 && filepath.IsAbs(f[1]) {
			return f[1]
		}
	}
	return ""
}

// reachable looks into the machine of a held build as a person would.
func (k *kiln) reachable(id string) {
	k.t.Helper()
	got := k.verb("ssh", id, "--", "uname -r; cat /etc/boxkiln-demo")
	if !strings.Contains(got, "-amd64") || !strings.Contains(got, "provisioned by debian12 for qemu") {
		k.t.Errorf("boxkiln ssh %s: %q", id, got)
	}
	if got := k.verb("keys", id, "<enter>"); !strings.Contains(got, "typed 2 key events") {
		k.t.Errorf("boxkiln keys %s: %q", id, got)
	}
	if got := k.verb("watch", "--timeline", id); !strings.Contains(got, "thawed") || !strings.Contains(got, "cached") {
		k.t.Errorf("boxkiln watch --timeline %s: %s", id, got)
	}
}

// checkpoints are the ids of those that are written. Others may be on their way while builds run and for a while after.
func (k *kiln) checkpoints() []string {
	k.t.Helper()
	var ids []string
	for line := range strings.Lines(k.verb("cache", "ls")) {
		ids = append(ids, strings.Fields(line)[0])
	}
	if len(ids) < 2 {
		k.t.Fatal("there are no checkpoints")
	}
	return ids[1:] // without the head of the table
}

// sums are the digests of all files of the checkpoints.
func (k *kiln) sums() map[string][sha256.Size]byte {
	k.t.Helper()
	all := map[string][sha256.Size]byte{}
	for _, id := range k.checkpoints() {
		err := filepath.WalkDir(filepath.Join(k.data, "checkpoints", id), func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			data, err := os.ReadFile(path)
			all[path] = sha256.Sum256(data)
			return err
		})
		if err != nil {
			k.t.Fatal(err)
		}
	}
	return all
}

// unchanged fails if a file of a checkpoint is not as it was.
func (k *kiln) unchanged(before map[string][sha256.Size]byte) {
	k.t.Helper()
	after := k.sums()
	for path, sum := range before {
		if after[path] != sum {
			k.t.Errorf("%s changed", path)
		}
	}
}

// cancelled ends held builds as a user does.
func (k *kiln) cancelled(all []held) {
	k.t.Helper()
	for _, b := range all {
		k.verb("builds", "cancel", b.id)
	}
	for _, b := range all {
		if code := b.client.wait(); code != 1 {
			k.t.Errorf("exit status %d", code)
		}
	}
	k.leftovers()
}

// killed ends the daemon while machines are thawed, which libvirt does not end with it, and starts another one. Both builds
// are then resumed at once.
func (k *kiln) killed(v variant, all []held) {
	k.t.Helper()
	k.kill()
	for _, b := range all {
		b.client.wait()
		if k.domain(b.id) == "" {
			k.t.Errorf("the machine of %s went with the daemon, so this shows nothing", b.id)
		}
	}
	k.start()
	k.leftovers()
	progress(k.t, "a daemon was killed under two thawed machines, and the next one removed them")

	k.write(filepath.Base(v.dir)+"/hold.sh", []byte("echo mended\n"))
	var again []*program
	for _, b := range all {
		again = append(again, k.resume(b.id))
	}
	for i, p := range again {
		p.succeed()
		h := k.history(all[i].id).attempt(2)
		k.expectInstalled(h, 0)
		if h.count("mended") != 1 {
			k.t.Errorf("the mended script did not run: %+v", h)
		}
	}
	k.leftovers()
	progress(k.t, "both builds are resumed")
}

// killedAt kills the daemon at a moment that is somewhat later than the one at which a build says text, starts another
// one, and has it resume the build.
func (k *kiln) killedAt(v variant, round int, text string, within time.Duration) {
	k.t.Helper()
	v.extend("scripts/vagrant-keys.sh", "# round "+strconv.Itoa(round))
	p := v.build("killed-"+strconv.Itoa(round), "-json")
	p.await(text, longest)
	moment := rand.N(within)
	<-time.After(moment) // any moment will do
	k.kill()
	p.wait()
	k.start()
	k.leftovers()
	k.wholeCheckpoints()
	progress(k.t, "killed %s after %s", moment, text)

	id := k.newest()
	k.resume(id).succeed()
	k.expectInstalled(k.history(id), 0)
	k.leftovers()
}

// wholeCheckpoints fails if anything lies among the checkpoints that the store does not know.
func (k *kiln) wholeCheckpoints() {
	k.t.Helper()
	entries, err := os.ReadDir(filepath.Join(k.data, "checkpoints"))
	if err != nil {
		k.t.Fatal(err)
	}
	found := map[string]bool{}
	for _, e := range entries {
		found[e.Name()] = true
	}
	for _, id := range k.checkpoints() {
		if !found[id] {
			k.t.Errorf("checkpoint %s has no folder", id)
		}
		delete(found, id)
	}
	if len(found) > 0 {
		k.t.Errorf("nobody knows %v among the checkpoints", slices.Collect(maps.Keys(found)))
	}
}
