package web

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/boxkiln/boxkiln/internal/browsertest"
)

// boxOnDisk is a file for a browser to send.
func boxOnDisk(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "some.box")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A box is uploaded from the page, with the script and without, and what is wrong with one is said.
func TestUploadFromThePage(t *testing.T) {
	b := liveBundle(t)
	tab := openTab(t, b, "bxk_write")
	const form, version = "/boxes/ops/debian12/upload", "/boxes/ops/debian12/versions/20261121.1.0"
	submit := func(path string) {
		tab.Do(chromedp.SetUploadFiles("#file", []string{path}), chromedp.Click("#send"))
	}
	tab.open(form + "?version=20261120.1.0")
	submit(boxOnDisk(t, "box"))
	tab.Until(browsertest.Has("#said", "eleased versions never change"))
	tab.Do(chromedp.SetValue("#version", "20261121.1.0"))
	submit(boxOnDisk(t, "no box"))
	tab.Until(browsertest.Has("#said", "metadata.json is missing") + ` && !document.getElementById('send').disabled`)
	tab.Snap("upload-refused")
	tab.Complaints() // of the refusals
	submit(boxOnDisk(t, "box "+strings.Repeat("x", 1<<20)))
	tab.Until(`location.pathname === '` + version + `'`)
	if did := b.boxes.did(); !strings.HasPrefix(did, "upload ops/debian12 20261121.1.0 libvirt/amd64 of 1048580 bytes, 1048580 announced") {
		t.Errorf("the registry was asked to %s", did)
	}
	tab.content(t)

	tab.WithoutScripts()
	tab.open(form + "?version=20261121.1.0")
	submit(boxOnDisk(t, "box"))
	tab.Until(`location.pathname === '` + version + `'`)
	if did := b.boxes.did(); !strings.HasPrefix(did, "upload ops/debian12 20261121.1.0 libvirt/amd64 of 3 bytes, -1 announced") {
		t.Errorf("the registry was asked to %s", did)
	}
	tab.content(t)
}

// What a maker does by clicking, and copying by keyboard.
func TestMakersClick(t *testing.T) {
	b := liveBundle(t)
	tab := openTab(t, b, "bxk_write")
	tab.open(draftPath)
	tab.Do(chromedp.Evaluate[chromedp.Void](`window.before = true; undefined`), chromedp.Click(".steer .inline button"))
	tab.Until(`window.before === undefined && document.readyState === 'complete' && location.pathname === '` + draftPath + `'`)
	tab.open("/boxes/ops/debian12/delete")
	tab.Do(chromedp.SendKeys("#confirm", "debian12\r"))
	tab.Until(browsertest.Has("#problem", "Nothing was deleted"))
	tab.Complaints() // of the refusal
	tab.Do(chromedp.SendKeys("#confirm", "ops/debian12\r"))
	tab.Until(`location.pathname === '/boxes/trash' && document.readyState === 'complete'`)
	tab.open("/boxes/ops/debian12/retention")
	tab.Do(chromedp.SendKeys("#last", "1\r")) // Enter previews
	tab.Until(browsertest.Has("main", "Nothing has been changed yet"))
	tab.Do(chromedp.Click(`button[formmethod=post]`))
	tab.Until(browsertest.Has("main", "As it is now"))
	const want = `release ops/debian12 20261121.1.0 [stable] by ada-write, delete ops/debian12 by ada-write, edit ops/debian12 `
	if did := b.boxes.did(); !strings.HasPrefix(did, want) || !strings.HasSuffix(did, "keep=1/0s by ada-write") {
		t.Errorf("the registry was asked to %s", did)
	}
	tab.open(versionPage)
	tab.Do(chromedp.Click(".digest + .copy-button"))
	tab.Until(`['Copied', 'Marked'].includes(document.querySelector('.digest + .copy-button').textContent)`)
	tab.content(t)
}
