package virtualbox

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/boxkiln/boxkiln/hypervisor"
)

// TestChunks: <esc>A b<enter> as Packer 1.6.6 typed it, and calls that are not longer than Packer's.
func TestChunks(t *testing.T) {
	t.Parallel()
	press := func(keys ...hypervisor.Key) (all []hypervisor.KeyEvent) {
		for _, k := range keys {
			all = append(all, hypervisor.KeyEvent{Key: k, Down: true}, hypervisor.KeyEvent{Key: k})
		}
		return all
	}
	line := press("esc")
	line = append(append(append(line, hypervisor.KeyEvent{Key: "shift", Down: true}), press("a")...), hypervisor.KeyEvent{Key: "shift"})
	line = append(line, press("spc", "b", "ret")...)
	got, err := chunks(line)
	if err != nil || len(got) != 1 || strings.Join(got[0].codes, " ") != "01 81 2a 1e 9e aa 39 b9 30 b0 1c 9c" {
		t.Errorf("%+v, %v", got, err)
	}
	long, err := chunks(press(slices.Repeat([]hypervisor.Key{"up"}, 20)...))
	events := 0
	for _, c := range long {
		events += c.events
		if len(c.codes) > longestCall || len(c.codes)%2 != 0 {
			t.Errorf("a call of %d codes", len(c.codes))
		}
	}
	if err != nil || events != 40 || len(long) != 4 {
		t.Errorf("%d calls with %d events, %v; want 4 with 40", len(long), events, err)
	}
	if _, err := chunks(press("no such key")); err == nil {
		t.Error("an unknown key was accepted")
	}
}

// header is a VDI without any blocks.
func header(size uint64) []byte {
	h := make([]byte, 512)
	binary.LittleEndian.PutUint32(h[vdiSignatureAt:], vdiSignature)
	binary.LittleEndian.PutUint32(h[vdiVersionAt:], vdiVersion)
	binary.LittleEndian.PutUint32(h[vdiTypeAt:], 1)
	binary.LittleEndian.PutUint64(h[vdiSizeAt:], size)
	return h
}

func TestCopyVDI(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	src, dst := filepath.Join(dir, "a.vdi"), filepath.Join(dir, "b.vdi")
	data := header(1 << 30)
	if err := os.WriteFile(src, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := copyVDI(t.Context(), dst, src); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(dst)
	if err != nil {
		t.Fatal(err)
	}
	const end = vdiUUIDAt + 16
	if !bytes.Equal(got[:vdiUUIDAt], data[:vdiUUIDAt]) || !bytes.Equal(got[end:], data[end:]) || bytes.Equal(got[vdiUUIDAt:end], data[vdiUUIDAt:end]) {
		t.Error("the copy must differ in its UUID, and in nothing else")
	}
	if size, err := vdiSize(dst); err != nil || size != 1<<30 {
		t.Errorf("size %d, %v", size, err)
	}
	if err := copyVDI(t.Context(), dst, src); err == nil {
		t.Error("a file that is there was overwritten")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := copyVDI(ctx, filepath.Join(dir, "c.vdi"), src); !errors.Is(err, context.Canceled) {
		t.Errorf("%v; want the cancellation", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "c.vdi")); err == nil {
		t.Error("a cancelled copy has left a file")
	}
}

func TestBadVDI(t *testing.T) {
	t.Parallel()
	diff, old := header(1), header(1)
	binary.LittleEndian.PutUint32(diff[vdiTypeAt:], vdiDiff)
	binary.LittleEndian.PutUint32(old[vdiVersionAt:], 1)
	for name, data := range map[string][]byte{"short": header(1)[:100], "no VDI": make([]byte, 512), "needs a parent": diff, "old": old} {
		if _, err := vdiHeader(bytes.NewReader(data)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestSourceFiles(t *testing.T) {
	t.Parallel()
	text := recorded(t, "box.ovf")
	ovf := func(href string) *fstest.MapFile {
		return &fstest.MapFile{Data: []byte(strings.ReplaceAll(text, "box-disk001.vmdk", href))}
	}
	dir := fstest.MapFS{
		"box.ovf": ovf("box-disk001.vmdk"), "box.mf": {}, "x.ova": {}, "bare.OVF": ovf("d.vmdk"),
		"up.ovf": ovf("../etc/passwd"), "abs.ovf": ovf("/etc/passwd"), "url.ovf": ovf("http://h/x"), "bad.ovf": {Data: []byte("<Envelope")},
	}
	for name, want := range map[string]string{
		"box.ovf": "box.ovf box-disk001.vmdk box.mf", "bare.OVF": "bare.OVF d.vmdk", "x.ova": "x.ova", "up.ovf": "", "abs.ovf": "", "url.ovf": "", "bad.ovf": "", "none.ova": "",
	} {
		got, err := SourceFiles(dir, name)
		if strings.Join(got, " ") != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v; want %q", name, got, err, want)
		}
	}
}

func TestBelow(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]bool{"/a/b/c": true, "/a/b": true, "/a": false, "/a/bc": false, "": false, "/a/b/../c": false, "/a/b/..c": true} {
		if got := below("/a/b", path); got != want {
			t.Errorf("below(/a/b, %q) = %t", path, got)
		}
	}
}
