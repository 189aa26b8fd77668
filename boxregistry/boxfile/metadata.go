package boxfile

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
)

// ReadMetadata reads a box as far as its metadata.json, which is mostly its first entry, and judges nothing else. The error
// wraps ErrInvalid when the box is to blame, and otherwise is the reader's or ctx's.
func ReadMetadata(ctx context.Context, r io.Reader, l Limits) (Metadata, error) {
	l = l.withDefaults()
	src := &source{ctx: ctx, r: r}
	m, err := readMetadata(src, l)
	if src.err != nil {
		return m, src.err
	}
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return m, err
}

func readMetadata(src *source, l Limits) (Metadata, error) {
	plain, _, err := decompress(src, l.Window)
	if err != nil {
		return Metadata{}, err
	}
	defer plain.Close()
	m := &meter{r: plain, src: src, limits: l}
	archive := tar.NewReader(m)
	for range l.Entries {
		h, err := archive.Next()
		switch {
		case errors.Is(err, io.EOF):
			return Metadata{}, errNoMetadata
		case err != nil:
			return Metadata{}, m.blame(fmt.Errorf("the archive cannot be read: %w", err))
		case strings.TrimPrefix(h.Name, "./") != MetadataName:
			continue
		case h.Size > l.Metadata:
			return Metadata{}, fmt.Errorf("entry %q is too large: %d bytes, %d are allowed", MetadataName, h.Size, l.Metadata)
		}
		text, err := io.ReadAll(archive)
		if err != nil {
			return Metadata{}, m.blame(err)
		}
		return parseMetadata(text)
	}
	return Metadata{}, errNoMetadata
}

var errNoMetadata = errors.New("there is no metadata.json at its root")
