package web

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"net/http"
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
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/boxkiln/boxkiln/daemon/build"
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
	text := ""
	switch e := event.(type) {
	case *log.EventEntryAdded:
		text = fmt.Sprintf("%s: %s (%s)", e.Entry.Level, e.Entry.Text, e.Entry.URL)
	case *runtime.EventExceptionThrown:
		text = fmt.Sprintf("%s: %s", e.ExceptionDetails.Text, described(e.ExceptionDetails.Exception))
	default:
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.texts = append(c.texts, text)
}

func described(o *runtime.RemoteObject) string {
	if o == nil {
		return ""
	}
	return o.Description
}

func (c *complaints) take() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	texts := c.texts
	c.texts = nil
	return texts
}

// artefacts is where the tests leave what they saw: $BOXKILN_ARTEFACTS, or a directory that goes with the test.
func artefacts(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("BOXKILN_ARTEFACTS")
	if dir == "" {
		return t.TempDir()
	}
	dir = filepath.Join(dir, "web")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func keep(t *testing.T, dir, name string, picture []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o644); err != nil {
		t.Fatal(err)
	}
}

// listen has the browser tell what it has against the pages of a tab.
func listen(t *testing.T, tab context.Context) *complaints {
	t.Helper()
	heard := &complaints{}
	if err := chromedp.Listen(tab, heard.hear); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Call(tab, log.Enable, cdp.Empty{}); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Call(tab, runtime.Enable, cdp.Empty{}); err != nil {
		t.Fatal(err)
	}
	return heard
}

// serve makes a server that ends after the browser has: its requests would hold it up.
func serve(t *testing.T, b *bundle) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.NewCrossOriginProtection().Handler(b.engine))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return server
}

// cookie gives a tab a session.
func cookie(t *testing.T, tab context.Context, url string, session *http.Cookie) {
	t.Helper()
	set := network.SetCookieParams{Name: session.Name, Value: session.Value, URL: url, HTTPOnly: new(true), SameSite: network.CookieSameSiteStrict}
	if _, err := chromedp.Call(tab, network.SetCookie, set); err != nil {
		t.Fatal(err)
	}
}

// TestInABrowser looks at every kind of page on a desktop and a phone, by day and by night, as a guest and with a
// session: nothing may stick out of the screen, and the browser must not complain. The pictures are artefacts.
func TestInABrowser(t *testing.T) {
	boxes, builds := samples()
	b := setup(t, boxes, builds)
	b.window.show(screenPicture(t, 0))
	b.window.serial = []byte(sampleSerial)
	b.builds.alter("b5", func(x *Build) { x.State, x.Finished = build.Running, time.Time{} })
	b.builds.alter("b5", func(x *Build) {
		x.Question = &Question{Text: "provision 2: shell failed: setup.sh exited with status 3. What now?", Choices: []string{"cleanup", "retry", "abort"}}
	})
	url, dir := serve(t, b).URL, artefacts(t)
	tab := browser(t)
	heard := listen(t, tab)
	guest := map[string]string{"home": "/", "box": "/ops/debian12", "builds": "/builds", "running": "/builds/b7", "failed": "/builds/b6",
		"asking": "/builds/b5", "waiting": "/builds/b4", "nothing": "/?q=nothing", "login": "/login", "lost": "/nowhere"}
	look(t, tab, heard, url, dir, guest)
	cookie(t, tab, url, b.login("bxk_write"))
	look(t, tab, heard, url, dir, map[string]string{"builds-session": "/builds", "running-session": "/builds/b7", "failed-session": "/builds/b6", "asking-session": "/builds/b5"})
}

func look(t *testing.T, tab context.Context, heard *complaints, url, dir string, pages map[string]string) {
	t.Helper()
	for name, path := range pages {
		for _, width := range []int64{1440, 375} {
			for _, scheme := range []string{"light", "dark"} {
				what := fmt.Sprintf("%s-%d-%s", name, width, scheme)
				seen, err := visit(tab, url+path, width, scheme)
				if err != nil {
					t.Fatalf("%s: %v", what, err)
				}
				if seen.Wide > width {
					t.Errorf("%s is %d pixels wide on a screen of %d", what, seen.Wide, width)
				}
				if want := map[string]string{"light": "rgb(250, 248, 245)", "dark": "rgb(23, 20, 18)"}[scheme]; seen.Ground != want {
					t.Errorf("%s has the background %s, want %s", what, seen.Ground, want)
				}
				if texts := heard.take(); len(texts) > 0 && name != "lost" {
					t.Errorf("%s: %s", what, strings.Join(texts, "; "))
				}
				keep(t, dir, what, seen.picture)
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

// screenPicture is a picture of a machine's text screen; each n has another.
func screenPicture(t *testing.T, n int) []byte {
	t.Helper()
	img := image.NewPaletted(image.Rect(0, 0, 720, 400), color.Palette{color.Black, color.RGBA{170, 170, 170, 255}, color.RGBA{0, 0, 170, 255}, color.RGBA{85, 255, 85, 255}})
	for y := range 400 {
		for x := range 720 {
			row, column := y/16, x/9
			switch {
			case row == 0:
				img.SetColorIndex(x, y, 2)
			case row == 3+n%20 && column < 40:
				img.SetColorIndex(x, y, 3)
			case row > 1 && row < 22 && (row*7+column*13)%11 < 6 && column < 20+row*37%50 && y%16 > 3 && y%16 < 13 && x%9 < 7:
				img.SetColorIndex(x, y, 1)
			}
		}
	}
	var buf bytes.Buffer
	if err := png.Encode(&buf, img); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

const sampleSerial = "[    0.000000] Linux version 6.1.0-26-amd64 (debian-kernel@lists.debian.org)\r\n[    0.000000] Command line: auto=true console=ttyS0\r\n" +
	"[    1.204113] virtio_net virtio0 ens2: renamed from eth0\r\n\x1b[1;32mLoading additional components\x1b[0m 40%\rLoading additional components 100%\r\n"
