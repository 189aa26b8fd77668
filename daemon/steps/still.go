package steps

import (
	"bytes"
	"image"
	"image/draw"
	"time"
)

// What may blink in a picture that stands still: a text cursor, in the largest of the usual console fonts, in pixels.
const (
	cursorWidth  = 16
	cursorHeight = 32
)

// still tells for how long a machine's pictures have stood still: since no more has changed than what fits into one
// rectangle of a cursor's size. All changes since then are taken together, so that text which appears letter by letter
// is a change, although each letter is small. A letter that turns in place, as a spinner does, is taken for a cursor.
// The zero value has seen nothing.
type still struct {
	first   *image.RGBA // the picture that all later ones are compared with
	since   time.Time
	changed image.Rectangle
}

// show takes the next picture, which was taken between began and ended, and tells for how long it has been the same.
func (s *still) show(img image.Image, began, ended time.Time) time.Duration {
	next := rgba(img)
	if s.first != nil && s.first.Rect == next.Rect {
		s.changed = s.changed.Union(difference(s.first, next))
		if s.changed.Dx() <= cursorWidth && s.changed.Dy() <= cursorHeight {
			return began.Sub(s.since)
		}
	}
	*s = still{first: next, since: ended}
	return 0
}

// rgba copies a picture into the form that is quickly compared, with its corner at the origin.
func rgba(img image.Image) *image.RGBA {
	size := img.Bounds().Size()
	out := image.NewRGBA(image.Rectangle{Max: size})
	draw.Draw(out, out.Rect, img, img.Bounds().Min, draw.Src)
	return out
}

// difference is the smallest rectangle with all pixels that differ. Both pictures have the same size.
func difference(a, b *image.RGBA) image.Rectangle {
	var all image.Rectangle
	for y := range a.Rect.Dy() {
		p, q := a.Pix[y*a.Stride:][:a.Stride], b.Pix[y*b.Stride:][:b.Stride]
		if bytes.Equal(p, q) {
			continue
		}
		left, right := 0, len(p)
		for p[left] == q[left] {
			left++
		}
		for p[right-1] == q[right-1] {
			right--
		}
		all = all.Union(image.Rect(left/4, y, (right+3)/4, y+1))
	}
	return all
}
