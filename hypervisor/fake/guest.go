package fake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/internal/sshtest"
)

// power is a way for a guest to end.
type power int

const (
	powerOff power = iota + 1
	reboot
	crash
	unplugged // the machine is destroyed, or the process ends
)

// guest plays the operating system of a running machine.
type guest struct {
	host   *Host
	name   string
	uuid   string
	spec   hypervisor.Spec
	script Script

	ready  bool       // there is a system on the disk; only run looks
	thawed bool       // it does not boot, but runs on; only run looks
	key    ssh.Signer // host key of the installed system
	keys   keyboard   // guarded by the host's mu
	events chan power // what others want of it
	cancel context.CancelFunc
	ctx    context.Context // the life of the guest; it is started once
	done   sync.WaitGroup

	mu   sync.Mutex
	ssh  *sshtest.Server // nil until the guest is on the network for the first time
	addr string          // where its ports lead to since then
	up   bool
}

// newGuest is the guest of a machine that is powered on, or of one with a frozen memory. The caller holds mu.
func newGuest(h *Host, r *record, frozen *memory) (*guest, error) {
	key, err := hostKey(r.HostKey)
	if err != nil {
		return nil, err
	}
	if err := writeTools(r.Spec); err != nil {
		return nil, err
	}
	g := &guest{
		host: h, name: r.Spec.Name, uuid: r.Handle.UUID, spec: r.Spec, script: r.Script, ready: r.Ready,
		keys: keyboard{urls: make(chan string, 16)}, events: make(chan power, 8), key: key, thawed: frozen != nil,
	}
	if frozen != nil {
		g.keys.line = []rune(frozen.Line)
	}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	return g, nil
}

// start powers the guest on. It runs until it ends by itself or stop is called.
func (g *guest) start() {
	buttons, err := openButtons(g.spec)
	if err != nil {
		g.serial("the power buttons do not work: %v", err)
	}
	g.done.Go(func() {
		if buttons != nil {
			defer buttons.Close()
			g.done.Go(func() { g.watchButtons(buttons) })
		}
		g.run()
	})
}

// stop pulls the plug and waits until nothing of the guest is left.
func (g *guest) stop() {
	g.cancel()
	g.done.Wait()
}

// signal tells the guest to end, without waiting for it.
func (g *guest) signal(p power) {
	select {
	case g.events <- p:
	default: // it has been told often enough
	}
}

// run boots the guest until it stays off.
func (g *guest) run() {
	how := reboot
	for how == reboot {
		how = g.boot()
		g.offline()
	}
	g.closeSSH()
	state := hypervisor.Off
	switch how {
	case unplugged:
		return
	case crash:
		state = hypervisor.Crashed
	}
	g.serial("the machine is %s", state)
	_, err := g.host.update(g.name, g.uuid, func(r *record) { r.State, r.guest = state, nil })
	if err != nil {
		g.serial("%v", err)
	}
}

// boot runs the guest from one power-on to its end.
func (g *guest) boot() power {
	thawed := g.thawed
	g.thawed = false // the next time it boots
	if thawed {
		g.serial("thawed")
	} else if how := g.load(); how != 0 {
		return how
	}
	if !g.ready {
		thawed = false
		if how := g.install(); how != 0 {
			return how
		}
	}
	if !thawed {
		if g.script.CrashAt == PhaseReady {
			return crash
		}
		g.serial("%s login:", g.name) // first, so that whoever gets in by SSH finds it in the log
	}
	if g.script.SSH {
		if err := g.online(); err != nil {
			g.serial("ssh: %v", err)
		}
	}
	return g.live()
}

// load is what comes before the system.
func (g *guest) load() power {
	g.serial("booting")
	if how := g.pause(g.script.BootDelay); how != 0 {
		return how
	}
	if g.script.CrashAt == PhaseBoot {
		return crash
	}
	return 0
}

// live waits for the end of a system that is up.
func (g *guest) live() power {
	switch {
	case g.script.PowerOffAfter < 0:
		return powerOff
	case g.script.PowerOffAfter > 0:
		if how := g.pause(g.script.PowerOffAfter); how != 0 {
			return how
		}
		return powerOff
	}
	select {
	case how := <-g.events:
		return how
	case <-g.ctx.Done():
		return unplugged
	}
}

// pause lets time pass. It returns how the guest ended in it, or 0.
func (g *guest) pause(d time.Duration) power {
	if d <= 0 {
		return 0
	}
	select {
	case <-g.host.opts.After(d):
		return 0
	case how := <-g.events:
		return how
	case <-g.ctx.Done():
		return unplugged
	}
}

// install plays an installer: it waits for the address of its seed, fetches it and takes its time.
func (g *guest) install() power {
	g.serial("installer: waiting for a boot command with a URL")
	if g.script.InstallerSSH {
		if err := g.online(); err != nil {
			g.serial("ssh: %v", err)
		}
	}
	for {
		select {
		case url := <-g.keys.urls:
			if err := g.seed(url); err != nil {
				g.serial("installer: %v", err)
				continue
			}
		case how := <-g.events:
			return how
		case <-g.ctx.Done():
			return unplugged
		}
		if g.script.CrashAt == PhaseFetched {
			return crash
		}
		if how := g.pause(g.script.InstallTime); how != 0 {
			return how
		}
		return g.installed()
	}
}

// installed ends the installation: the disk holds a system, which has a host key of its own.
func (g *guest) installed() power {
	g.serial("installer: done")
	g.closeSSH()
	var counted error
	_, err := g.host.update(g.name, g.uuid, func(r *record) {
		r.Ready = true
		counted = g.host.count(func(c *Counts) { c.Installations++ })
	})
	if err = errors.Join(err, counted); err != nil {
		g.serial("%v", err)
		return crash
	}
	g.ready = true
	return 0
}

// seed fetches what an installer is told to. An address that ends in a slash is a cloud-init seed of two files.
func (g *guest) seed(url string) error {
	urls := []string{url}
	if strings.HasSuffix(url, "/") {
		urls = []string{url + "meta-data", url + "user-data"}
	}
	for _, u := range urls {
		if err := g.fetch(u); err != nil {
			return err
		}
	}
	_, err := g.host.update(g.name, g.uuid, func(r *record) { r.Fetched = append(r.Fetched, urls...) })
	return err
}

// maxSeed bounds what is read of an answer, and seedTimeout how long it may take.
const (
	maxSeed     = 64 << 20
	seedTimeout = 5 * time.Minute
)

// fetch gets a URL as the guest would: 10.0.2.2 is this host's loopback under user networking.
func (g *guest) fetch(url string) error {
	ctx, cancel := context.WithTimeout(g.ctx, seedTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.Replace(url, "//10.0.2.2", "//127.0.0.1", 1), nil)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", "boxkiln-fake-installer")
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return err
	}
	n, err := io.Copy(io.Discard, io.LimitReader(resp.Body, maxSeed))
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return fmt.Errorf("fetch %s: %w", url, err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("fetch %s: %s", url, resp.Status)
	}
	g.serial("fetched %s, %d bytes", url, n)
	return nil
}

// serial writes a line to the serial port.
func (g *guest) serial(format string, args ...any) {
	f, err := os.OpenFile(filepath.Join(g.spec.Dir, serialFile), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return // nobody can read it then either
	}
	_, _ = fmt.Fprintf(f, format+"\r\n", args...)
	_ = f.Close()
}
