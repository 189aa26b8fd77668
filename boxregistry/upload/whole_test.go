package upload

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/blob"
	"github.com/boxkiln/boxkiln/boxregistry/blob/mem"
	"github.com/boxkiln/boxkiln/boxregistry/boxfile"
)

func TestPut(t *testing.T) {
	t.Parallel()
	d := newDock(t, nil)
	data := amd64(t, 1, 3<<20)
	digest := sha1.Sum(data)
	declared := slotFile()
	declared.Declared = boxregistry.Checksum{Type: "sha1", Hex: strings.ToUpper(hex.EncodeToString(digest[:]))}
	secret := d.declare(declared)
	again, err := d.Begin(t.Context(), name("ops/deb"), version("1.0"), provider, "amd64")
	if err != nil || again != secret || len(secret) != 43 {
		t.Errorf("the same place has the secrets %q and %q, %v", secret, again, err)
	}
	if done, err := d.Done(t.Context(), secret); done || err != nil {
		t.Errorf("done before anything came: %v, %v", done, err)
	}
	f, err := d.Put(t.Context(), secret, int64(len(data)), bytes.NewReader(data))
	d.must(err)
	if f.Digest != sum(data) || f.Size != int64(len(data)) || f.UnpackedSize < 3<<20 || f.Published.IsZero() || !f.Default {
		t.Errorf("%+v", f)
	}
	if done, err := d.Done(t.Context(), secret); !done || err != nil {
		t.Errorf("done: %v, %v", done, err)
	}
	d.clean(sum(data))
	d.must(d.registry.Release(t.Context(), name("ops/deb"), version("1.0")))
	if _, err := d.Put(t.Context(), secret, -1, bytes.NewReader(data)); err != nil {
		t.Errorf("the same bytes after the release: %v", err)
	}
	other := amd64(t, 2, 100)
	if _, err := d.Put(t.Context(), secret, -1, bytes.NewReader(other)); !errors.Is(err, boxregistry.ErrImmutable) {
		t.Errorf("other bytes after the release: %v", err)
	}
}

// TestPutRefuses: whatever is refused leaves nothing, is read to its end, and does not keep the right file out.
func TestPutRefuses(t *testing.T) {
	t.Parallel()
	good := amd64(t, 1, 100_000)
	for what, c := range map[string]struct {
		place func(*boxregistry.File)
		body  []byte
		want  error
	}{
		"no box":       {nil, bytes.Repeat([]byte("no box"), 100_000), boxfile.ErrInvalid},
		"empty":        {nil, nil, boxfile.ErrInvalid},
		"cut off":      {nil, good[:len(good)-100], boxfile.ErrInvalid},
		"provider":     {func(f *boxregistry.File) { f.Provider = "libvirt" }, good, boxfile.ErrInvalid},
		"architecture": {func(f *boxregistry.File) { f.Architecture = "arm64" }, good, boxfile.ErrInvalid},
		"sha256": {func(f *boxregistry.File) {
			f.Declared = boxregistry.Checksum{Type: "sha256", Hex: strings.Repeat("0", 64)}
		}, good, boxregistry.ErrChecksum},
		"md5": {func(f *boxregistry.File) {
			f.Declared = boxregistry.Checksum{Type: "md5", Hex: strings.Repeat("0", 32)}
		}, good, boxregistry.ErrChecksum},
		"odd sum": {func(f *boxregistry.File) { f.Declared = boxregistry.Checksum{Type: "crc32", Hex: "00"} }, good, boxregistry.ErrChecksum},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			d := newDock(t, nil)
			f := slotFile()
			if c.place != nil {
				c.place(&f)
			}
			secret := d.declare(f)
			body := bytes.NewReader(c.body)
			if _, err := d.Put(t.Context(), secret, -1, body); !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			if body.Len() != 0 {
				t.Errorf("%d bytes were not read", body.Len())
			}
			d.clean()
			if f.Provider == provider && f.Declared.Hex == "" {
				right := makeBox(t, boxfile.Metadata{Provider: provider, Architecture: string(f.Architecture)}, 3, 10)
				_, err := d.Put(t.Context(), secret, -1, bytes.NewReader(right))
				d.must(err)
			}
		})
	}
}

func TestPutWithoutArchitecture(t *testing.T) {
	t.Parallel()
	d := newDock(t, nil)
	data := amd64(t, 1, 1000)
	unknown := slotFile()
	unknown.Architecture = boxregistry.UnknownArchitecture
	secret := d.declare(unknown)
	f, err := d.Put(t.Context(), secret, -1, bytes.NewReader(data))
	d.must(err)
	if files := d.files(); len(files) != 1 || files[0].Architecture != "amd64" || f.Architecture != "amd64" || !files[0].Default {
		t.Errorf("the place moves to what the box says: %+v", files)
	}
	if _, err := d.Put(t.Context(), secret, -1, bytes.NewReader(data)); err != nil {
		t.Errorf("the same again: %v", err)
	}
	if done, err := d.Done(t.Context(), secret); !done || err != nil {
		t.Errorf("done: %v, %v", done, err)
	}
	d.must(d.registry.CreateVersion(t.Context(), name("ops/deb"), version("2.0"), ""))
	if err := d.registry.Declare(t.Context(), name("ops/deb"), version("2.0"), unknown); err != nil {
		t.Errorf("such a client publishes its next version: %v", err)
	}
}

func TestPutSecrets(t *testing.T) {
	t.Parallel()
	d := newDock(t, nil)
	data := amd64(t, 1, 10)
	if _, err := d.Put(t.Context(), "guessed", 1, strings.NewReader("x")); !errors.Is(err, ErrUnknown) {
		t.Errorf("a guess: %v", err)
	}
	secret := d.declare(slotFile())
	rows, err := d.registry.Uploads(t.Context())
	if err != nil || len(rows) != 1 || strings.Contains(rows[0].Key, secret) {
		t.Errorf("%+v, %v", rows, err)
	}
	if _, err := d.Append(t.Context(), rows[0].Key, 0, 1, strings.NewReader("x")); !errors.Is(err, ErrUnknown) {
		t.Errorf("the key of a secret is no id: %v", err)
	}
	d.clock.pass(Life)
	if _, err := d.Put(t.Context(), secret, -1, bytes.NewReader(data)); !errors.Is(err, ErrUnknown) {
		t.Errorf("after a day: %v", err)
	}
	fresh, err := d.Begin(t.Context(), name("ops/deb"), version("1.0"), provider, "amd64")
	if err != nil || fresh == secret {
		t.Errorf("%q, %v", fresh, err)
	}
	d.must(d.Sweep(t.Context()))
	if rows, err := d.registry.Uploads(t.Context()); err != nil || len(rows) != 1 {
		t.Errorf("expired secrets stay: %+v, %v", rows, err)
	}
}

// TestOneDoorOneFile: who begins while nothing is there cannot put his file over one that came meanwhile; who begins anew can.
func TestOneDoorOneFile(t *testing.T) {
	t.Parallel()
	d := newDock(t, nil)
	one, two := amd64(t, 1, 10), amd64(t, 2, 10)
	secret := d.declare(slotFile())
	_, err := d.Put(t.Context(), secret, -1, bytes.NewReader(one))
	d.must(err)
	if _, err := d.Put(t.Context(), secret, -1, bytes.NewReader(two)); !errors.Is(err, boxregistry.ErrExists) {
		t.Errorf("another file through the same door: %v", err)
	}
	fresh, err := d.Begin(t.Context(), name("ops/deb"), version("1.0"), provider, "amd64")
	if err != nil || fresh == secret {
		t.Fatalf("%q, %v", fresh, err)
	}
	_, err = d.Put(t.Context(), fresh, -1, bytes.NewReader(two))
	d.must(err)
	if f := d.files(); f[0].Digest != sum(two) {
		t.Errorf("%+v", f)
	}
	for _, v := range []string{"1.0", "3.0"} {
		if _, err := d.Begin(t.Context(), name("ops/deb"), version(v), "libvirt", "amd64"); !errors.Is(err, boxregistry.ErrNotFound) {
			t.Errorf("what was not declared in %s: %v", v, err)
		}
	}
}

// gate is a body that says when it is read, and waits.
type gate struct {
	r       io.Reader
	reading chan struct{}
	open    chan struct{}
}

func (g *gate) Read(p []byte) (int, error) {
	if g.reading != nil {
		close(g.reading)
		g.reading = nil
		<-g.open
	}
	return g.r.Read(p)
}

func TestSecondUploadIsBusy(t *testing.T) {
	t.Parallel()
	d := newDock(t, nil)
	data := amd64(t, 1, 1000)
	secret := d.declare(slotFile())
	elsewhere := slotFile()
	elsewhere.Architecture = "arm64"
	beside := d.declare(elsewhere)
	g := &gate{r: bytes.NewReader(data), reading: make(chan struct{}), open: make(chan struct{})}
	reading, first := g.reading, make(chan error)
	go func() {
		_, err := d.Put(context.Background(), secret, -1, g)
		first <- err
	}()
	<-reading
	if _, err := d.Put(t.Context(), secret, -1, bytes.NewReader(data)); !errors.Is(err, boxregistry.ErrBusy) {
		t.Errorf("the second: %v", err)
	}
	if s, err := d.Open(t.Context(), into(data)); !errors.Is(err, boxregistry.ErrBusy) {
		t.Errorf("a resumable one: %+v, %v", s, err)
	}
	_, err := d.Put(t.Context(), beside, -1, bytes.NewReader(makeBox(t, boxfile.Metadata{Provider: provider, Architecture: "arm64"}, 1, 10)))
	if err != nil {
		t.Errorf("into another place: %v", err)
	}
	close(g.open)
	d.must(<-first)
}

func TestPutOnFullDisk(t *testing.T) {
	t.Parallel()
	data := amd64(t, 1, 100_000)
	t.Run("announced", func(t *testing.T) {
		t.Parallel()
		d := newDock(t, func(c *Config) { c.Free = func() (int64, error) { return margin + int64(len(data)) - 1, nil } })
		body := bytes.NewReader(data)
		if _, err := d.Put(t.Context(), d.declare(slotFile()), int64(len(data)), body); !errors.Is(err, blob.ErrNoSpace) || body.Len() != len(data) {
			t.Errorf("%v, and %d bytes were read", err, len(data)-body.Len())
		}
		d.clean()
	})
	t.Run("while it comes", func(t *testing.T) {
		t.Parallel()
		small := &mem.Store{Capacity: 50_000}
		d := newDock(t, func(c *Config) { c.Blobs = small })
		if _, err := d.Put(t.Context(), d.declare(slotFile()), -1, bytes.NewReader(data)); !errors.Is(err, blob.ErrNoSpace) {
			t.Errorf("%v", err)
		}
		if _, err := blob.Copy(t.Context(), small, bytes.NewReader(data[:50_000]), ""); err != nil {
			t.Errorf("the space was not given back: %v", err)
		}
	})
	t.Run("promised twice", func(t *testing.T) {
		t.Parallel()
		d := newDock(t, func(c *Config) { c.Free = func() (int64, error) { return margin + 100, nil } })
		_, done, err := d.room(60)
		d.must(err)
		if _, _, err := d.room(60); !errors.Is(err, blob.ErrNoSpace) {
			t.Errorf("got %v", err)
		}
		done()
		_, _, err = d.room(60)
		d.must(err)
	})
}

func TestPutLimits(t *testing.T) {
	t.Parallel()
	data := amd64(t, 1, 100_000)
	d := newDock(t, func(c *Config) { c.Limits.Size = int64(len(data)) - 1 })
	secret := d.declare(slotFile())
	for _, size := range []int64{int64(len(data)), -1} {
		if _, err := d.Put(t.Context(), secret, size, bytes.NewReader(data)); !errors.Is(err, boxregistry.ErrTooLarge) {
			t.Errorf("size %d: %v", size, err)
		}
	}
	if _, err := d.Open(t.Context(), into(data)); !errors.Is(err, boxregistry.ErrTooLarge) {
		t.Errorf("resumable: %v", err)
	}
	d.clean()
}

func TestPutBreaksOff(t *testing.T) {
	t.Parallel()
	d := newDock(t, nil)
	data := amd64(t, 1, 1<<20)
	secret := d.declare(slotFile())
	if _, err := d.Put(t.Context(), secret, int64(len(data)), cut(data[:600_000])); !errors.Is(err, errBroken) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	stopped := errors.New("stopped")
	cancel(stopped)
	if _, err := d.Put(ctx, secret, int64(len(data)), bytes.NewReader(data)); err == nil {
		t.Error("a cancelled request was taken")
	}
	d.clean()
	if f := d.files(); f[0].Complete() {
		t.Errorf("%+v", f)
	}
}

func TestDeletedUnderAnUpload(t *testing.T) {
	t.Parallel()
	d := newDock(t, nil)
	data := amd64(t, 1, 10)
	secret := d.declare(slotFile())
	d.must(d.registry.DeleteFile(t.Context(), name("ops/deb"), version("1.0"), provider, "amd64"))
	if _, err := d.Put(t.Context(), secret, -1, bytes.NewReader(data)); !errors.Is(err, boxregistry.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	d.must(d.registry.DeleteBox(t.Context(), name("ops/deb")))
	if _, err := d.Put(t.Context(), secret, -1, bytes.NewReader(data)); !errors.Is(err, boxregistry.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	if done, err := d.Done(t.Context(), secret); done || err != nil {
		t.Errorf("%v, %v", done, err)
	}
	d.clock.pass(time.Hour)
}
