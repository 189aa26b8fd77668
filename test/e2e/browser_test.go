package e2e

import (
	"os"
	"testing"

	"github.com/boxkiln/boxkiln/internal/browsertest"
)

// patience is how long a page may take to show what has happened already.
const patience = browsertest.Patience

// tab is a tab of a headless chromium.
type tab struct{ *browsertest.Tab }

// openTab starts a browser of its own, which keeps its pictures in $BOXKILN_ARTEFACTS/e2e.
func openTab(t *testing.T) tab {
	t.Helper()
	if os.Getenv(envArtefacts) == "" {
		t.Setenv(envArtefacts, fromEnv(t, envArtefacts, "build/artefacts"))
	}
	return tab{browsertest.Open(t, browsertest.Options{Pictures: "e2e", Limit: longest})}
}

// screen is the picture of the machine as the page shows it, drawn again: 720x400 or so pixels as a PNG in base 64.
func (b tab) screen() string {
	return b.Text(`(() => {
		const img = document.getElementById('picture'), canvas = document.createElement('canvas')
		canvas.width = img.naturalWidth, canvas.height = img.naturalHeight
		canvas.getContext('2d').drawImage(img, 0, 0)
		return canvas.toDataURL()
	})()`)
}
