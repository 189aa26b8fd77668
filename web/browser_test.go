package web

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/internal/auth"
	"github.com/boxkiln/boxkiln/internal/browsertest"
)

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

// TestInABrowser looks at every kind of page on a desktop and a phone, by day and by night, as a guest and with a
// session: nothing may stick out of the screen, the browser must not complain, and axe-core must find nothing that keeps
// people from using it. The pictures are artefacts.
func TestInABrowser(t *testing.T) {
	b := liveBundle(t)
	b.site.logShown = 200 * entrySize // axe-core takes its time for each line, and 16384 are no other than 200
	b.builds.alter("b5", func(x *Build) { x.State, x.Finished = build.Running, time.Time{} })
	b.builds.alter("b5", func(x *Build) {
		x.Question = &Question{Text: "provision 2: shell failed: setup.sh exited with status 3. What now?", Choices: []string{"cleanup", "retry", "abort"}}
	})
	tab := tab{browsertest.Open(t, browsertest.Options{Pictures: "web", Limit: time.Hour}), serve(t, b)}
	axe := browsertest.NewAxe(t)
	guest := map[string]string{"home": "/", "box": "/ops/debian12", "version": versionPage, "revoked": "/boxes/ops/debian12/versions/20261106.1.0",
		"packages": versionPage + "/packages?file=libvirt/amd64", "packages-unknown": versionPage + "/packages", "empty": "/lab/empty", "builds": "/builds", "running": "/builds/b7", "failed": "/builds/b6",
		"asking": "/builds/b5", "waiting": "/builds/b4", "nothing": "/?q=nothing", "login": "/login", "lost": "/nowhere"}
	look(t, tab, axe, guest)
	tab.login(b, "bxk_write")
	look(t, tab, axe, map[string]string{"home-maker": "/", "box-maker": "/ops/debian12", "version-maker": versionPage, "draft": draftPath,
		"deleted": "/boxes/ops/debian12/versions/20261101.1.0", "empty-maker": "/lab/empty", "private": "/ops/payroll", "new": "/boxes/new",
		"edit": "/boxes/ops/debian12/edit", "notes": versionPage + "/notes", "upload": "/boxes/ops/debian12/upload", "revoke": versionPage + "/revoke",
		"delete-box": "/boxes/ops/debian12/delete", "delete-version": versionPage + "/delete", "retention": "/boxes/ops/debian12/retention?last=1", "trash": "/boxes/trash"})
	b.tokens.known["bxk_ada"] = auth.Principal{Name: "laptop", User: "ada", Scope: auth.Write}
	tab.login(b, "bxk_ada")
	look(t, tab, axe, map[string]string{"password": "/settings/password", "password-done": "/settings/password?done=1"})
	look(t, tab, axe, map[string]string{"builds-session": "/builds", "running-session": "/builds/b7", "failed-session": "/builds/b6", "asking-session": "/builds/b5"})
}

// unfold opens what a page has folded, and fold closes it again; both tell how much that is.
const (
	unfold = `String((window.folded = [...document.querySelectorAll('main details:not([open])')]).map(d => d.open = true).length)`
	fold   = `String(window.folded.map(d => d.open = false).length)`
)

// grounds are the colours behind the pages.
var grounds = map[string]string{"light": "rgb(250, 248, 245)", "dark": "rgb(23, 20, 18)"}

func look(t *testing.T, tab tab, axe browsertest.Axe, pages map[string]string) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(pages)) {
		tab.open(pages[name])
		for _, width := range []int64{1280, 390} {
			for scheme, ground := range grounds {
				what := fmt.Sprintf("%s-%d-%s", name, width, scheme)
				tab.Screen(width, scheme)
				if wide := tab.Text(`String(document.documentElement.scrollWidth)`); wide != fmt.Sprint(width) {
					t.Errorf("%s is %s pixels wide on a screen of %d", what, wide, width)
				}
				if got := tab.Text(`getComputedStyle(document.body).backgroundColor`); got != ground {
					t.Errorf("%s has the background %s, want %s", what, got, ground)
				}
				tab.Snap(what)
				if tab.Text(unfold) != "0" {
					tab.Snap(what + "-unfolded")
				}
				for _, broken := range axe.Violations(tab.Tab) {
					t.Errorf("%s: %s", what, broken)
				}
				tab.Text(fold)
			}
		}
		if texts := tab.Complaints(); len(texts) > 0 && name != "lost" {
			t.Errorf("%s: %s", name, strings.Join(texts, "; "))
		}
	}
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
