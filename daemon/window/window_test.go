package window

import (
	"context"
	"errors"
	"image"
	"image/color"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// monitor is a screen whose picture is set by a test.
type monitor struct {
	mu    sync.Mutex
	img   image.Image
	err   error
	looks int
	more  *sync.Cond // looks has grown
	busy  atomic.Int64
}

func newMonitor(img image.Image, err error) *monitor {
	m := &monitor{img: img, err: err}
	m.more = sync.NewCond(&m.mu)
	return m
}

func shade(v uint8) image.Image {
	img := image.NewRGBA(image.Rect(0, 0, 4, 4))
	for i := range 16 {
		img.Set(i%4, i/4, color.Gray{v})
	}
	return img
}

func (m *monitor) show(img image.Image, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.img, m.err = img, err
}

func (m *monitor) capture(context.Context) (image.Image, error) {
	if m.busy.Add(1) > 1 {
		panic("two captures at once")
	}
	defer m.busy.Add(-1)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.looks++
	m.more.Broadcast()
	return m.img, m.err
}

// looked returns when the monitor was looked at n times more.
func (m *monitor) looked(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for want := m.looks + n; m.looks < want; {
		m.more.Wait()
	}
}

func newScreens() *Screens { return &Screens{Every: time.Millisecond} }

// All viewers see each new picture, by one loop, and the end.
func TestManyViewers(t *testing.T) {
	t.Parallel()
	s, m := newScreens(), newMonitor(shade(1), nil)
	const viewers = 20
	frames := make([]chan Frame, viewers)
	var all sync.WaitGroup
	for i := range frames {
		frames[i] = make(chan Frame)
		all.Go(func() {
			defer close(frames[i])
			if err := s.Watch(t.Context(), "m", m.capture, func(f Frame) error { frames[i] <- f; return nil }); err != nil {
				t.Error(err)
			}
		})
	}
	for v := uint8(1); v < 5; v++ {
		m.show(shade(v), nil)
		var png string
		for i := range frames {
			f := <-frames[i]
			if png == "" {
				png = string(f.PNG)
			}
			if string(f.PNG) != png || !f.Live {
				t.Errorf("viewer %d sees another picture", i)
			}
		}
	}
	m.show(nil, ErrGone)
	for i := range frames {
		if f, more := <-frames[i]; more {
			t.Errorf("viewer %d sees %v", i, f.At)
		}
	}
	all.Wait()
	if len(s.loops) != 0 {
		t.Error("a loop is left")
	}
}

// A viewer that is slow misses pictures and sees the newest.
func TestSlowViewer(t *testing.T) {
	t.Parallel()
	s, m := newScreens(), newMonitor(shade(0), nil)
	enough := errors.New("enough")
	var seen []string
	err := s.Watch(t.Context(), "m", m.capture, func(f Frame) error {
		seen = append(seen, string(f.PNG))
		if len(seen) == 2 {
			return enough
		}
		for v := uint8(1); v < 10; v++ {
			m.show(shade(v), nil)
			m.looked(2)
		}
		return nil
	})
	newest, encodeErr := encode(shade(9))
	if !errors.Is(err, enough) || encodeErr != nil || seen[1] != string(newest) {
		t.Errorf("%v, %v: the second picture is not the newest", err, encodeErr)
	}
}

// A picture that does not change is told once, and one that cannot be taken for a moment ends nothing.
func TestStillPictureAndHiccups(t *testing.T) {
	t.Parallel()
	s, m := newScreens(), newMonitor(nil, errors.New("the hypervisor is busy"))
	ctx, cancel := context.WithCancelCause(t.Context())
	left := errors.New("left")
	told := 0
	go func() {
		m.looked(3)
		m.show(shade(1), nil)
		m.looked(5)
		m.show(image.NewGray(image.Rect(0, 0, 5000, 5000)), nil) // more than is shown
		m.looked(3)
		m.show(shade(1), nil)
		m.looked(3)
		cancel(left)
	}()
	err := s.Watch(ctx, "m", m.capture, func(Frame) error { told++; return nil })
	if told != 1 || !errors.Is(err, left) {
		t.Errorf("told %d times, %v", told, err)
	}
}

func TestLook(t *testing.T) {
	t.Parallel()
	s := newScreens()
	want, err := encode(shade(7))
	if err != nil {
		t.Fatal(err)
	}
	if f, err := s.Look(t.Context(), "m", newMonitor(shade(7), nil).capture); err != nil || string(f.PNG) != string(want) {
		t.Errorf("%v", err)
	}
	for _, wrong := range []error{ErrGone, hypervisor.ErrUnsupported, errors.New("broken")} {
		if _, err := s.Look(t.Context(), "m", newMonitor(nil, wrong).capture); !errors.Is(err, wrong) {
			t.Error(err)
		}
	}
	if err := s.Watch(t.Context(), "m", newMonitor(nil, hypervisor.ErrUnsupported).capture, nil); !errors.Is(err, hypervisor.ErrUnsupported) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(ErrGone)
	hung := func(ctx context.Context) (image.Image, error) { <-ctx.Done(); return nil, ctx.Err() }
	if _, err := s.Look(ctx, "m", hung); !errors.Is(err, ErrGone) {
		t.Error(err)
	}
}

func TestTooLarge(t *testing.T) {
	t.Parallel()
	for _, size := range []image.Point{{0, 0}, {maxPixels + 1, 1}, {1 << 30, 1 << 30}, {5000, 5000}} {
		if _, err := encode(huge(size)); err == nil {
			t.Errorf("a picture of %v was encoded", size)
		}
	}
}

// huge is a picture that claims a size.
type huge image.Point

func (h huge) ColorModel() color.Model { return color.GrayModel }
func (h huge) Bounds() image.Rectangle { return image.Rectangle{Max: image.Point(h)} }
func (h huge) At(int, int) color.Color { panic("nobody may look") }
