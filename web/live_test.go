package web

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/boxkiln/boxkiln/daemon/build"
)

// patience is how long a page may take to show something: as long as a slow machine needs.
const patience = 3 * time.Minute

// tabOf is a tab of a browser with what the tests ask of it.
type tabOf struct {
	t   *testing.T
	ctx context.Context
	dir string

	server *httptest.Server
}

// until waits for an expression to become true.
func (b tabOf) until(expression string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	for {
		ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool](expression))
		if err != nil {
			b.snap("failed")
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

func (b tabOf) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		b.snap("failed")
		b.t.Fatal(err)
	}
}

func (b tabOf) open(path string) {
	b.t.Helper()
	b.do(chromedp.Navigate(b.server.URL + path))
}

func (b tabOf) snap(name string) {
	b.t.Helper()
	picture, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		b.t.Error(err)
		return
	}
	keep(b.t, b.dir, "live-"+name, picture)
}

// textHas is an expression that is true when the element's text has the words in it.
func textHas(selector, words string) string {
	return fmt.Sprintf("(document.querySelector(%q)?.textContent.includes(%q) ?? false)", selector, words)
}

// openTab shows the pages of a bundle to a browser that holds the session of a token; without a token it is a guest.
func openTab(t *testing.T, b *bundle, token string) (tabOf, *complaints) {
	t.Helper()
	server := serve(t, b)
	tab := browser(t)
	heard := listen(t, tab)
	if token != "" {
		cookie(t, tab, server.URL, b.login(token))
	}
	return tabOf{t: t, ctx: tab, dir: artefacts(t), server: server}, heard
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
	tab, heard := openTab(t, b, "bxk_write")
	tab.open("/builds/b7")
	tab.until(textHas("#lines", "Setting up openssh-server"))
	b.builds.tell("b7", say("Pausing"), msg("a line that came <b>later</b>"))
	tab.until(textHas("#lines", "a line that came <b>later</b>"))
	tab.until(`document.querySelectorAll('#lines p').length === 8 && document.querySelector('#lines b') === null`)

	b.builds.tell("b7", build.Event{Kind: build.EventProgress, Text: "debian.iso", Done: 412_000_000, Total: 650_000_000})
	tab.until(textHas("#progress", "412 MB of 650 MB"))

	tab.until(`document.getElementById('screen-said').textContent === 'Live'`)
	first, err := chromedp.Run(tab.ctx, chromedp.Evaluate[string](`document.getElementById('picture').src`))
	if err != nil {
		t.Fatal(err)
	}
	tab.snap("screen-before")
	b.window.show(screenPicture(t, 7))
	tab.until(fmt.Sprintf(`document.getElementById('picture').src !== %q && document.getElementById('picture').naturalWidth === 720`, first))
	tab.snap("screen-after")

	tab.do(chromedp.Focus("#screen-tab"), chromedp.KeyEvent(kb.ArrowRight)) // as with a keyboard
	tab.until(`document.activeElement.id === 'serial-tab' && document.getElementById('screen-panel').hidden`)
	tab.until(textHas("#serial", "Loading additional components 100%"))
	b.window.print("\x1b[31mdebian login:\x1b[0m ")
	tab.until(`document.getElementById('serial').textContent.endsWith('components 100%\ndebian login: ')`)
	tab.snap("serial")

	b.builds.alter("b7", func(x *Build) {
		x.Timeline = append(x.Timeline, build.Moment{Kind: build.EventMark, Name: "a new moment", At: noon})
	})
	tab.until(textHas("#timeline", "a new moment"))
	b.builds.alter("b7", func(x *Build) { x.State, x.Finished, x.Error, x.Resumable = build.Failed, noon, "it broke", true })
	tab.until(textHas("#ended", "it broke") + " && " + textHas("#head", "Resume"))
	tab.until(`document.getElementById('keys') === null && document.getElementById('screen').tabIndex === -1`)
	tab.snap("ended")
	if texts := heard.take(); len(texts) > 0 {
		t.Errorf("the browser complains: %s", strings.Join(texts, "; "))
	}
}

// A page that nobody looks at holds no connection, and goes on where it was when somebody looks again.
func TestHiddenPageRests(t *testing.T) {
	b := liveBundle(t)
	tab, _ := openTab(t, b, "")
	tab.open("/builds/b7")
	tab.until(`document.getElementById('screen-said').textContent === 'Live'`)
	hide := func(hidden bool) {
		tab.do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`Object.defineProperty(document, 'visibilityState', {value: %q, configurable: true});
			document.dispatchEvent(new Event('visibilitychange')); undefined`, map[bool]string{true: "hidden", false: "visible"}[hidden])))
	}
	hide(true)
	for b.site.readers.Load() > 0 { // nothing tells of a connection that ends
		tab.until("true")
	}
	b.builds.tell("b7", msg("said while nobody looked"))
	b.window.show(screenPicture(t, 3))
	hide(false)
	tab.until(textHas("#lines", "said while nobody looked"))
	tab.until(`document.querySelectorAll('#lines p').length === 7`)
}

// A page whose connections were cut comes back by itself and misses nothing.
func TestPageComesBack(t *testing.T) {
	b := liveBundle(t)
	tab, _ := openTab(t, b, "")
	tab.open("/builds/b7")
	for i := range 3 {
		b.builds.tell("b7", msg(fmt.Sprintf("line %d", i)))
		tab.until(textHas("#lines", fmt.Sprintf("line %d", i)))
		tab.server.CloseClientConnections()
		b.builds.tell("b7", msg("while it was cut"))
	}
	b.builds.tell("b7", msg("the last"))
	tab.until(textHas("#lines", "the last"))
	tab.until(`document.querySelectorAll('#lines p').length === 13`)
}

// What is typed on the page reaches the machine, in its order.
func TestTypingOnThePage(t *testing.T) {
	b := liveBundle(t)
	tab, heard := openTab(t, b, "bxk_write")
	tab.open("/builds/b7")
	typed := func(want string) {
		t.Helper()
		b.window.until(t, func() bool { return strings.Join(b.window.typed, "") == want })
		b.window.mu.Lock()
		b.window.typed = nil
		b.window.mu.Unlock()
	}
	tab.until(`document.getElementById('screen').tabIndex === 0`)
	tab.do(chromedp.SendKeys("#keys-text", "root"), chromedp.Click(`#keys form button[type="submit"]`))
	typed("root<enter>")
	tab.until(textHas("#keys-said", "Sent 11 key events") + ` && document.getElementById('keys-text').value === ''`)
	tab.do(chromedp.Click(`button[value="<f10>"]`))
	typed("<f10>")
	tab.do(chromedp.Click("#screen"), chromedp.KeyEvent("ls <a>\r"))
	typed("ls <a><enter>")
	tab.until(`document.getElementById('screen').classList.contains('typing')`)
	tab.snap("typing")
	press := func(key string) {
		tab.do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(
			"document.getElementById('screen').dispatchEvent(new KeyboardEvent('keydown', %s)); undefined", key)))
	}
	press(`{key: 'c', code: 'KeyC', ctrlKey: true}`)
	press(`{key: 'Tab', code: 'Tab', shiftKey: true}`)
	press(`{key: 'F2', code: 'F2', altKey: true}`)
	press(`{key: 'Shift', code: 'ShiftLeft', shiftKey: true}`)
	typed("<leftCtrlOn>c<leftCtrlOff><leftShiftOn><tab><leftShiftOff><leftAltOn><f2><leftAltOff>")
	press(`{key: 'Alt', code: 'AltLeft', ctrlKey: true, altKey: true}`)
	tab.until(`!document.getElementById('screen').classList.contains('typing')`)
	press(`{key: 'x', code: 'KeyX'}`) // goes nowhere
	press(`{key: 'Enter', code: 'Enter'}`)
	tab.until(`document.getElementById('screen').classList.contains('typing')`)
	tab.do(chromedp.Click("#keys-text"))
	tab.until(`!document.getElementById('screen').classList.contains('typing')`)
	tab.do(chromedp.SendKeys("#keys-text", "ü"), chromedp.KeyEvent("\r"))
	tab.until(textHas("#keys-said", "is on no key"))
	b.tokens.revoke("bxk_write")
	heard.take() // of the refusal
	tab.do(chromedp.Click(`button[value="<tab>"]`))
	tab.until(textHas("#keys-said", "Your session has ended"))
}

// Buttons: log in, answer, cancel, resume, log out.
func TestButtonsOfAPage(t *testing.T) {
	b := liveBundle(t)
	tab, heard := openTab(t, b, "")
	tab.open("/builds/b7")
	b.builds.alter("b7", func(x *Build) { x.Question = &Question{Text: "What now?", Choices: []string{"cleanup", "retry"}} })
	tab.until(textHas("#ask", "What now?"))
	tab.do(chromedp.Click(".visitor a"), chromedp.WaitVisible("#token"))
	tab.do(chromedp.SendKeys("#token", "bxk_write\r"))
	tab.until(`location.pathname === '/builds/b7' && document.querySelector('#ask button[value=retry]') !== null`)
	tab.snap("question")
	tab.do(chromedp.Click("#ask button[value=retry]"))
	tab.until(`location.pathname === '/builds/b7' && document.readyState === 'complete' && document.querySelector('#ask section') === null`)
	tab.do(chromedp.Click("#head summary"), chromedp.WaitVisible("#head .danger"))
	tab.do(chromedp.Click("#head .danger"))
	tab.until(textHas("#head", "canceling"))
	tab.open("/builds")
	tab.until(`document.querySelector('form[action="/builds/b6/resume"] button') !== null`)
	tab.do(chromedp.Click(`form[action="/builds/b6/resume"] button`))
	b.builds.until(t, func() bool { return len(b.builds.asked) == 3 })
	if did := strings.Join(b.builds.did(), ", "); did != "answer retry b7 by ada-write, cancel b7 by ada-write, resume b6 by ada-write" {
		t.Errorf("the daemon was asked: %s", did)
	}
	tab.until(`location.pathname === '/builds' && document.readyState === 'complete'`)
	tab.do(chromedp.Click(".visitor button"))
	tab.until(`document.querySelector('.visitor a')?.textContent === 'Log in'`)
	if texts := heard.take(); len(texts) > 0 {
		t.Errorf("the browser complains: %s", strings.Join(texts, "; "))
	}
}

// The list of builds shows new states by itself.
func TestListIsLive(t *testing.T) {
	b := liveBundle(t)
	tab, _ := openTab(t, b, "")
	tab.open("/builds")
	b.builds.alter("b4", func(x *Build) { x.State = build.Errored })
	tab.until(textHas("#builds", "errored"))
}

// Without scripts the page of a build shows all the same.
func TestBuildPageWithoutScripts(t *testing.T) {
	b := liveBundle(t)
	tab, heard := openTab(t, b, "bxk_write")
	if _, err := chromedp.Call(tab.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
		t.Fatal(err)
	}
	tab.open("/builds/b7")
	tab.snap("without-scripts")
	for _, selector := range []string{"#picture", "#serial", "#keys-text", "#timeline table", "#lines p"} {
		tab.do(chromedp.WaitVisible(selector))
	}
	tab.do(chromedp.SendKeys("#keys-text", "root"), chromedp.Click(`#keys form button[type="submit"]`))
	b.window.until(t, func() bool { return strings.Join(b.window.typed, "") == "root<enter>" })
	if texts := heard.take(); len(texts) > 0 {
		t.Errorf("the browser complains: %s", strings.Join(texts, "; "))
	}
}
