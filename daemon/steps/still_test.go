package steps

import (
	"image"
	"image/color"
	"image/draw"
	"testing"
	"time"
)

// console80 is a text console of 80 by 25 letters of 9 by 16 pixels.
var console80 = image.Rect(0, 0, 720, 400)

// picture is black with white rectangles.
func picture(bounds image.Rectangle, white ...image.Rectangle) image.Image {
	img := image.NewRGBA(bounds)
	draw.Draw(img, bounds, image.NewUniform(color.Black), image.Point{}, draw.Src)
	for _, r := range white {
		draw.Draw(img, r.Add(bounds.Min), image.NewUniform(color.White), image.Point{}, draw.Src)
	}
	return img
}

// letter is the place of a letter on the console.
func letter(column, row int) image.Rectangle {
	return image.Rect(0, 0, 9, 16).Add(image.Pt(9*column, 16*row))
}

func TestStill(t *testing.T) {
	t.Parallel()
	prompt, cursor := image.Rect(0, 0, 300, 16), image.Rect(0, 14, 9, 16).Add(image.Pt(300, 0))
	plain, blink := picture(console80, prompt), picture(console80, prompt, cursor)
	alike := func(img image.Image, n int) (list []image.Image) {
		for range n {
			list = append(list, img)
		}
		return list
	}
	for name, tc := range map[string]struct {
		pictures []image.Image
		last     int // how many pictures the last one is like
	}{
		"one picture":         {alike(plain, 1), 0},
		"nothing happens":     {alike(plain, 5), 4},
		"a cursor blinks":     {[]image.Image{plain, blink, plain, blink, plain}, 4},
		"it begins to blink":  {[]image.Image{blink, plain, plain}, 2},
		"another mode":        {[]image.Image{plain, picture(image.Rect(0, 0, 640, 480), prompt)}, 0},
		"another origin":      {[]image.Image{plain, picture(console80.Add(image.Pt(7, -3)), prompt)}, 1},
		"gray instead of RGB": {[]image.Image{plain, grayOf(plain)}, 1},
		"one pixel":           {[]image.Image{plain, picture(console80, prompt, image.Rect(719, 399, 720, 400))}, 1},
		"largest cursor":      {[]image.Image{plain, picture(console80, prompt, image.Rect(400, 100, 416, 132))}, 1},
		"too wide for one":    {[]image.Image{plain, picture(console80, prompt, image.Rect(400, 100, 417, 132))}, 0},
		"too high for one":    {[]image.Image{plain, picture(console80, prompt, image.Rect(400, 100, 416, 133))}, 0},
		"two places":          {[]image.Image{plain, picture(console80, prompt, letter(3, 5), letter(70, 20))}, 0},
		"two places in turn":  {[]image.Image{plain, picture(console80, prompt, letter(3, 5)), picture(console80, prompt, letter(70, 20))}, 0},
		"text comes letter by letter": {[]image.Image{
			plain, picture(console80, prompt, letter(0, 3)), picture(console80, prompt, letter(0, 3), letter(1, 3)),
		}, 0},
		"empty pictures": {alike(image.NewRGBA(image.Rectangle{}), 3), 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var view still
			var got time.Duration
			at := time.Unix(0, 0)
			for _, img := range tc.pictures {
				got = view.show(img, at, at.Add(100*time.Millisecond))
				at = at.Add(time.Second)
			}
			want := max(0, time.Duration(tc.last)*time.Second-100*time.Millisecond)
			if got != want {
				t.Errorf("still for %s, want %s", got, want)
			}
		})
	}
}

func grayOf(img image.Image) image.Image {
	gray := image.NewGray(img.Bounds())
	draw.Draw(gray, gray.Rect, img, img.Bounds().Min, draw.Src)
	return gray
}

func TestDifference(t *testing.T) {
	t.Parallel()
	for _, r := range []image.Rectangle{image.Rect(0, 0, 1, 1), image.Rect(719, 399, 720, 400), image.Rect(3, 5, 30, 50), console80} {
		black, white := rgba(picture(console80)), rgba(picture(console80, r))
		if got := difference(black, white); got != r {
			t.Errorf("%v differs, found %v", r, got)
		}
	}
}
