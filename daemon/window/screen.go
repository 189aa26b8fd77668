package window

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/png"
	"sync"
	"time"

	"github.com/boxkiln/boxkiln/hypervisor"
)

// Frame is a picture of a machine's screen.
type Frame struct {
	PNG  []byte // not to be changed: all viewers have the same
	At   time.Time
	Live bool // false: the machine is gone, and this is the last picture of it
}

// Source takes pictures of one machine. It is called by one goroutine at a time.
//
// An error that wraps ErrGone ends the loop, and so do those that wrap hypervisor.ErrUnsupported; with any other the loop
// tries again.
type Source func(ctx context.Context) (image.Image, error)

// ErrGone is what a Source returns once its machine has ended.
var ErrGone = errors.New("the machine has ended")

const (
	// frameEvery is the time between two pictures: a few a second, since each costs the hypervisor some milliseconds.
	frameEvery = 300 * time.Millisecond
	// captureLimit bounds one capture: a hypervisor that hangs must not hold a loop for ever.
	captureLimit = 20 * time.Second
	// maxPixels bounds a picture: a guest chooses its resolution.
	maxPixels = 16 << 20
)

// Screens shows screens of machines by name. The zero value is ready.
type Screens struct {
	Every time.Duration    // between two pictures; 0 for 300 ms
	Now   func() time.Time // nil for time.Now

	mu    sync.Mutex
	loops map[string]*loop
}

// loop captures one machine for its viewers.
type loop struct {
	viewers int // guarded by the mutex of Screens
	cancel  context.CancelFunc

	mu    sync.Mutex
	seen  observation
	fresh chan struct{} // closed and replaced by each observation
}

// observation is what a loop knows: the newest frame, and how the last look ended.
type observation struct {
	looks int // counts captures, the failed ones too
	frame Frame
	err   error // of the last look
	ended bool
}

// Watch calls fn with the newest picture of a machine and with each that differs from the one before, until the machine is
// gone (then it returns nil), ctx ends, or fn fails. All viewers of a name share the source of the first.
func (s *Screens) Watch(ctx context.Context, name string, src Source, fn func(Frame) error) error {
	l := s.join(name, src)
	defer s.leave(name, l)
	var told time.Time
	for {
		o, fresh := l.observe()
		if f := o.frame; f.PNG != nil && !f.At.Equal(told) {
			told = f.At
			if err := fn(f); err != nil {
				return err
			}
			continue // there may be a newer one by now
		}
		if o.ended {
			if errors.Is(o.err, ErrGone) {
				return nil
			}
			return o.err
		}
		select {
		case <-fresh:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Look takes one picture, or shares the one that a loop has just taken.
func (s *Screens) Look(ctx context.Context, name string, src Source) (Frame, error) {
	l := s.join(name, src)
	defer s.leave(name, l)
	for {
		o, fresh := l.observe()
		if o.looks > 0 && o.err != nil {
			return Frame{}, o.err
		}
		if o.looks > 0 {
			return o.frame, nil
		}
		select {
		case <-fresh:
		case <-ctx.Done():
			return Frame{}, context.Cause(ctx)
		}
	}
}

// join enters a viewer and starts the loop for the first. A loop that has ended makes room for a new one.
func (s *Screens) join(name string, src Source) *loop {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.loops == nil {
		s.loops = map[string]*loop{}
	}
	l := s.loops[name]
	if l != nil {
		if o, _ := l.observe(); o.ended {
			l = nil
		}
	}
	if l == nil {
		l = &loop{fresh: make(chan struct{})}
		var ctx context.Context
		ctx, l.cancel = context.WithCancel(context.Background())
		s.loops[name] = l
		go l.run(ctx, src, s.clock())
	}
	l.viewers++
	return l
}

func (s *Screens) leave(name string, l *loop) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.viewers--; l.viewers > 0 {
		return
	}
	l.cancel()
	if s.loops[name] == l {
		delete(s.loops, name)
	}
}

// clock tells the time and the pause between two pictures.
type clock struct {
	every time.Duration
	now   func() time.Time
}

func (s *Screens) clock() clock {
	c := clock{s.Every, s.Now}
	if c.every == 0 {
		c.every = frameEvery
	}
	if c.now == nil {
		c.now = time.Now
	}
	return c
}

func (l *loop) observe() (observation, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seen, l.fresh
}

// run looks at the machine until it is gone or nobody looks any more.
func (l *loop) run(ctx context.Context, src Source, c clock) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var last image.Image
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		img, err := capture(ctx, src)
		var picture []byte
		if err == nil && !samePixels(last, img) {
			if picture, err = encode(img); err == nil {
				last = img
			}
		}
		if ctx.Err() != nil || l.tell(picture, c.now(), err) {
			return
		}
		timer.Reset(c.every)
	}
}

// tell publishes how a look ended, and tells whether it was the last.
func (l *loop) tell(picture []byte, at time.Time, err error) (ended bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	o := &l.seen
	o.looks++
	o.err = err
	o.ended = errors.Is(err, ErrGone) || errors.Is(err, hypervisor.ErrUnsupported)
	if picture != nil && !bytes.Equal(picture, o.frame.PNG) {
		if !at.After(o.frame.At) { // viewers tell frames apart by their time
			at = o.frame.At.Add(1)
		}
		o.frame = Frame{PNG: picture, At: at, Live: true}
	}
	close(l.fresh)
	l.fresh = make(chan struct{})
	return o.ended
}

func capture(ctx context.Context, src Source) (image.Image, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, captureLimit, fmt.Errorf("no picture came within %s", captureLimit))
	defer cancel()
	return src(ctx)
}

// encode makes a PNG of a picture. It is quick rather than small: pictures are looked at once.
func encode(img image.Image) ([]byte, error) {
	b := img.Bounds()
	if b.Dx() <= 0 || b.Dy() <= 0 || b.Dx() > maxPixels/b.Dy() {
		return nil, fmt.Errorf("the screen has %d x %d pixels, and up to %d are shown", b.Dx(), b.Dy(), maxPixels)
	}
	var out bytes.Buffer
	err := (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&out, img)
	return out.Bytes(), err
}

// samePixels tells whether two pictures are known to be the same: most are, and encoding costs more than comparing.
func samePixels(a, b image.Image) bool {
	if a == nil || a.Bounds() != b.Bounds() {
		return false
	}
	p, q := pixels(a), pixels(b)
	return p != nil && bytes.Equal(p, q)
}

// pixels are the bytes of the kinds of pictures that drivers make; nil for others.
func pixels(img image.Image) []byte {
	switch img := img.(type) {
	case *image.RGBA:
		return img.Pix
	case *image.NRGBA:
		return img.Pix
	}
	return nil
}
