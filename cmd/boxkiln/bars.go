package main

import (
	"os"
	"sync"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/boxkiln/boxkiln/daemon/build"
)

// bars shows live progress below the log, on a terminal. Lines written to it appear above.
type bars struct {
	all *mpb.Progress
	mu  sync.Mutex
	one map[string]*mpb.Bar // by build and title
}

func newBars(terminal *os.File) *bars {
	return &bars{all: mpb.New(mpb.WithOutput(terminal), mpb.WithWidth(64)), one: map[string]*mpb.Bar{}}
}

// Write prints above the bars.
func (b *bars) Write(p []byte) (int, error) { return b.all.Write(p) }

// progress moves the bar of an event, or makes it. A bar that is full goes away.
func (b *bars) progress(e build.Event) {
	if e.Total <= 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	key := e.Label + "\x00" + e.Text
	bar := b.one[key]
	if bar == nil {
		bar = b.all.AddBar(e.Total, mpb.BarRemoveOnComplete(),
			mpb.PrependDecorators(decor.Name("    "+e.Label+": "+e.Text+" ")),
			mpb.AppendDecorators(decor.CountersKibiByte("% .1f / % .1f"), decor.Name(" "), decor.AverageSpeed(decor.SizeB1024(0), "% .1f")))
		b.one[key] = bar
	}
	bar.SetCurrent(e.Done)
	if e.Done >= e.Total {
		delete(b.one, key)
	}
}

// close removes what is left and waits until the terminal is in order.
func (b *bars) close() {
	b.mu.Lock()
	for _, bar := range b.one {
		bar.Abort(true)
	}
	b.mu.Unlock()
	b.all.Wait()
}
