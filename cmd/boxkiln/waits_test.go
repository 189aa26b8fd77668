package main

import (
	"context"
	"encoding/json"
	"errors"
	"image"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/hypervisor"
)

// installing are the arguments of a machine that installs itself from a seed, with a boot command before and after the
// line that tells it where that is.
func installing(before, after string) map[string]string {
	return map[string]string{
		"http_content": `{ "/ks.cfg" = "x" }`,
		"boot_command": `["` + before + `ks=http://{{ .HTTPIP }}:{{ .HTTPPort }}/ks.cfg<enter>` + after + `"]`,
	}
}

func TestBootCommandLooks(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r := b.run("build", "-color=false", b.solo(installing("<waitScreen>", "<waitSeed><WAITSCREEN2m>done"), inline("echo hello")))
	r.wants(t, exitOK, "waiting until the screen stands still, for 5m0s at most", "waiting until the guest fetches something, for 5m0s at most",
		"seed: GET /ks.cfg: 200", "hello")
	want := []build.Mark{build.MarkTyped, build.MarkAddress, build.MarkPortOpen, build.MarkBanner, build.MarkLogin}
	got := slices.DeleteFunc(b.marks(), func(m build.Mark) bool { return !slices.Contains(want, m) })
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestBootCommandWaitsInVain(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		args map[string]string
		wrap func(hypervisor.Driver) hypervisor.Driver
		says []string
	}{
		"nothing is fetched": {installing("<waitSeed1s>", ""), nil,
			[]string{"boot_command: <waitSeed1s>: not seen in time: the guest fetched nothing from the seed server for 1s"}},
		"no seed server": {map[string]string{"boot_steps": `[["a<waitSeed>", "wait"]]`}, nil,
			[]string{"boot_command: <waitSeed>: the template serves nothing to wait for; set http_directory or http_content"}},
		"no screen": {installing("<waitScreen>", ""), func(d hypervisor.Driver) hypervisor.Driver { return blindDriver{d} },
			[]string{"boot_command: <waitScreen>: driver libvirt shows no screen"}},
		"never still": {installing("<waitScreen1s>", ""), func(d hypervisor.Driver) hypervisor.Driver { return flickeringDriver{d} },
			[]string{"boot_command: <waitScreen1s>: not seen in time: the picture did not stand still for 1s"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			if tc.wrap != nil {
				b.wrap = tc.wrap
			}
			b.run("build", "-color=false", b.solo(tc.args, "")).wants(t, exitFailed, tc.says...)
			b.nothingLeft()
		})
	}
}

// TestABootCommandThatWaitsForNothingIsRefused before anything is started.
func TestABootCommandThatWaitsForNothingIsRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	template := b.solo(map[string]string{"boot_command": `["a<waitseed>"]`}, "")
	for _, verb := range []string{"validate", "build"} {
		b.run(verb, template).wants(t, exitFailed, "boot_command: <waitSeed>: the template serves nothing to wait for; set http_directory or http_content")
	}
}

// blindDriver makes machines without a screen.
type blindDriver struct{ hypervisor.Driver }

func (d blindDriver) Create(ctx context.Context, spec hypervisor.Spec) (hypervisor.Machine, error) {
	m, err := d.Driver.Create(ctx, spec)
	if err != nil {
		return nil, err
	}
	return struct {
		hypervisor.Machine
		hypervisor.Keyboard
	}{m, m.(hypervisor.Keyboard)}, nil
}

// flickeringDriver makes machines whose pictures are never alike.
type flickeringDriver struct{ hypervisor.Driver }

func (d flickeringDriver) Create(ctx context.Context, spec hypervisor.Spec) (hypervisor.Machine, error) {
	m, err := d.Driver.Create(ctx, spec)
	if err != nil {
		return nil, err
	}
	return struct {
		hypervisor.Machine
		hypervisor.Keyboard
		hypervisor.Screen
	}{m, m.(hypervisor.Keyboard), &flicker{}}, nil
}

type flicker struct{ n int }

func (f *flicker) Capture(context.Context) (image.Image, error) {
	img := image.NewGray(image.Rect(0, 0, 100, 100))
	f.n++
	for i := range img.Pix {
		img.Pix[i] = byte(f.n)
	}
	return img, nil
}

// TestAPanicEndsTheWait: nobody waits for a guest whose kernel gave up, whether it is expected or worked in.
func TestAPanicEndsTheWait(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		args      map[string]string
		provision string
		sign      string
	}{
		"waiting":      {map[string]string{"fake_no_ssh": "true"}, "", "Waiting for SSH"},
		"provisioning": {nil, inline("echo at the gate", "sleep 100000"), "at the gate"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			made := make(chan hypervisor.Machine, 1)
			b.wrap = func(d hypervisor.Driver) hypervisor.Driver { return tellingDriver{d, made} }
			c := b.start("build", "-color=false", b.solo(tc.args, tc.provision))
			c.stdout.await(tc.sign)
			log := (<-made).(hypervisor.SerialPort).SerialLog()
			f, err := os.OpenFile(log, os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if _, err := f.WriteString("[    1.5] Kernel panic - not syncing: VFS: Unable to mount root fs\r\n"); err != nil {
				t.Fatal(err)
			}
			c.wait().wants(t, exitFailed, `the guest's kernel gave up: "Kernel panic - not syncing: VFS: Unable to mount root fs"`)
			b.nothingLeft()
		})
	}
}

// tellingDriver tells what it makes.
type tellingDriver struct {
	hypervisor.Driver
	made chan<- hypervisor.Machine
}

func (d tellingDriver) Create(ctx context.Context, spec hypervisor.Spec) (hypervisor.Machine, error) {
	m, err := d.Driver.Create(ctx, spec)
	if err == nil {
		d.made <- m
	}
	return m, err
}

func TestAnInstallerThatStartsOverEndsTheWait(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	args := installing("", "")
	args["fake_no_ssh"] = "true"
	c := b.start("build", "-color=false", b.solo(args, ""))
	c.stdout.await("Waiting for SSH")
	port := regexp.MustCompile(`HTTP server on port (\d+)`).FindStringSubmatch(c.stdout.text())
	if port == nil {
		t.Fatal(c.stdout.text())
	}
	for range 9 { // the machine itself was the first
		resp, err := http.Get("http://127.0.0.1:" + port[1] + "/ks.cfg")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
	}
	c.wait().wants(t, exitFailed, "the guest fetched /ks.cfg 10 times: the installer starts over again and again; is the boot order right")
	b.nothingLeft()
}

// marks are the moments that the log of the only build tells, in order.
func (b *bench) marks() []build.Mark {
	b.t.Helper()
	logs, err := filepath.Glob(filepath.Join(b.data, "builds", "*", "log"))
	if err != nil || len(logs) != 1 {
		b.t.Fatalf("logs %q, %v", logs, err)
	}
	f, err := os.Open(logs[0])
	if err != nil {
		b.t.Fatal(err)
	}
	defer f.Close()
	var marks []build.Mark
	for dec := json.NewDecoder(f); ; {
		var e build.Event
		err := dec.Decode(&e)
		if errors.Is(err, io.EOF) {
			return marks
		}
		if err != nil {
			b.t.Fatal(err)
		}
		if e.Kind == build.EventMark {
			marks = append(marks, e.Mark)
		}
	}
}
