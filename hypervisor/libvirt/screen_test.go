//go:build !nolibvirt

package libvirt

import (
	"bytes"
	"image"
	"image/png"
	"testing"
)

// A guest that sets a huge resolution gets no memory for it.
func TestDecodeScreen(t *testing.T) {
	t.Parallel()
	for side, taken := range map[int]bool{64: true, 4096: true, 5000: false} {
		var data bytes.Buffer
		if err := png.Encode(&data, image.NewGray(image.Rect(0, 0, side, side))); err != nil {
			t.Fatal(err)
		}
		if img, err := decodeScreen("image/png", data.Bytes()); (err == nil) != taken || (taken && img.Bounds().Dx() != side) {
			t.Errorf("%d x %d: %v", side, side, err)
		}
	}
	for mime, data := range map[string]string{"image/png": "no picture", "image/x-portable-pixmap": "P6\n5000 5000\n255\n", "text/plain": "x"} {
		if _, err := decodeScreen(mime, []byte(data)); err == nil {
			t.Errorf("%s was taken for a picture", mime)
		}
	}
}
