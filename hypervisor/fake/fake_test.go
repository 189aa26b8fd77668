package fake_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/bootcmd"
	"github.com/boxkiln/boxkiln/hypervisor/fake"
	"github.com/boxkiln/boxkiln/hypervisor/hypervisortest"
	"github.com/boxkiln/boxkiln/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

const install = "installation-a"

// patience is how long a test waits for what must come.
const patience = 5 * time.Minute

// specs makes specs with fresh names and directories.
type specs struct{ n atomic.Int64 }

func (s *specs) spec(t *testing.T, script string) hypervisor.Spec {
	return hypervisor.Spec{
		Name: fmt.Sprintf("vm-%d", s.n.Add(1)), Tag: hypervisor.Tag{Install: install, Build: "b1", Attempt: 1},
		Dir: t.TempDir(), Arch: "amd64", CPUs: 1, MemoryMiB: 64,
		Disks:   []hypervisor.Disk{{Size: 16 << 20, Format: "qcow2"}, {Size: 1 << 20, Format: "raw"}},
		Network: hypervisor.Network{Forward: []int{22}}, Options: []byte(script),
	}
}

func TestConformance(t *testing.T) {
	t.Parallel()
	host := newHost(t, t.TempDir(), fake.Options{})
	var s specs
	hypervisortest.Suite{
		New:     func(*testing.T) hypervisor.Driver { return host.Driver(install) },
		Foreign: func(*testing.T) hypervisor.Driver { return host.Driver("installation-b") },
		Ending:  func(t *testing.T) hypervisor.Spec { return s.spec(t, `{"power_off_after": -1}`) },
		Lasting: func(t *testing.T) hypervisor.Spec { return s.spec(t, `{"ssh": true}`) },
		ForeignTag: func(spec hypervisor.Spec) hypervisor.Spec {
			spec.Tag.Install = "installation-b"
			return spec
		},
		Crash: func(t *testing.T, m hypervisor.Machine) {
			if err := host.Crash(m.Handle().Name); err != nil {
				t.Error(err)
			}
		},
		Memory:      lineMarker(host),
		Disk:        fileMarker(),
		Unfreezable: func(t *testing.T) hypervisor.Spec { return s.spec(t, `{"ssh": true, "no_memory": "nvme (disk 0)"}`) },
		GuestPort:   22,
		ACPI:        true,
	}.Run(t)
}

func newHost(t *testing.T, root string, o fake.Options) *fake.Host {
	t.Helper()
	h, err := fake.NewHost(root, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// start makes and starts a machine.
func start(t *testing.T, h *fake.Host, script string) (*fake.Machine, hypervisor.Spec) {
	t.Helper()
	var s specs
	spec := s.spec(t, script)
	m, err := h.Driver(install).Create(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return m.(*fake.Machine), spec
}

func typeText(t *testing.T, m *fake.Machine, text string) {
	t.Helper()
	p, _, err := bootcmd.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	if err := bootcmd.Play(t.Context(), p, m, 0, nil); err != nil {
		t.Fatal(err)
	}
}

// login waits until the guest's SSH server lets somebody in, and returns the connection and the server's key.
func login(t *testing.T, m hypervisor.Machine) (*ssh.Client, string) {
	t.Helper()
	var key string
	cfg := &ssh.ClientConfig{User: "root", Timeout: patience, HostKeyCallback: func(_ string, _ net.Addr, k ssh.PublicKey) error {
		key = ssh.FingerprintSHA256(k)
		return nil
	}}
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		e, err := m.Guest(ctx, 22)
		if err == nil {
			var c *ssh.Client
			if c, err = ssh.Dial("tcp", e.String(), cfg); err == nil {
				t.Cleanup(func() { _ = c.Close() })
				return c, key
			}
		}
		select {
		case <-ctx.Done():
			t.Fatalf("no login: %v", err)
		case <-ticker.C:
		}
	}
}

// awaitSerial waits until a text is so often in the serial log.
func awaitSerial(t *testing.T, m *fake.Machine, text string, n int) {
	t.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		log, err := os.ReadFile(m.SerialLog())
		if bytes.Count(log, []byte(text)) >= n {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%q is not %d times in %q (%v)", text, n, log, err)
		case <-ticker.C:
		}
	}
}

func run(c *ssh.Client, command string) (string, error) {
	s, err := c.NewSession()
	if err != nil {
		return "", err
	}
	defer s.Close()
	out, err := s.CombinedOutput(command)
	return string(out), err
}

func wait(t *testing.T, m hypervisor.Machine, want error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := m.Wait(ctx); !errors.Is(err, want) {
		t.Fatalf("Wait = %v, want %v", err, want)
	}
}

// TestInstallation goes the way of a build: boot command, seed, installation, another host key, shutdown, export.
func TestInstallation(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var asked []string
	seed := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, r.URL.Path)
		_, _ = w.Write([]byte("d-i"))
	}))
	defer seed.Close()
	h := newHost(t, t.TempDir(), fake.Options{})
	m, spec := start(t, h, `{"install": true, "ssh": true, "installer_ssh": true}`)
	installer, installerKey := login(t, m)

	url := strings.Replace(seed.URL, "127.0.0.1", "10.0.2.2", 1) + "/preseed.cfg"
	typeText(t, m, "<esc>install auto=true url=htp<bs>tp"+strings.TrimPrefix(url, "http")+" ---<enter>")
	if err := installer.Wait(); err == nil {
		t.Error("the installer said good-bye") // its connection is cut
	}
	c, key := login(t, m)
	if key == installerKey {
		t.Error("the installed system has the installer's host key")
	}
	if out, err := run(c, "echo hello; pwd"); err != nil || out != "hello\n"+filepath.Join(spec.Dir, "guest", "root")+"\n" {
		t.Errorf("%q, %v", out, err)
	}
	if diff := cmp.Diff([]string{url}, h.Fetched(spec.Name)); diff != "" {
		t.Error(diff)
	}
	if want := "install auto=true url=htp\btp" + strings.TrimPrefix(url, "http") + " ---\n"; h.Typed(spec.Name) != want {
		t.Errorf("typed %q, want %q", h.Typed(spec.Name), want)
	}
	mu.Lock()
	defer mu.Unlock()
	if diff := cmp.Diff([]string{"/preseed.cfg"}, asked); diff != "" {
		t.Error(diff)
	}
	_, _ = run(c, "sudo -S shutdown -P now")
	wait(t, m, nil)
	log, err := os.ReadFile(m.SerialLog())
	if err != nil || !strings.Contains(string(log), "fetched "+url) {
		t.Errorf("%s, %v", log, err)
	}
}

func TestSeedDirectory(t *testing.T) {
	t.Parallel()
	asked := make(chan string, 4)
	seed := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked <- r.URL.Path }))
	defer seed.Close()
	h := newHost(t, t.TempDir(), fake.Options{})
	m, _ := start(t, h, `{"install": true, "power_off_after": -1}`)
	typeText(t, m, "c<bs>linux autoinstall 'ds=nocloud-net;s="+seed.URL+"/s/'<f10>")
	wait(t, m, nil)
	if a, b := <-asked, <-asked; a != "/s/meta-data" || b != "/s/user-data" {
		t.Errorf("asked for %s and %s", a, b)
	}
}

func TestSeedThatIsMissing(t *testing.T) {
	t.Parallel()
	seed := httptest.NewServer(http.NotFoundHandler())
	defer seed.Close()
	good := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer good.Close()
	h := newHost(t, t.TempDir(), fake.Options{})
	m, _ := start(t, h, `{"install": true, "power_off_after": -1}`)
	typeText(t, m, seed.URL+"/x<enter>"+good.URL+"/y<enter>")
	wait(t, m, nil)
	if log, err := os.ReadFile(m.SerialLog()); err != nil || !strings.Contains(string(log), "404") {
		t.Errorf("%s, %v", log, err)
	}
}

func TestReboot(t *testing.T) {
	t.Parallel()
	h := newHost(t, t.TempDir(), fake.Options{})
	for _, command := range []string{"reboot", "sudo shutdown -r now", "sh -c reboot", "systemctl reboot"} {
		m, spec := start(t, h, `{"ssh": true}`)
		c, key := login(t, m)
		_, _ = run(c, command)
		_ = c.Wait()
		awaitSerial(t, m, "booting", 2) // the connection may end before the old system does
		c, again := login(t, m)
		if key != again {
			t.Errorf("%s: the host key has changed", command)
		}
		if _, err := run(c, "true"); err != nil {
			t.Errorf("%s: %v", command, err)
		}
		if log, err := os.ReadFile(m.SerialLog()); err != nil || bytes.Count(log, []byte("booting")) != 2 {
			t.Errorf("%s: %s, %v", command, log, err)
		}
		if err := m.Destroy(t.Context()); err != nil {
			t.Error(err)
		}
		if left, err := os.ReadDir(spec.Dir); err != nil || len(left) > 0 {
			t.Errorf("%v is left, %v", left, err)
		}
	}
}

func TestPowerOffByScript(t *testing.T) {
	t.Parallel()
	h := newHost(t, t.TempDir(), fake.Options{})
	for _, command := range []string{"poweroff", "/sbin/halt -p", "echo pw | sudo -S poweroff", "sh -c 'init 0'", "sudo -E sh -c 'shutdown -h now'", "systemctl poweroff"} {
		m, _ := start(t, h, `{"ssh": true}`)
		c, _ := login(t, m)
		_, _ = run(c, command)
		wait(t, m, nil)
	}
}

func TestCrashes(t *testing.T) {
	t.Parallel()
	seed := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer seed.Close()
	h := newHost(t, t.TempDir(), fake.Options{})
	for _, phase := range []fake.Phase{fake.PhaseBoot, fake.PhaseFetched, fake.PhaseReady} {
		m, _ := start(t, h, fmt.Sprintf(`{"install": %v, "crash_at": %q}`, phase == fake.PhaseFetched, phase))
		if phase == fake.PhaseFetched {
			p, _, err := bootcmd.Parse(seed.URL + "<enter>")
			if err != nil {
				t.Fatal(err)
			}
			// It may end under the keys, which is an error of theirs.
			if err := bootcmd.Play(t.Context(), p, m, 0, nil); err != nil && !strings.Contains(err.Error(), "crashed") {
				t.Fatal(err)
			}
		}
		wait(t, m, hypervisor.ErrCrashed)
	}
}

// TestDelays runs a guest by a clock of its own.
func TestDelays(t *testing.T) {
	t.Parallel()
	asked, tick := make(chan time.Duration), make(chan time.Time)
	h := newHost(t, t.TempDir(), fake.Options{After: func(d time.Duration) <-chan time.Time {
		asked <- d
		return tick
	}})
	m, _ := start(t, h, `{"boot_delay": 7000000000, "power_off_after": 9000000000}`)
	for _, want := range []time.Duration{7 * time.Second, 9 * time.Second} {
		if d := <-asked; d != want {
			t.Errorf("paused for %s, want %s", d, want)
		}
		tick <- time.Time{}
	}
	wait(t, m, nil)
}

func TestScreenShowsTyping(t *testing.T) {
	t.Parallel()
	h := newHost(t, t.TempDir(), fake.Options{})
	m, _ := start(t, h, `{}`)
	before, err := m.Capture(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	typeText(t, m, "a")
	after, err := m.Capture(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if cmp.Equal(before, after) {
		t.Error("the screen did not change")
	}
}
