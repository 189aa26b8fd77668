package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
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
	page.do(chromedp.Evaluate[chromedp.Void](`window.loadedOnce = true; undefined`))
	page.until(longest, has("#lines", "Waiting for SSH"))
	page.until(patience, `document.getElementById('screen-said').textContent === 'Live' && document.getElementById('picture').naturalWidth > 0`)
	page.snap("window-prompt")
	prompt := page.screen()
	progress(t, "the page shows the prompt")

	k.typeBootLine(page, id)
	page.until(longest, has("#lines", "GET /preseed.cfg: 200")+" && "+has("#timeline", "GET /preseed.cfg"))
	page.until(patience, `window.loadedOnce === true`)
	if page.screen() == prompt {
		t.Error("the installer runs, and the picture on the page is still that of the prompt")
	}
	page.snap("window-installer")
	watch.await("seed: GET /preseed.cfg: 200", longest)
	progress(t, "what was typed has started the installer")

	page.do(chromedp.Click("#head summary"), chromedp.WaitVisible("#head .danger"))
	page.do(chromedp.Click("#head .danger"))
	page.until(longest, `document.getElementById('head')?.dataset.state === 'canceled'`)
	page.snap("window-canceled")
	for _, end := range []*program{p, watch} {
		if code := end.wait(); code != 1 {
			t.Errorf("exit status %d:\n%s", code, end.out.text())
		}
	}
	k.leftovers()
}

// login opens a page with the session of a token that may write.
func (b tab) login(k *kiln, path string) {
	b.t.Helper()
	out := k.verb("token", "create", "--scope", "write", "browser")
	i := strings.Index(out, "bxk_")
	if i < 0 {
		b.t.Fatalf("no token in %q", out)
	}
	b.do(chromedp.Navigate(k.url + path))
	b.until(patience, has("#head", "typed")) // everybody may look
	b.do(chromedp.Click(".visitor a"), chromedp.WaitVisible("#token"))
	b.do(chromedp.SendKeys("#token", strings.TrimSpace(out[i:])+"\r"))
	b.until(patience, fmt.Sprintf(`location.pathname === %q && document.getElementById('keys-text') !== null && document.getElementById('screen').tabIndex === 0`, path))
}

// typeBootLine types what starts the installer.
func (k *kiln) typeBootLine(page tab, id string) {
	k.t.Helper()
	port := page.text(`document.getElementById('lines').textContent.match(/Starting HTTP server on port (\d+)/)[1]`)
	k.verb("keys", id, "install auto=true ")
	page.do(chromedp.Click("#screen"), chromedp.KeyEvent("priority=critical url=http://10.0.2.2:"+port))
	page.until(patience, has("#keys-said", "Sent"))
	const rest = "/preseed.cfg ---" // goes behind what the page has not sent yet
	page.snap("window-typing")
	page.do(chromedp.SendKeys("#keys-text", rest), chromedp.Click(`#keys form button[type="submit"]`))
}
