package web

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/chromedp"
)

// browser starts a headless chromium, or skips the test where there is none.
func browser(t *testing.T) context.Context {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil && os.Getenv("BOXKILN_REQUIRE_TOOLS") == "1" {
		t.Fatalf("%v; apt-get install chromium", err)
	}
	if err != nil {
		t.Skipf("%v; apt-get install chromium to run this test", err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox,
		chromedp.UserDataDir(t.TempDir()), chromedp.Flag("disable-gpu", true), chromedp.WSURLReadTimeout(5*time.Minute))
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	t.Cleanup(cancel)
	allocated, cancel := chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	tab, cancel := chromedp.NewContext(allocated)
	t.Cleanup(cancel)
	return tab
}

// complaints collects what the browser has against a page: violations of the policy, missing files, broken markup.
type complaints struct {
	mu    sync.Mutex
	texts []string
}

func (c *complaints) hear(event any) {
	e, ok := event.(*log.EventEntryAdded)
	if !ok {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.texts = append(c.texts, fmt.Sprintf("%s: %s (%s)", e.Entry.Level, e.Entry.Text, e.Entry.URL))
}

func (c *complaints) take() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	texts := c.texts
	c.texts = nil
	return texts
}

// TestInABrowser looks at every kind of page on a desktop and a phone, by day and by night: nothing may stick out of
// the screen, and the browser must not complain. With BOXKILN_SCREENSHOTS it leaves pictures in that directory.
func TestInABrowser(t *testing.T) {
	boxes, builds := samples()
	server := httptest.NewServer(setup(t, boxes, builds).engine)
	defer server.Close()
	tab := browser(t)
	var heard complaints
	if err := chromedp.Listen(tab, heard.hear); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Call(tab, log.Enable, cdp.Empty{}); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{
		"home": "/", "box": "/ops/debian12", "builds": "/builds", "running": "/builds/b7", "failed": "/builds/b6", "nothing": "/?q=nothing",
	} {
		for _, width := range []int64{1280, 375} {
			for _, scheme := range []string{"light", "dark"} {
				look := fmt.Sprintf("%s-%d-%s", name, width, scheme)
				seen, err := visit(tab, server.URL+path, width, scheme)
				if err != nil {
					t.Fatalf("%s: %v", look, err)
				}
				if seen.Wide > width {
					t.Errorf("%s is %d pixels wide on a screen of %d", look, seen.Wide, width)
				}
				if want := map[string]string{"light": "rgb(250, 248, 245)", "dark": "rgb(23, 20, 18)"}[scheme]; seen.Ground != want {
					t.Errorf("%s has the background %s, want %s", look, seen.Ground, want)
				}
				if texts := heard.take(); len(texts) > 0 {
					t.Errorf("%s: %s", look, strings.Join(texts, "; "))
				}
				keep(t, look, seen.picture)
			}
		}
	}
}

// seen is what a page looks like.
type seen struct {
	Wide    int64  `json:"wide"`   // pixels, with what sticks out
	Ground  string `json:"ground"` // colour
	picture []byte
}

// visit opens a page as a screen of that width and colour scheme shows it.
func visit(tab context.Context, url string, width int64, scheme string) (seen, error) {
	screen := emulation.SetDeviceMetricsOverrideParams{Width: width, Height: 900, DeviceScaleFactor: 1, Mobile: width < 600}
	if _, err := chromedp.Call(tab, emulation.SetDeviceMetricsOverride, screen); err != nil {
		return seen{}, err
	}
	media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}
	if _, err := chromedp.Call(tab, emulation.SetEmulatedMedia, media); err != nil {
		return seen{}, err
	}
	if err := chromedp.Do(tab, chromedp.Navigate(url)); err != nil {
		return seen{}, err
	}
	s, err := chromedp.Run(tab, chromedp.Evaluate[seen](
		`({wide: document.documentElement.scrollWidth, ground: getComputedStyle(document.body).backgroundColor})`))
	if err != nil {
		return seen{}, err
	}
	s.picture, err = chromedp.Run(tab, chromedp.FullScreenshot(100))
	return s, err
}

func keep(t *testing.T, name string, picture []byte) {
	t.Helper()
	dir := os.Getenv("BOXKILN_SCREENSHOTS")
	if dir == "" {
		return
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o644); err != nil {
		t.Fatal(err)
	}
}
