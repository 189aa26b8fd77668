package web

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/internal/browsertest"
)

// tab shows the pages of a server.
type tab struct {
	*browsertest.Tab
	server *httptest.Server
}

func (b tab) open(path string) { b.Open(b.server.URL + path) }

// openTab shows the pages of a bundle to a browser that holds the session of a token; without a token it is a guest.
func openTab(t *testing.T, b *bundle, token string) tab {
	t.Helper()
	server := serve(t, b)
	shown := tab{browsertest.Open(t, browsertest.Options{Pictures: "web", Prefix: "live-"}), server}
	if token != "" {
		shown.login(b, token)
	}
	return shown
}

// login gives the tab the session of a token.
func (b tab) login(from *bundle, token string) {
	session := from.login(token)
	b.SetCookie(b.server.URL, session.Name, session.Value)
}

// content fails the test for what the browser has against the pages.
func (b tab) content(t *testing.T) {
	t.Helper()
	if texts := b.Complaints(); len(texts) > 0 {
		t.Errorf("the browser complains: %s", strings.Join(texts, "; "))
	}
}

// liveBundle is a build that runs, with a machine to look at.
func liveBundle(t *testing.T) *bundle {
	t.Helper()
	boxes, builds := samples()
	b := setup(t, boxes, builds)
	b.window.show(screenPicture(t, 0))
	b.window.serial = []byte(sampleSerial)
	return b
}

// The page of a build follows what happens: the log, the screen, the serial console, the timeline, and the end.
func TestBuildPageIsLive(t *testing.T) {
	b := liveBundle(t)
	tab := openTab(t, b, "bxk_write")
	tab.open("/builds/b7")
	tab.Until(browsertest.Has("#lines", "Setting up openssh-server"))
	b.builds.tell("b7", say("Pausing"), msg("a line that came <b>later</b>"))
	tab.Until(browsertest.Has("#lines", "a line that came <b>later</b>"))
	tab.Until(`document.querySelectorAll('#lines p').length === 8 && document.querySelector('#lines b') === null`)

	b.builds.tell("b7", build.Event{Kind: build.EventProgress, Text: "debian.iso", Done: 412_000_000, Total: 650_000_000})
	tab.Until(browsertest.Has("#progress", "412 MB of 650 MB"))

	tab.Until(`document.getElementById('screen-said').textContent === 'Live'`)
	first := tab.Text(`document.getElementById('picture').src`)
	tab.Snap("screen-before")
	b.window.show(screenPicture(t, 7))
	tab.Until(fmt.Sprintf(`document.getElementById('picture').src !== %q && document.getElementById('picture').naturalWidth === 720`, first))
	tab.Snap("screen-after")

	tab.Do(chromedp.Focus("#screen-tab"), chromedp.KeyEvent(kb.ArrowRight)) // as with a keyboard
	tab.Until(`document.activeElement.id === 'serial-tab' && document.getElementById('screen-panel').hidden`)
	tab.Until(browsertest.Has("#serial", "Loading additional components 100%"))
	b.window.print("\x1b[31mdebian login:\x1b[0m ")
	tab.Until(`document.getElementById('serial').textContent.endsWith('components 100%\ndebian login: ')`)
	tab.Snap("serial")

	b.builds.alter("b7", func(x *Build) {
		x.Timeline = append(x.Timeline, build.Moment{Kind: build.EventMark, Name: "a new moment", At: noon})
	})
	tab.Until(browsertest.Has("#timeline", "a new moment"))
	b.builds.alter("b7", func(x *Build) { x.State, x.Finished, x.Error, x.Resumable = build.Failed, noon, "it broke", true })
	tab.Until(browsertest.Has("#ended", "it broke") + " && " + browsertest.Has("#head", "Resume"))
	tab.Until(`document.getElementById('keys') === null && document.getElementById('screen').tabIndex === -1`)
	tab.Snap("ended")
	tab.content(t)
}

// A page that nobody looks at holds no connection, and goes on where it was when somebody looks again.
func TestHiddenPageRests(t *testing.T) {
	b := liveBundle(t)
	tab := openTab(t, b, "")
	tab.open("/builds/b7")
	tab.Until(`document.getElementById('screen-said').textContent === 'Live'`)
	hide := func(hidden bool) {
		tab.Do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`Object.defineProperty(document, 'visibilityState', {value: %q, configurable: true});
			document.dispatchEvent(new Event('visibilitychange')); undefined`, map[bool]string{true: "hidden", false: "visible"}[hidden])))
	}
	hide(true)
	for b.site.readers.Load() > 0 { // nothing tells of a connection that ends
		tab.Until("true")
	}
	b.builds.tell("b7", msg("said while nobody looked"))
	b.window.show(screenPicture(t, 3))
	hide(false)
	tab.Until(browsertest.Has("#lines", "said while nobody looked"))
	tab.Until(`document.querySelectorAll('#lines p').length === 7`)
}

// A page whose connections were cut comes back by itself and misses nothing.
func TestPageComesBack(t *testing.T) {
	b := liveBundle(t)
	tab := openTab(t, b, "")
	tab.open("/builds/b7")
	for i := range 3 {
		b.builds.tell("b7", msg(fmt.Sprintf("line %d", i)))
		tab.Until(browsertest.Has("#lines", fmt.Sprintf("line %d", i)))
		tab.server.CloseClientConnections()
		b.builds.tell("b7", msg("while it was cut"))
	}
	b.builds.tell("b7", msg("the last"))
	tab.Until(browsertest.Has("#lines", "the last"))
	tab.Until(`document.querySelectorAll('#lines p').length === 13`)
}

// What is typed on the page reaches the machine, in its order.
func TestTypingOnThePage(t *testing.T) {
	b := liveBundle(t)
	tab := openTab(t, b, "bxk_write")
	tab.open("/builds/b7")
	typed := func(want string) {
		t.Helper()
		b.window.until(t, func() bool { return strings.Join(b.window.typed, "") == want })
		b.window.mu.Lock()
		b.window.typed = nil
		b.window.mu.Unlock()
	}
	tab.Until(`document.getElementById('screen').tabIndex === 0`)
	tab.Do(chromedp.SendKeys("#keys-text", "root"), chromedp.Click(`#keys form button[type="submit"]`))
	typed("root<enter>")
	tab.Until(browsertest.Has("#keys-said", "Sent 11 key events") + ` && document.getElementById('keys-text').value === ''`)
	tab.Do(chromedp.Click(`button[value="<f10>"]`))
	typed("<f10>")
	tab.Do(chromedp.Click("#screen"), chromedp.KeyEvent("ls <a>\r"))
	typed("ls <a><enter>")
	tab.Until(`document.getElementById('screen').classList.contains('typing')`)
	tab.Snap("typing")
	press := func(key string) {
		tab.Do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(
			"document.getElementById('screen').dispatchEvent(new KeyboardEvent('keydown', %s)); undefined", key)))
	}
	press(`{key: 'c', code: 'KeyC', ctrlKey: true}`)
	press(`{key: 'Tab', code: 'Tab', shiftKey: true}`)
	press(`{key: 'F2', code: 'F2', altKey: true}`)
	press(`{key: 'Shift', code: 'ShiftLeft', shiftKey: true}`)
	typed("<leftCtrlOn>c<leftCtrlOff><leftShiftOn><tab><leftShiftOff><leftAltOn><f2><leftAltOff>")
	press(`{key: 'Alt', code: 'AltLeft', ctrlKey: true, altKey: true}`)
	tab.Until(`!document.getElementById('screen').classList.contains('typing')`)
	press(`{key: 'x', code: 'KeyX'}`) // goes nowhere
	press(`{key: 'Enter', code: 'Enter'}`)
	tab.Until(`document.getElementById('screen').classList.contains('typing')`)
	tab.Do(chromedp.Click("#keys-text"))
	tab.Until(`!document.getElementById('screen').classList.contains('typing')`)
	tab.Do(chromedp.SendKeys("#keys-text", "ü"), chromedp.KeyEvent("\r"))
	tab.Until(browsertest.Has("#keys-said", "is on no key"))
	b.tokens.revoke("bxk_write")
	tab.Complaints() // of the refusal
	tab.Do(chromedp.Click(`button[value="<tab>"]`))
	tab.Until(browsertest.Has("#keys-said", "Your session has ended"))
}

// Buttons: log in, answer, cancel, resume, log out.
func TestButtonsOfAPage(t *testing.T) {
	b := liveBundle(t)
	tab := openTab(t, b, "")
	tab.open("/builds/b7")
	b.builds.alter("b7", func(x *Build) { x.Question = &Question{Text: "What now?", Choices: []string{"cleanup", "retry"}} })
	tab.Until(browsertest.Has("#ask", "What now?"))
	tab.Do(chromedp.Click(".visitor a"), chromedp.WaitVisible("#token"))
	tab.Do(chromedp.SendKeys("#token", "bxk_write\r"))
	tab.Until(`location.pathname === '/builds/b7' && document.querySelector('#ask button[value=retry]') !== null`)
	tab.Snap("question")
	tab.Do(chromedp.Click("#ask button[value=retry]"))
	tab.Until(`location.pathname === '/builds/b7' && document.readyState === 'complete' && document.querySelector('#ask section') === null`)
	tab.Do(chromedp.Click("#head summary"), chromedp.WaitVisible("#head .danger"))
	tab.Do(chromedp.Click("#head .danger"))
	tab.Until(browsertest.Has("#head", "canceling"))
	tab.open("/builds")
	tab.Until(`document.querySelector('form[action="/builds/b6/resume"] button') !== null`)
	tab.Do(chromedp.Click(`form[action="/builds/b6/resume"] button`))
	b.builds.until(t, func() bool { return len(b.builds.asked) == 3 })
	if did := strings.Join(b.builds.did(), ", "); did != "answer retry b7 by ada-write, cancel b7 by ada-write, resume b6 by ada-write" {
		t.Errorf("the daemon was asked: %s", did)
	}
	tab.Until(`location.pathname === '/builds' && document.readyState === 'complete'`)
	tab.Do(chromedp.Click(".visitor button"))
	tab.Until(`document.querySelector('.visitor a')?.textContent === 'Log in'`)
	tab.content(t)
}

// The list of builds shows new states by itself.
func TestListIsLive(t *testing.T) {
	b := liveBundle(t)
	tab := openTab(t, b, "")
	tab.open("/builds")
	b.builds.alter("b4", func(x *Build) { x.State = build.Errored })
	tab.Until(browsertest.Has("#builds", "errored"))
}

// Without scripts the page of a build shows all the same.
func TestBuildPageWithoutScripts(t *testing.T) {
	b := liveBundle(t)
	tab := openTab(t, b, "bxk_write")
	tab.WithoutScripts()
	tab.open("/builds/b7")
	tab.Snap("without-scripts")
	for _, selector := range []string{"#picture", "#serial", "#keys-text", "#timeline table", "#lines p"} {
		tab.Do(chromedp.WaitVisible(selector))
	}
	tab.Do(chromedp.SendKeys("#keys-text", "root"), chromedp.Click(`#keys form button[type="submit"]`))
	b.window.until(t, func() bool { return strings.Join(b.window.typed, "") == "root<enter>" })
	tab.content(t)
}
