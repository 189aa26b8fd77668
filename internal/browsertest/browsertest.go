// Package browsertest shows pages to a headless Chromium: tests wait for what a page shows, click and type, ask axe-core
// what keeps people from using it, and keep pictures to be looked at.
//
// [Open] starts a browser of its own for one test and ends it with the test. Where there is no Chromium the test is
// skipped, unless BOXKILN_REQUIRE_TOOLS=1 says that every tool must be there.
package browsertest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// The environment variables that tell about the machine.
const (
	envRequire   = "BOXKILN_REQUIRE_TOOLS" // 1: a missing tool is a failure, never a skip
	envArtefacts = "BOXKILN_ARTEFACTS"     // the folder that pictures are kept in
)

// Patience is how long a page may take to show what has happened already: as long as a slow machine needs.
const Patience = 5 * time.Minute

// Options are what tests want differently. The zero value is a browser for 15 minutes.
type Options struct {
	// Pictures is the folder in $BOXKILN_ARTEFACTS that Snap keeps its pictures in; without the variable they go with the
	// test.
	Pictures string
	Prefix   string        // of the names of the pictures
	Limit    time.Duration // of the whole test; 0 for 15 minutes
}

// Tab is a tab of a browser.
type Tab struct {
	t      *testing.T
	ctx    context.Context
	dir    string
	prefix string
	heard  complaints
}

// Open starts a browser and returns its tab, which is empty.
func Open(t *testing.T, o Options) *Tab {
	t.Helper()
	path := chromium(t)
	if o.Limit == 0 {
		o.Limit = 15 * time.Minute
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox,
		chromedp.UserDataDir(t.TempDir()), chromedp.Env("TMPDIR="+t.TempDir()), chromedp.Flag("disable-gpu", true), chromedp.WSURLReadTimeout(Patience), chromedp.WindowSize(1440, 1400))
	ctx, cancel := context.WithTimeout(t.Context(), o.Limit)
	t.Cleanup(cancel)
	allocated, cancel := chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(allocated)
	t.Cleanup(cancel)
	b := &Tab{t: t, ctx: ctx, dir: pictures(t, o.Pictures), prefix: o.Prefix}
	if err := b.listen(); err != nil {
		t.Fatalf("start %s: %v", path, err)
	}
	return b
}

func chromium(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil && os.Getenv(envRequire) == "1" {
		t.Fatalf("%v; apt-get install chromium", err)
	}
	if err != nil {
		t.Skipf("%v; apt-get install chromium to run this test", err)
	}
	return path
}

func pictures(t *testing.T, folder string) string {
	t.Helper()
	dir := os.Getenv(envArtefacts)
	if dir == "" {
		return t.TempDir()
	}
	dir = filepath.Join(dir, folder)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// listen has the browser tell what it has against the pages. The first call starts the browser, which ends with the
// context that starts it.
func (b *Tab) listen() error {
	if err := chromedp.Listen(b.ctx, b.heard.hear); err != nil {
		return err
	}
	if _, err := chromedp.Call(b.ctx, log.Enable, cdp.Empty{}); err != nil {
		return err
	}
	_, err := chromedp.Call(b.ctx, runtime.Enable, cdp.Empty{})
	return err
}

// Until waits for an expression to become true, as long as Patience.
func (b *Tab) Until(expression string) {
	b.t.Helper()
	b.UntilWithin(Patience, expression)
}

// UntilWithin waits for an expression to become true.
func (b *Tab) UntilWithin(limit time.Duration, expression string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, limit)
	defer cancel()
	for {
		ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool](expression))
		if err != nil {
			b.Snap("failed")
			b.t.Fatalf("%s did not come true: %v", expression, err)
		}
		if ok {
			return
		}
		select { // between two looks, not for anything to happen
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// Do does what a person does.
func (b *Tab) Do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, Patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		b.Snap("failed")
		b.t.Fatal(err)
	}
}

// Open goes to a page.
func (b *Tab) Open(url string) {
	b.t.Helper()
	b.Do(chromedp.Navigate(url))
}

// Text is what an expression evaluates to.
func (b *Tab) Text(expression string) string {
	b.t.Helper()
	return evaluate[string](b, expression)
}

func evaluate[T any](b *Tab, expression string, options ...chromedp.EvaluateOption) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, Patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, options...))
	if err != nil {
		b.t.Fatalf("%.200s: %v", expression, err)
	}
	return v
}

// Screen makes the tab as wide as a screen, in pixels, and as light or dark as its user wants it. Less than 600 pixels
// make a phone. Nothing moves, so that a picture shows how things end up.
func (b *Tab) Screen(width int64, scheme string) {
	b.t.Helper()
	screen := emulation.SetDeviceMetricsOverrideParams{Width: width, Height: 900, DeviceScaleFactor: 1, Mobile: width < 600}
	_, err := chromedp.Call(b.ctx, emulation.SetDeviceMetricsOverride, screen)
	if err == nil {
		media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}}
		_, err = chromedp.Call(b.ctx, emulation.SetEmulatedMedia, media)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// WithoutScripts makes the pages that are opened from now on do without JavaScript.
func (b *Tab) WithoutScripts() {
	b.t.Helper()
	if _, err := chromedp.Call(b.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
		b.t.Fatal(err)
	}
}

// SetCookie gives the tab a cookie of the server at url, as one that scripts cannot read.
func (b *Tab) SetCookie(url, name, value string) {
	b.t.Helper()
	set := network.SetCookieParams{Name: name, Value: value, URL: url, HTTPOnly: new(true), SameSite: network.CookieSameSiteStrict}
	if _, err := chromedp.Call(b.ctx, network.SetCookie, set); err != nil {
		b.t.Fatal(err)
	}
}

// Snap keeps a picture of the whole page.
func (b *Tab) Snap(name string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, Patience)
	defer cancel()
	picture, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err == nil {
		err = os.WriteFile(filepath.Join(b.dir, b.prefix+name+".png"), picture, 0o644)
	}
	if err != nil {
		b.t.Errorf("a picture of %s: %v", name, err)
	}
}

// Has is an expression that is true when the text of the first element that a selector finds has the words in it.
func Has(selector, words string) string {
	return fmt.Sprintf("(document.querySelector(%q)?.textContent.includes(%q) ?? false)", selector, words)
}
