package browsertest

import (
	"fmt"
	"sync"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
)

// complaints collects what the browser has against a page: violations of the policy, missing files, broken markup, and
// what scripts did not catch.
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

// Complaints takes what the browser has complained of since the last call.
func (b *Tab) Complaints() []string {
	b.heard.mu.Lock()
	defer b.heard.mu.Unlock()
	texts := b.heard.texts
	b.heard.texts = nil
	return texts
}
