package upload

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/boxkiln/boxkiln/boxregistry"
	"github.com/boxkiln/boxkiln/boxregistry/blob"
	"github.com/boxkiln/boxkiln/boxregistry/blob/mem"
	"github.com/boxkiln/boxkiln/boxregistry/boxfile"
)

func TestResumableUpload(t *testing.T) {
	t.Parallel()
	d := newDock(t, nil)
	data := amd64(t, 1, 3<<20)
	p := into(data)
	p.BoxDescription, p.VersionDescription, p.Private = "a box", "notes", true
	s, err := d.Open(t.Context(), p)
	d.must(err)
	if s.Offset != 0 || s.Size != int64(len(data)) || s.ID == "" {
		t.Errorf("%+v", s)
	}
	var wrong *OffsetError
	if _, err := d.Append(t.Context(), s.ID, 5, 1, strings.NewReader("x")); !errors.As(err, &wrong) || wrong.Have != 0 {
		t.Errorf("a hole: %v", err)
	}
	s, err = d.Append(t.Context(), s.ID, 0, 1<<20, bytes.NewReader(data[:1<<20]))
	d.must(err)
	s, err = d.Append(t.Context(), s.ID, 1000, 1<<20, bytes.NewReader(data[1000:1000+1<<20])) // overlaps
	if err != nil || s.Offset != 1000+1<<20 {
		t.Errorf("%+v, %v", s, err)
	}
	if s, err = d.Append(t.Context(), s.ID, 0, 100, bytes.NewReader(data[:100])); err != nil || s.Offset != 1000+1<<20 {
		t.Errorf("a replay: %+v, %v", s, err)
	}
	if _, err := d.Finish(t.Context(), s.ID); !errors.As(err, &wrong) || wrong.Have != s.Offset {
		t.Errorf("too early: %v", err)
	}
	if len(d.files()) != 0 {
		t.Error("something is visible")
	}
	again, err := d.Open(t.Context(), p)
	if err != nil || again.ID != s.ID || again.Offset != s.Offset {
		t.Errorf("found %+v, %v", again, err)
	}
	d.send(again, data, 1<<20)
	for range 2 {
		f, err := d.Finish(t.Context(), s.ID)
		if err != nil || f.Digest != sum(data) {
			t.Errorf("%+v, %v", f, err)
		}
	}
	d.clean(sum(data))
	box, err := d.registry.Box(t.Context(), p.Box)
	if err != nil || !box.Private || box.Description != "a box" || box.Releases[0].Description != "notes" {
		t.Errorf("%+v, %v", box, err)
	}
	if s, err := d.Open(t.Context(), p); err != nil || !s.Done || s.File.Digest != sum(data) {
		t.Errorf("the same file again: %+v, %v", s, err)
	}
}

func TestResumeAfterRestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data := amd64(t, 1, 2<<20)
	d := open(t, dir, nil)
	s, err := d.Open(t.Context(), into(data))
	d.must(err)
	if s, err = d.Append(t.Context(), s.ID, 0, int64(len(data)), cut(data[:700_000])); !errors.Is(err, errBroken) || s.Offset != 700_000 {
		t.Fatalf("what came of a broken chunk stays: %+v, %v", s, err)
	}
	d.stop()
	tail, err := os.OpenFile(filepath.Join(dir, "uploads", s.ID+".part"), os.O_WRONLY|os.O_APPEND, 0)
	d.must(err)
	_, err = tail.WriteString("written, and not noted before the crash")
	d.must(errors.Join(err, tail.Close()))

	d = open(t, dir, nil)
	s, err = d.Session(t.Context(), s.ID)
	if err != nil || s.Offset != 700_000 {
		t.Fatalf("%+v, %v", s, err)
	}
	d.send(s, data, 300_000)
	d.stop()
	d = open(t, dir, nil)
	t.Cleanup(d.stop)
	_, err = d.Finish(t.Context(), s.ID)
	d.must(err)
	d.clean(sum(data))
}

func TestLostFileBeginsAnew(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data := amd64(t, 1, 1<<20)
	d := open(t, dir, nil)
	s, err := d.Open(t.Context(), into(data))
	d.must(err)
	d.send(s, data, 1<<19)
	d.stop()
	d.must(os.Truncate(filepath.Join(dir, "uploads", s.ID+".part"), 1000))
	d = open(t, dir, nil)
	t.Cleanup(d.stop)
	var missing *OffsetError
	if _, err := d.Finish(t.Context(), s.ID); !errors.As(err, &missing) || missing.Have != 0 {
		t.Fatalf("got %v", err)
	}
	s.Offset = 0
	d.send(s, data, 1<<19)
	_, err = d.Finish(t.Context(), s.ID)
	d.must(err)
}

func TestResumableRefuses(t *testing.T) {
	t.Parallel()
	good := amd64(t, 1, 200_000)
	arm := makeBox(t, boxfile.Metadata{Provider: provider, Architecture: "arm64"}, 1, 10)
	junk := bytes.Repeat([]byte("no box"), 100_000)
	for what, c := range map[string]struct {
		data, sent []byte
		want       error
	}{
		"no box":       {junk, junk, boxfile.ErrInvalid},
		"architecture": {arm, arm, boxfile.ErrInvalid},
		"other bytes":  {good, append(bytes.Clone(good[:len(good)-1]), good[len(good)-1]+1), boxregistry.ErrChecksum},
		"more bytes":   {good, append(bytes.Clone(good), 0), boxregistry.ErrTooLarge},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			d := newDock(t, nil)
			s, err := d.Open(t.Context(), into(c.data))
			d.must(err)
			if _, err = d.Append(t.Context(), s.ID, 0, -1, bytes.NewReader(c.sent)); err == nil {
				_, err = d.Finish(t.Context(), s.ID)
			}
			// A byte that is wrong makes a bad box too, and inspection may see it first.
			if !errors.Is(err, c.want) && !(what == "other bytes" && errors.Is(err, boxfile.ErrInvalid)) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			d.clean()
			if _, err := d.Session(t.Context(), s.ID); !errors.Is(err, ErrUnknown) {
				t.Errorf("it is still there: %v", err)
			}
			if len(d.files()) != 0 {
				t.Error("something is visible")
			}
			if _, err := d.Open(t.Context(), into(amd64(t, 9, 10))); err != nil {
				t.Errorf("what was refused keeps its place: %v", err)
			}
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	d := newDock(t, nil)
	data, other := amd64(t, 1, 10), amd64(t, 2, 10)
	p := into(data)
	p.File.Digest = "x"
	if _, err := d.Open(t.Context(), p); !errors.Is(err, boxregistry.ErrChecksum) {
		t.Errorf("no digest: %v", err)
	}
	s, err := d.Open(t.Context(), into(data))
	d.must(err)
	_, err = d.Append(t.Context(), s.ID, 0, 10, bytes.NewReader(data[:10]))
	d.must(err)
	if _, err := d.Open(t.Context(), into(other)); !errors.Is(err, boxregistry.ErrBusy) {
		t.Errorf("another file while one comes: %v", err)
	}
	d.clock.pass(linger)
	o, err := d.Open(t.Context(), into(other))
	d.must(err)
	d.send(o, other, 1<<20)
	_, err = d.Finish(t.Context(), o.ID)
	d.must(err)
	s.Offset = 10
	d.send(s, data, 1<<20)
	if _, err := d.Finish(t.Context(), s.ID); !errors.Is(err, boxregistry.ErrExists) {
		t.Errorf("the second to finish: %v", err)
	}
	d.clean(sum(other))
	replace := into(data)
	replace.Replace = true
	s, err = d.Open(t.Context(), replace)
	d.must(err)
	d.send(s, data, 1<<20)
	_, err = d.Finish(t.Context(), s.ID)
	d.must(err)
	d.must(d.registry.Release(t.Context(), p.Box, p.Version))
	if _, err := d.Open(t.Context(), into(other)); !errors.Is(err, boxregistry.ErrImmutable) {
		t.Errorf("into a released version: %v", err)
	}
	d.must(d.registry.Revoke(t.Context(), p.Box, p.Version, ""))
	if _, err := d.Open(t.Context(), into(data)); !errors.Is(err, boxregistry.ErrImmutable) {
		t.Errorf("into a revoked version: %v", err)
	}
}

func TestAbandonAndExpire(t *testing.T) {
	t.Parallel()
	d := newDock(t, nil)
	data := amd64(t, 1, 1000)
	s, err := d.Open(t.Context(), into(data))
	d.must(err)
	_, err = d.Append(t.Context(), s.ID, 0, -1, bytes.NewReader(data[:500]))
	d.must(err)
	d.must(d.Abandon(t.Context(), s.ID))
	d.clean()
	if err := d.Abandon(t.Context(), s.ID); !errors.Is(err, ErrUnknown) {
		t.Errorf("twice: %v", err)
	}
	s, err = d.Open(t.Context(), into(data))
	d.must(err)
	d.clock.pass(Life - time.Hour)
	_, err = d.Append(t.Context(), s.ID, 0, -1, bytes.NewReader(data[:500]))
	d.must(err)
	d.clock.pass(idle)
	d.must(d.Sweep(t.Context())) // puts it away
	if len(d.sessions) != 0 {
		t.Error("an idle session was not put away")
	}
	d.clock.pass(2 * time.Hour)
	s, err = d.Append(t.Context(), s.ID, 500, -1, bytes.NewReader(data[500:600]))
	d.must(err)
	stray := filepath.Join(d.Dir, "0123.part")
	d.must(os.WriteFile(stray, nil, 0o600))
	d.clock.pass(Life)
	d.must(d.Sweep(t.Context()))
	d.clean()
	if _, err := d.Session(t.Context(), s.ID); !errors.Is(err, ErrUnknown) {
		t.Errorf("expired: %v", err)
	}
}

func TestResumableWithoutAdoption(t *testing.T) {
	t.Parallel()
	far := &mem.Store{}
	d := newDock(t, func(c *Config) { c.Blobs = far })
	data := amd64(t, 1, 1000)
	// The registry looks into a store of its own in this test, so that Publish finds nothing.
	s, err := d.Open(t.Context(), into(data))
	d.must(err)
	d.send(s, data, 300)
	if _, err := d.Finish(t.Context(), s.ID); !errors.Is(err, blob.ErrNotFound) {
		t.Fatalf("got %v", err)
	}
	if _, err := far.Stat(t.Context(), sum(data)); err != nil {
		t.Errorf("the file was not handed over: %v", err)
	}
	// As after a crash between the two: all has come, and the store of the registry has it.
	w, err := d.registry.OpenWriter(t.Context())
	d.must(err)
	defer w.Close()
	_, err = w.Write(data)
	d.must(err)
	_, err = w.Commit(t.Context(), "")
	d.must(err)
	if _, err := d.Finish(t.Context(), s.ID); err != nil {
		t.Errorf("finish after the file was handed over: %v", err)
	}
}

// TestResumableOnFullDisk: nothing stays of an upload for which there is no room, not even what could be resumed.
func TestResumableOnFullDisk(t *testing.T) {
	t.Parallel()
	d := newDock(t, nil)
	data := amd64(t, 1, 100_000)
	var chunks atomic.Int32
	d.fault = func(point string) error {
		if point == "upload.written" && chunks.Add(1) == 2 {
			return syscall.ENOSPC
		}
		return nil
	}
	s, err := d.Open(t.Context(), into(data))
	d.must(err)
	s, err = d.Append(t.Context(), s.ID, 0, -1, bytes.NewReader(data[:50_000]))
	d.must(err)
	_, err = d.Append(t.Context(), s.ID, s.Offset, -1, bytes.NewReader(data[50_000:])) // is written while the next chunk comes
	d.must(err)
	if _, err := d.Finish(t.Context(), s.ID); !errors.Is(err, blob.ErrNoSpace) {
		t.Fatalf("got %v", err)
	}
	d.clean()
	if _, err := d.Session(t.Context(), s.ID); !errors.Is(err, ErrUnknown) {
		t.Errorf("it is still there: %v", err)
	}
}
