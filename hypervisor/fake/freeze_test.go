package fake_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/fake"
	"github.com/boxkiln/boxkiln/hypervisor/hypervisortest"
)

// lineMarker marks the line that is being typed, which is the memory of a fake guest.
func lineMarker(h *fake.Host) *hypervisortest.Marker {
	return &hypervisortest.Marker{
		Set: func(t *testing.T, m hypervisor.Machine, mark string) { typeText(t, m.(*fake.Machine), "<bs>"+mark) },
		Get: func(_ *testing.T, m hypervisor.Machine) string { return h.Line(m.Handle().Name) },
	}
}

// fileMarker marks a file of the guest.
func fileMarker() *hypervisortest.Marker {
	sh := func(t *testing.T, m hypervisor.Machine, command string) string {
		t.Helper()
		c, _ := login(t, m)
		out, err := run(c, command)
		if err != nil {
			t.Errorf("%s: %v: %s", command, err, out)
		}
		return out
	}
	return &hypervisortest.Marker{
		Set: func(t *testing.T, m hypervisor.Machine, mark string) { sh(t, m, "printf "+mark+" >mark") },
		Get: func(t *testing.T, m hypervisor.Machine) string { return sh(t, m, "cat mark") },
	}
}

// freeze freezes a machine into a directory of its own.
func freeze(t *testing.T, m *fake.Machine) (hypervisor.Frozen, string) {
	t.Helper()
	dir := t.TempDir()
	f, err := m.Freeze(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return f, dir
}

// anew is the machine of a spec under another name and in another directory.
func anew(t *testing.T, spec hypervisor.Spec, name string) hypervisor.Spec {
	spec.Name, spec.Dir = name, t.TempDir()
	return spec
}

func thaw(t *testing.T, h *fake.Host, f hypervisor.Frozen, dir string, spec hypervisor.Spec) *fake.Machine {
	t.Helper()
	m, err := h.Driver(install).Thaw(t.Context(), f, dir, spec)
	if err != nil {
		t.Fatal(err)
	}
	return m.(*fake.Machine)
}

// TestThawAfterInstallation keeps an installed system with its files and its host key: what is thawed neither boots nor
// installs, and what happened is counted, also for the next host.
func TestThawAfterInstallation(t *testing.T) {
	t.Parallel()
	seed := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer seed.Close()
	root, journal := t.TempDir(), filepath.Join(t.TempDir(), "journal")
	h := newHost(t, root, fake.Options{Journal: journal})
	m, spec := start(t, h, `{"install": true, "ssh": true, "installer_ssh": true}`)
	typeText(t, m, seed.URL+"/p<enter>")
	awaitSerial(t, m, "login:", 1)
	c, key := login(t, m)
	script := "mkdir -m 750 sub && echo x >sub/run && chmod 755 sub/run && ln -s sub/run link && mkfifo pipe"
	if out, err := run(c, script); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	f, dir := freeze(t, m)
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}

	h = newHost(t, root, fake.Options{Journal: journal})
	thawed := thaw(t, h, f, dir, anew(t, spec, "thawed"))
	c, again := login(t, thawed)
	if again != key {
		t.Error("the thawed guest has another host key")
	}
	out, err := run(c, `cat link && stat -c "%a %F" sub sub/run link && ls`)
	if want := "x\n750 directory\n755 regular file\n777 symbolic link\nlink\nsub\n"; err != nil || out != want {
		t.Errorf("%q, %v, want %q", out, err, want)
	}
	if log, err := os.ReadFile(thawed.SerialLog()); err != nil || bytes.Contains(log, []byte("boot")) {
		t.Errorf("%s, %v", log, err)
	}
	if got := h.Fetched("thawed"); len(got) > 0 {
		t.Errorf("fetched %v", got)
	}
	want := fake.Counts{Installations: 1, Freezes: 1, Thaws: 1}
	onDisk, err := fake.ReadJournal(journal)
	if err != nil || h.Counts() != want || onDisk != want {
		t.Errorf("counted %+v and %+v, %v, want %+v", h.Counts(), onDisk, err, want)
	}
	_, _ = run(c, "reboot")
	awaitSerial(t, thawed, "booting", 1)
	if _, again = login(t, thawed); again != key {
		t.Error("the guest has another host key after a reboot")
	}
}

// TestThawInstaller thaws a guest whose installer still waits for its boot command, with half of it typed.
func TestThawInstaller(t *testing.T) {
	t.Parallel()
	asked := make(chan string, 2)
	seed := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked <- r.URL.Path }))
	defer seed.Close()
	h := newHost(t, t.TempDir(), fake.Options{})
	m, spec := start(t, h, `{"install": true, "boot_delay": 0, "power_off_after": -1}`)
	typeText(t, m, "auto url="+seed.URL+"/pre")
	f, dir := freeze(t, m)
	thawed := thaw(t, h, f, dir, anew(t, spec, "thawed"))
	typeText(t, thawed, "seed<enter>")
	wait(t, thawed, nil)
	if path := <-asked; path != "/preseed" {
		t.Errorf("asked for %s", path)
	}
	if s, err := m.State(t.Context()); err != nil || s != hypervisor.Running {
		t.Errorf("%s, %v", s, err)
	}
}

func TestFreezeFaults(t *testing.T) {
	t.Parallel()
	h := newHost(t, t.TempDir(), fake.Options{Faults: fake.Faults{FreezeAfter: 1, Freeze: 1, FreezeDiskFull: 1, Thaw: 1}})
	m, spec := start(t, h, `{"ssh": true}`)
	f, dir := freeze(t, m)
	waste := t.TempDir()
	for _, want := range []error{fake.ErrInjected, syscall.ENOSPC} {
		if _, err := m.Freeze(t.Context(), waste); !errors.Is(err, want) {
			t.Errorf("Freeze: %v, want %v", err, want)
		}
		if left, err := os.ReadDir(waste); err != nil || len(left) > 0 {
			t.Errorf("%v is left, %v", left, err)
		}
	}
	login(t, m)
	freeze(t, m)
	next := anew(t, spec, "thawed")
	if _, err := h.Driver(install).Thaw(t.Context(), f, dir, next); !errors.Is(err, fake.ErrInjected) {
		t.Errorf("Thaw: %v", err)
	}
	login(t, thaw(t, h, f, dir, next))
}

// TestBases removes frozen disks under the machines that need them.
func TestBases(t *testing.T) {
	t.Parallel()
	h := newHost(t, t.TempDir(), fake.Options{})
	var s specs
	spec := s.spec(t, `{"power_off_after": -1}`)
	made, err := h.Driver(install).Create(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	m := made.(*fake.Machine)
	_, first := freeze(t, m)
	f, second := freeze(t, m)
	thawed := thaw(t, h, f, second, anew(t, spec, "thawed"))
	if err := os.RemoveAll(first); err != nil {
		t.Fatal(err)
	}
	for _, m := range []*fake.Machine{m, thawed} {
		_, exported := m.Export(t.Context(), t.TempDir(), hypervisor.ExportOptions{Format: "raw", Name: "x"})
		_, frozen := m.Freeze(t.Context(), t.TempDir())
		for what, err := range map[string]error{"Start": m.Start(t.Context()), "Export": exported, "Freeze": frozen} {
			if !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s without a frozen disk: %v", what, err)
			}
		}
	}
	if _, err := h.Driver(install).Thaw(t.Context(), f, second, anew(t, spec, "late")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Thaw without a frozen disk: %v", err)
	}
}

// TestFitsAnotherHost opens the host again as another version.
func TestFitsAnotherHost(t *testing.T) {
	t.Parallel()
	h := newHost(t, t.TempDir(), fake.Options{Host: hypervisor.Host{Hypervisor: "QEMU 7.1.0"}})
	m, spec := start(t, h, `{}`)
	f, dir := freeze(t, m)
	d := newHost(t, t.TempDir(), fake.Options{Host: hypervisor.Host{Hypervisor: "QEMU 7.2.22"}}).Driver(install)
	const want = "it was frozen by QEMU 7.1.0, and this host has QEMU 7.2.22"
	if err := d.Fits(t.Context(), f, spec); err == nil || err.Error() != want {
		t.Errorf("Fits: %v, want %s", err, want)
	}
	if _, err := d.Thaw(t.Context(), f, dir, anew(t, spec, "thawed")); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("Thaw: %v, want %s", err, want)
	}
	f.Detail = []byte("{")
	if err := d.Fits(t.Context(), f, spec); err == nil {
		t.Error("a description that cannot be read fits")
	}
}

// clock never strikes; it tells who waits for it.
type clock chan time.Duration

func (c clock) after(d time.Duration) <-chan time.Time {
	c <- d
	return nil
}

// TestHalfThawed ends the process in the middle of a thaw. The machine is found, cannot be used, and is either destroyed
// or thawed anew.
func TestHalfThawed(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(t *testing.T, h *fake.Host, m hypervisor.Machine, again func() *fake.Machine){
		"destroyed": func(*testing.T, *fake.Host, hypervisor.Machine, func() *fake.Machine) {},
		"thawed anew": func(t *testing.T, _ *fake.Host, _ hypervisor.Machine, again func() *fake.Machine) {
			m := again()
			login(t, m)
			if err := m.Destroy(t.Context()); err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root, waits := t.TempDir(), make(clock)
			h := newHost(t, root, fake.Options{After: waits.after})
			m, spec := start(t, h, `{"ssh": true}`)
			f, dir := freeze(t, m)
			slow := anew(t, spec, "thawed")
			slow.Options = []byte(`{"ssh": true, "thaw_time": 1}`)
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() {
				_, err := h.Driver(install).Thaw(ctx, f, dir, slow)
				done <- err
			}()
			<-waits
			if _, err := h.Driver(install).Thaw(t.Context(), f, dir, slow); err == nil {
				t.Error("it was thawed by two")
			}
			crashed := copyTree(t, root)
			cancel()
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Errorf("cancelled Thaw: %v", err)
			}

			h = newHost(t, crashed, fake.Options{})
			d := h.Driver(install)
			found, err := d.Open(t.Context(), hypervisor.Handle{Name: "thawed", Tag: spec.Tag})
			if err != nil {
				t.Fatal(err)
			}
			if err := found.Start(t.Context()); err == nil {
				t.Error("half of a machine was started")
			}
			end(t, h, found, func() *fake.Machine { return thaw(t, h, f, dir, anew(t, spec, "thawed")) })
			if err := found.Destroy(t.Context()); err != nil {
				t.Error(err)
			}
			if left, err := os.ReadDir(slow.Dir); err != nil || len(left) > 0 {
				t.Errorf("%v is left, %v", left, err)
			}
		})
	}
}

// copyTree is what a host that opens after a crash finds.
func copyTree(t *testing.T, dir string) string {
	t.Helper()
	crashed := t.TempDir()
	if err := os.CopyFS(crashed, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return crashed
}

// TestFreezeIsCancelled cancels when half of the files are there.
func TestFreezeIsCancelled(t *testing.T) {
	t.Parallel()
	waits := make(clock)
	h := newHost(t, t.TempDir(), fake.Options{After: waits.after})
	m, _ := start(t, h, `{"ssh": true, "freeze_time": 1}`)
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := m.Freeze(ctx, dir)
		done <- err
	}()
	<-waits
	if half, err := os.ReadDir(dir); err != nil || len(half) == 0 {
		t.Errorf("%v is there, %v", half, err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled Freeze: %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%v is left, %v", left, err)
	}
	login(t, m)
}

// TestDamagedDisk thaws archives that are cut, or that lead out of the guest.
func TestDamagedDisk(t *testing.T) {
	t.Parallel()
	h := newHost(t, t.TempDir(), fake.Options{})
	m, spec := start(t, h, `{"ssh": true}`)
	f, dir := freeze(t, m)
	path := filepath.Join(dir, f.Disks[0].Name)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	outside := t.TempDir()
	folder := tar.Header{Name: "root", Typeflag: tar.TypeDir, Mode: 0o755}
	for name, data := range map[string][]byte{
		"empty":          nil,
		"cut":            whole[:len(whole)-2048],
		"noise":          bytes.Repeat([]byte("x"), 2000),
		"no system":      archive(t, folder),
		"path leads out": archive(t, folder, tar.Header{Name: "../../evil", Typeflag: tar.TypeReg}),
		"link leads out": archive(t, folder, tar.Header{Name: "root/out", Linkname: outside, Typeflag: tar.TypeSymlink},
			tar.Header{Name: "root/out/evil", Typeflag: tar.TypeReg}),
		"device": archive(t, folder, tar.Header{Name: "root/null", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3}),
		"no key": archive(t, folder, tar.Header{Name: "system.json", Typeflag: tar.TypeReg, Size: 2}),
	} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		next := anew(t, spec, "thawed")
		if _, err := h.Driver(install).Thaw(t.Context(), f, dir, next); err == nil {
			t.Errorf("%s: it was thawed", name)
		}
		for _, dir := range []string{next.Dir, outside} {
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("%s: %v is left, %v", name, left, err)
			}
		}
	}
	all, err := h.Driver(install).List(t.Context())
	if diff := cmp.Diff([]hypervisor.Handle{m.Handle()}, all); err != nil || diff != "" {
		t.Error(err, diff)
	}
}

// archive makes an archive whose files hold "{}", as far as they have a size.
func archive(t *testing.T, headers ...tar.Header) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, h := range headers {
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte("{}")[:h.Size]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestJournalThatCannotBeRead(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "journal")
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := fake.NewHost(t.TempDir(), fake.Options{Journal: path}); err == nil {
		t.Error("the host was opened")
	}
}
