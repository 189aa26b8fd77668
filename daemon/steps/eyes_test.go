package steps

import (
	"context"
	"errors"
	"fmt"
	"image"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boxkiln/boxkiln/hypervisor"
)

// film is a screen that shows one picture after the other, each until its time since power-on, and the last for ever. A
// scene without a picture is an error.
type film struct {
	began  time.Time
	scenes []scene
}

type scene struct {
	until time.Duration
	img   image.Image
	err   error
}

func (f *film) Capture(context.Context) (image.Image, error) {
	for _, s := range f.scenes {
		if time.Since(f.began) < s.until {
			return s.img, s.err
		}
	}
	last := f.scenes[len(f.scenes)-1]
	return last.img, last.err
}

func TestEyesWaitUntilThePictureStandsStill(t *testing.T) {
	t.Parallel()
	black, menu := picture(console80), picture(console80, image.Rect(100, 100, 600, 300))
	noMode := errors.New("no picture in this mode")
	var scrolling []scene
	for i := range 40 {
		scrolling = append(scrolling, scene{until: time.Duration(i+1) * 100 * time.Millisecond, img: picture(console80, letter(i, i%25), letter(79, 0))})
	}
	for name, tc := range map[string]struct {
		scenes []scene
		limit  time.Duration
		took   time.Duration
		fails  error
	}{
		"at once":              {[]scene{{img: menu}}, time.Hour, time.Second, nil},
		"after it changed":     {[]scene{{until: 900 * time.Millisecond, img: black}, {img: menu}}, time.Hour, 2 * time.Second, nil},
		"after text scrolled":  {append(scrolling, scene{img: menu}), time.Hour, 5 * time.Second, nil},
		"after a mode changed": {[]scene{{until: 700 * time.Millisecond, img: black}, {until: 3 * time.Second, err: noMode}, {img: black}}, time.Hour, 4 * time.Second, nil},
		"never":                {[]scene{{err: noMode}}, 10 * time.Second, 10 * time.Second, noMode},
		"not at all":           {[]scene{{err: fmt.Errorf("capture: %w", hypervisor.ErrUnsupported)}}, time.Hour, 0, hypervisor.ErrUnsupported},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				late := errors.New("too late")
				ctx, cancel := context.WithTimeoutCause(t.Context(), tc.limit, late)
				defer cancel()
				began := time.Now()
				err := eyes{screen: &film{began, tc.scenes}}.Still(ctx, time.Second)
				if !errors.Is(err, tc.fails) || (err == nil) != (tc.fails == nil) {
					t.Errorf("%v, want %v", err, tc.fails)
				}
				if name == "never" && (!errors.Is(err, late) || !strings.Contains(err.Error(), "the last picture could not be taken")) {
					t.Errorf("%v does not say that time ran out", err)
				}
				// A look is late by a glance at most.
				if took := time.Since(began); took < tc.took || took > tc.took+glance {
					t.Errorf("took %s, want %s", took, tc.took)
				}
			})
		})
	}
}
