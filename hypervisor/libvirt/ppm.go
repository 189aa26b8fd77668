package libvirt

import (
	"bufio"
	"fmt"
	"image"
	"io"
)

// maxPixels bounds a picture: the guest chooses its resolution, and a pixel takes four bytes of this process.
const maxPixels = 16 << 20

// tooLarge tells whether a picture has more pixels than are looked at.
func tooLarge(width, height int) bool { return height > 0 && width > maxPixels/height }

// decodePPM reads a binary portable pixmap with 8 bits a colour (netpbm's ppm(5)), which is what QEMU writes.
func decodePPM(r io.Reader) (image.Image, error) {
	in := bufio.NewReader(r)
	var magic string
	var width, height, depth int
	if _, err := fmt.Fscan(in, &magic, &width, &height, &depth); err != nil {
		return nil, fmt.Errorf("the head of the PPM picture cannot be read: %w", err)
	}
	if magic != "P6" || depth != 255 || width < 1 || height < 1 || tooLarge(width, height) {
		return nil, fmt.Errorf("a PPM picture of type %q, %d x %d with depth %d cannot be read", magic, width, height, depth)
	}
	if _, err := in.ReadByte(); err != nil { // the one blank after the head
		return nil, err
	}
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	row := make([]byte, 3*width)
	for y := range height {
		if _, err := io.ReadFull(in, row); err != nil {
			return nil, fmt.Errorf("row %d of the PPM picture is missing: %w", y, err)
		}
		out := img.Pix[y*img.Stride:]
		for x := range width {
			copy(out[4*x:], row[3*x:3*x+3])
			out[4*x+3] = 0xff
		}
	}
	return img, nil
}
