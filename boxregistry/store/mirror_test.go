package store

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/blob"
)

func TestMirroredThings(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := name("org/box")
	if _, err := b.MirroredCatalog(t.Context(), n); !errors.Is(err, boxregistry.ErrNotFound) {
		t.Errorf("an unknown catalog: %v", err)
	}
	for _, body := range []string{`{"versions":[]}`, `{"versions":[1]}`} {
		at := time.Unix(1_800_000_000, 0).UTC()
		before := b.Revision()
		if err := b.KeepMirroredCatalog(t.Context(), boxregistry.MirroredCatalog{Box: n, Body: []byte(body), Fetched: at}); err != nil {
			t.Fatal(err)
		}
		got, err := b.MirroredCatalog(t.Context(), n)
		if err != nil || string(got.Body) != body || !got.Fetched.Equal(at) || b.Revision() == before {
			t.Errorf("%+v, %v", got, err)
		}
	}
	f := boxregistry.MirroredFile{Box: n, Version: version("1.0"), Provider: "libvirt", Architecture: "amd64", Source: "md5:x", Digest: blob.Digest(strings.Repeat("a", 64)), Size: 4}
	if err := b.KeepMirroredFile(t.Context(), f); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("bytes that are not stored: %v", err)
	}
	for _, content := range []string{"old", "new!"} {
		info, err := blob.Copy(t.Context(), b.blobs, strings.NewReader(content), "")
		if err != nil {
			t.Fatal(err)
		}
		f.Digest, f.Size = info.Digest, info.Size
		if err := b.KeepMirroredFile(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	list, err := b.MirroredFiles(t.Context(), n)
	if err != nil || len(list) != 1 || list[0].Digest != f.Digest || list[0].Version.String() != "1.0" || list[0].Source != "md5:x" {
		t.Errorf("%+v, %v", list, err)
	}
	if freed, err := b.Collect(t.Context(), -365*24*time.Hour); err != nil || freed != 3 {
		t.Errorf("collected %d bytes, %v; want those of the old file alone", freed, err)
	}
	if _, err := b.blobs.Stat(t.Context(), f.Digest); err != nil {
		t.Errorf("the mirrored file is gone: %v", err)
	}
}
