package upload

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/blob"
	"github.com/boxkiln/boxkiln/boxregistry/boxfile"
)

// unknown is the publication of bytes whose digest nobody knows yet.
func unknown() boxregistry.Publication {
	p := into(nil)
	p.File.Digest, p.File.Size = "", 0
	return p
}

func TestUpload(t *testing.T) {
	t.Parallel()
	d := newDock(t, nil)
	first, second := amd64(t, 1, 1<<20), amd64(t, 2, 100_000)
	p := unknown()
	p.File.Declared = boxregistry.Checksum{Type: "sha256", Hex: string(sum(first))}
	d.must(d.Check(t.Context(), p))
	f, err := d.Upload(t.Context(), p, int64(len(first)), bytes.NewReader(first))
	d.must(err)
	if f.Digest != sum(first) || f.Published.IsZero() || !f.Default {
		t.Errorf("%+v", f)
	}
	if c, err := d.registry.Contents(t.Context(), f.Digest); err != nil || c.Vagrantfile != "# hello" {
		t.Errorf("its contents: %+v, %v", c, err)
	}
	if err := d.Check(t.Context(), unknown()); !errors.Is(err, boxregistry.ErrExists) {
		t.Errorf("another file in its place: %v", err)
	}
	p = unknown()
	p.Replace = true
	f, err = d.Upload(t.Context(), p, -1, bytes.NewReader(second))
	if err != nil || f.Digest != sum(second) {
		t.Errorf("in its place: %+v, %v", f, err)
	}
	d.must(d.registry.Release(t.Context(), name("ops/deb"), version("1.0")))
	if _, err := d.Upload(t.Context(), p, -1, bytes.NewReader(first)); !errors.Is(err, boxregistry.ErrImmutable) {
		t.Errorf("into a released version: %v", err)
	}
}

// What is refused leaves neither bytes nor a version.
func TestUploadRefuses(t *testing.T) {
	t.Parallel()
	good := amd64(t, 1, 100_000)
	wrong := unknown()
	wrong.File.Declared = boxregistry.Checksum{Type: "sha256", Hex: string(sum(nil))}
	elsewhere := unknown()
	elsewhere.File.Provider = "virtualbox"
	for what, c := range map[string]struct {
		p    boxregistry.Publication
		body io.Reader
		size int64
		want error
	}{
		"no box":              {unknown(), bytes.NewReader([]byte("zip")), -1, boxfile.ErrInvalid},
		"other bytes":         {wrong, bytes.NewReader(good), -1, boxregistry.ErrChecksum},
		"other provider":      {elsewhere, bytes.NewReader(good), -1, boxfile.ErrInvalid},
		"a broken stream":     {unknown(), cut(good[:50_000]), -1, errBroken},
		"too large":           {unknown(), bytes.NewReader(good), 1 << 30, boxregistry.ErrTooLarge},
		"larger than it said": {unknown(), bytes.NewReader(amd64(t, 3, 2<<20)), -1, boxregistry.ErrTooLarge},
		"no room":             {unknown(), bytes.NewReader(good), 500_000, blob.ErrNoSpace},
	} {
		d := newDock(t, func(c *Config) {
			c.Limits.Size = 1 << 20
			c.Free = func() (int64, error) { return margin + 400_000, nil }
		})
		if _, err := d.Upload(t.Context(), c.p, c.size, c.body); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", what, err)
		}
		d.clean()
		if len(d.files()) > 0 {
			t.Errorf("%s left a file", what)
		}
	}
	d := newDock(t, nil)
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("gone")
	cancel(gone)
	if _, err := d.Upload(ctx, unknown(), -1, bytes.NewReader(good)); !errors.Is(err, gone) && !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	d.clean()
}

// One place takes one upload at a time.
func TestUploadIsBusy(t *testing.T) {
	t.Parallel()
	d := newDock(t, nil)
	data := amd64(t, 1, 100_000)
	reader, writer := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		_, err := d.Upload(t.Context(), unknown(), -1, reader)
		ended <- err
	}()
	if _, err := writer.Write(data[:1000]); err != nil { // it has begun to read
		t.Fatal(err)
	}
	if _, err := d.Upload(t.Context(), unknown(), -1, bytes.NewReader(data)); !errors.Is(err, boxregistry.ErrBusy) {
		t.Errorf("a second upload: %v", err)
	}
	if _, err := writer.Write(data[1000:]); err != nil {
		t.Fatal(err)
	}
	d.must(writer.Close())
	d.must(<-ended)
	d.clean(sum(data))
}
