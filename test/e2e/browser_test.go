package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// patience is how long a page may take to show what has happened already.
const patience = 5 * time.Minute

// tab is a tab of a headless chromium.
type tab struct {
	t   *testing.T
	ctx context.Context
}

// openTab starts a browser of its own.
func openTab(t *testing.T) tab {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal(err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox,
		chromedp.UserDataDir(t.TempDir()), chromedp.Flag("disable-gpu", true), chromedp.WSURLReadTimeout(patience), chromedp.WindowSize(1440, 1400))
	ctx, cancel := context.WithTimeout(t.Context(), longest)
	t.Cleanup(cancel)
	allocated, cancel := chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(allocated)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil { // the browser ends with the context that starts it
		t.Fatal(err)
	}
	return tab{t, ctx}
}

// until waits for an expression to become true.
func (b tab) until(limit time.Duration, expression string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, limit)
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
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

func (b tab) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		b.snap("failed")
		b.t.Fatal(err)
	}
}

// text is what an expression evaluates to.
func (b tab) text(expression string) string {
	b.t.Helper()
	text, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](expression))
	if err != nil {
		b.t.Fatal(err)
	}
	return text
}

// snap keeps what the tab shows, in $BOXKILN_ARTEFACTS/e2e.
func (b tab) snap(name string) {
	b.t.Helper()
	picture, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err == nil {
		dir := filepath.Join(fromEnv(b.t, envArtefacts, "build/artefacts"), "e2e")
		if err = os.MkdirAll(dir, 0o755); err == nil {
			err = os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o644)
		}
	}
	if err != nil {
		b.t.Error(err)
	}
}

// screen is the picture of the machine as the page shows it, drawn again: 720x400 or so pixels as a PNG in base 64.
func (b tab) screen() string {
	b.t.Helper()
	return b.text(`(() => {
		const img = document.getElementById('picture'), canvas = document.createElement('canvas')
		canvas.width = img.naturalWidth, canvas.height = img.naturalHeight
		canvas.getContext('2d').drawImage(img, 0, 0)
		return canvas.toDataURL()
	})()`)
}

// has is an expression that is true when an element's text has the words in it.
func has(selector, words string) string {
	return fmt.Sprintf("(document.querySelector(%q)?.textContent.includes(%q) ?? false)", selector, words)
}
