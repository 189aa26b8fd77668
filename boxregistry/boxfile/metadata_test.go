package boxfile

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/iotest"
)

func TestReadMetadata(t *testing.T) {
	t.Parallel()
	meta := file(MetadataName, `{"provider":"parallels","architecture":"arm64"}`)
	for what, box := range map[string][]byte{
		"first":   archive(t, meta, file("disk", "x")),
		"last":    gz(t, archive(t, file("disk", "x"), meta)),
		"dotted":  archive(t, file("./"+MetadataName, meta.body)),
		"cut off": archive(t, meta, file("disk", string(make([]byte, 10_000))))[:2048],
	} {
		m, err := ReadMetadata(t.Context(), bytes.NewReader(box), Limits{})
		if err != nil || m.Provider != "parallels" || m.Architecture != "arm64" {
			t.Errorf("%s: %+v, %v", what, m, err)
		}
	}
	for what, box := range map[string][]byte{
		"none":   archive(t, file("disk", "x")),
		"large":  archive(t, file(MetadataName, string(make([]byte, 2<<20)))),
		"no box": []byte("hello"),
		"wrong":  archive(t, file(MetadataName, "{")),
	} {
		if _, err := ReadMetadata(t.Context(), bytes.NewReader(box), Limits{}); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
	broken := errors.New("disk error")
	if _, err := ReadMetadata(t.Context(), iotest.ErrReader(broken), Limits{}); !errors.Is(err, broken) || errors.Is(err, ErrInvalid) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := ReadMetadata(ctx, bytes.NewReader(nil), Limits{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
