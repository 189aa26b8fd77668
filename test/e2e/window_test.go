package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/boxkiln/boxkiln/internal/browsertest"
)

// typedTemplate has a boot command that types nothing: it only waits for the prompt. Its installer, then, starts only if
// somebody types. The CD, the folder with the seed, the output folder.
const typedTemplate = `source "qemu" "typed" {
  iso_url          = "%[1]s"
  iso_checksum     = "file:%[1]s.sha256"
  accelerator      = "tcg"
  cpus             = 2
  memory           = 1024
  disk_size        = "4G"
  http_directory   = "%[2]s"
  boot_wait        = "3s"
  boot_command     = ["<waitScreen>"]
  ssh_username     = "vagrant"
  ssh_password     = "vagrant"
  ssh_timeout      = "1h"
  output_directory = "%[3]s"
}

build {
  sources = ["source.qemu.typed"]
}
`

// TestWindow follows a real installation on the build's page and takes part in it: what starts the installer is typed with
// boxkiln keys, into the picture and into the form below it, a part each.
func TestWindow(t *testing.T) {
	need(t, "chromium")
	k := newKiln(t)
	template := k.write("typed.pkr.hcl", []byte(fmt.Sprintf(typedTemplate, installer(t), absolute(t, filepath.Join(root, "examples/debian12/http")), k.path("typed"))))
	p := k.build(template)
	p.await("Creating the machine", longest)
	id := k.newest()
	watch := launch(t, longest, []string{"BOXKILN_DATA=" + k.data}, command(t), "watch", "-color=false", id)

	page := openTab(t)
	page.login(k, "/builds/"+id)
	page.Do(chromedp.Evaluate[chromedp.Void](`window.loadedOnce = true; undefined`))
	page.UntilWithin(longest, browsertest.Has("#lines", "Waiting for SSH"))
	page.UntilWithin(patience, `document.getElementById('screen-said').textContent === 'Live' && document.getElementById('picture').naturalWidth > 0`)
	page.Snap("window-prompt")
	prompt := page.screen()
	progress(t, "the page shows the prompt")

	k.typeBootLine(page, id)
	page.UntilWithin(longest, browsertest.Has("#lines", "GET /preseed.cfg: 200")+" && "+browsertest.Has("#timeline", "GET /preseed.cfg"))
	page.UntilWithin(patience, `window.loadedOnce === true`)
	if page.screen() == prompt {
		t.Error("the installer runs, and the picture on the page is still that of the prompt")
	}
	page.Snap("window-installer")
	watch.await("seed: GET /preseed.cfg: 200", longest)
	progress(t, "what was typed has started the installer")

	page.Do(chromedp.Click("#head summary"), chromedp.WaitVisible("#head .danger"))
	page.Do(chromedp.Click("#head .danger"))
	page.UntilWithin(longest, `document.getElementById('head')?.dataset.state === 'canceled'`)
	page.Snap("window-canceled")
	for _, end := range []*program{p, watch} {
		if code := end.wait(); code != 1 {
			t.Errorf("exit status %d:\n%s", code, end.out.text())
		}
	}
	k.leftovers()
}

// login opens a page with the session of a token that may write.
func (b tab) login(k *kiln, path string) {
	k.t.Helper()
	out := k.verb("token", "create", "--scope", "write", "browser")
	i := strings.Index(out, "bxk_")
	if i < 0 {
		k.t.Fatalf("no token in %q", out)
	}
	b.Do(chromedp.Navigate(k.url + path))
	b.UntilWithin(patience, browsertest.Has("#head", "typed")) // everybody may look
	b.Do(chromedp.Click(".visitor a"), chromedp.WaitVisible("#token"))
	b.Do(chromedp.SendKeys("#token", strings.TrimSpace(out[i:])+"\r"))
	b.UntilWithin(patience, fmt.Sprintf(`location.pathname === %q && document.getElementById('keys-text') !== null && document.getElementById('screen').tabIndex === 0`, path))
}

// typeBootLine types what starts the installer.
func (k *kiln) typeBootLine(page tab, id string) {
	k.t.Helper()
	port := page.Text(`document.getElementById('lines').textContent.match(/Starting HTTP server on port (\d+)/)[1]`)
	k.verb("keys", id, "install auto=true ")
	page.Do(chromedp.Click("#screen"), chromedp.KeyEvent("priority=critical url=http://10.0.2.2:"+port))
	page.UntilWithin(patience, browsertest.Has("#keys-said", "Sent"))
	const rest = "/preseed.cfg ---" // goes behind what the page has not sent yet
	page.Snap("window-typing")
	page.Do(chromedp.SendKeys("#keys-text", rest), chromedp.Click(`#keys form button[type="submit"]`))
}
