package volume

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/boxkiln/boxkiln/iso"
	"github.com/google/go-cmp/cmp"
	"github.com/kdomanski/iso9660"
)

var names = []string{
	"user-data",
	"meta-data",
	"ks.cfg",
	"UPPER.TXT",
	"upper.txt",
	"many.dots.in.this.name.tar.gz",
	".hidden",
	"no_extension.",
	"grüße aus Köln.txt",
	"空のファイル😀.txt",
	"sp ace & $(x);'\"`.sh",
	"a-name-that-is-much-longer-than-the-thirty-characters-of-iso9660.preseed",
	"a-name-that-is-much-longer-than-the-thirty-characters-of-iso9660.kickstart",
	strings.Repeat("long", 30) + ".cfg",
	strings.Repeat("x", 251) + ".cfg",
	"d/e/e/p/e/r/t/h/a/n/e/i/g/h/t/file",
	"pool/main/b/boxkiln_1.0_amd64.deb",
}

// sample is a tree with hostile names, an empty file and an empty directory; a file's content depends on its name.
func sample() map[string][]byte {
	files := map[string][]byte{
		"empty":       nil,
		"big/data":    bytes.Repeat([]byte("0123456789abcdef"), 5000),
		"exactly":     bytes.Repeat([]byte{7}, sectorSize),
		"one more":    bytes.Repeat([]byte{8}, sectorSize+1),
		"$OEM$/x.cmd": []byte("echo\r\n"),
	}
	for _, n := range names {
		files[n] = []byte("content of " + n)
	}
	for i := range 200 { // a directory of several sectors
		files[fmt.Sprintf("many/file number %03d with a long name.conf", i)] = []byte{byte(i)}
	}
	return files
}

func entriesOf(files map[string][]byte) []iso.Entry {
	entries := []iso.Entry{{Name: "hollow", Mode: fs.ModeDir | 0o755}}
	for name, content := range files {
		entries = append(entries, iso.Bytes(name, content))
	}
	return entries
}

func writeSample(t *testing.T, label string) (path string, files map[string][]byte) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "cd.iso")
	files = sample()
	if err := Create(t.Context(), path, entriesOf(files), Options{Label: label}); err != nil {
		t.Fatal(err)
	}
	return path, files
}

func tool(t *testing.T, name string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("%s is not installed", name)
	}
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// wantTree compares a directory with the files that went into the image.
func wantTree(t *testing.T, dir string, files map[string][]byte) {
	t.Helper()
	got := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		got[rel] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for name, data := range files {
		want[name] = string(data)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if info, err := os.Stat(filepath.Join(dir, "hollow")); err != nil || !info.IsDir() {
		t.Errorf("the empty directory is missing: %v", err)
	}
}

func TestXorrisoExtractsEverything(t *testing.T) {
	t.Parallel()
	path, files := writeSample(t, "cidata")
	out := filepath.Join(t.TempDir(), "out")
	log := tool(t, "xorriso", "-osirrox", "on", "-indev", path, "-extract", "/", out)
	if err := exec.Command("chmod", "-R", "u+rwX", out).Run(); err != nil {
		t.Fatal(err)
	}
	wantTree(t, out, files)
	if !strings.Contains(log, "cidata") {
		t.Errorf("the label is missing:\n%s", log)
	}
	for _, bad := range []string{"WARNING", "FAILURE", "SORRY"} {
		if strings.Contains(log, bad) {
			t.Errorf("xorriso complains:\n%s", log)
		}
	}
}

func TestIsoinfoReadsAllThreeTrees(t *testing.T) {
	t.Parallel()
	path, files := writeSample(t, "OEMDRV")
	rock := tool(t, "isoinfo", "-R", "-f", "-i", path)
	for name := range files {
		if !strings.Contains(rock, "/"+name+"\n") {
			t.Errorf("Rock Ridge lacks %q", name)
		}
	}
	joliet := tool(t, "isoinfo", "-J", "-j", "iso8859-1", "-f", "-i", path)
	for _, name := range []string{"/user-data", "/meta-data", "/pool/main/b/boxkiln_1.0_amd64.deb", "/d/e/e/p/e/r/t/h/a/n/e/i/g/h/t/file", "/UPPER.TXT", "/upper.txt"} {
		if !strings.Contains(joliet, name) {
			t.Errorf("Joliet lacks %q:\n%s", name, joliet)
		}
	}
	plain := tool(t, "isoinfo", "-f", "-i", path)
	for _, name := range []string{"/USER_DATA.;1", "/META_DATA.;1", "/KS.CFG;1", "/UPPER.TXT;1", "/UPPER0.TXT;1", "/HOLLOW"} {
		if !strings.Contains(plain, name+"\n") {
			t.Errorf("the plain tree lacks %q:\n%s", name, plain)
		}
	}
	about := tool(t, "isoinfo", "-d", "-i", path)
	for _, want := range []string{"Volume id: OEMDRV", "Joliet with UCS level 3 found", "Rock Ridge signatures version 1 found"} {
		if !strings.Contains(about, want) {
			t.Errorf("isoinfo -d lacks %q:\n%s", want, about)
		}
	}
	if got := tool(t, "isoinfo", "-R", "-x", "/big/data", "-i", path); got != string(files["big/data"]) {
		t.Errorf("/big/data has %d bytes", len(got))
	}
}

func TestBlkidFindsTheLabel(t *testing.T) {
	t.Parallel()
	for _, label := range []string{"cidata", "CIDATA", "OEMDRV", "config-2", "a label longer than sixteen", strings.Repeat("x", 32), ""} {
		path, _ := writeSample(t, label)
		want := label
		if want == "" {
			want = "packer"
		}
		if got := strings.TrimSpace(tool(t, "blkid", "-p", "-o", "value", "-s", "LABEL", path)); got != want {
			t.Errorf("label %q, want %q", got, want)
		}
	}
}

func TestLinuxMountsIt(t *testing.T) {
	t.Parallel()
	path, files := writeSample(t, "cidata")
	for _, opts := range []string{"loop,ro", "loop,ro,norock,utf8"} {
		dir := t.TempDir()
		if out, err := exec.CommandContext(t.Context(), "mount", "-t", "iso9660", "-o", opts, path, dir).CombinedOutput(); err != nil {
			t.Skipf("cannot mount here: %s", out)
		}
		if strings.Contains(opts, "norock") {
			for _, name := range []string{"user-data", "pool/main/b/boxkiln_1.0_amd64.deb", "many/file number 199 with a long name.conf"} {
				if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != string(files[name]) {
					t.Errorf("Joliet: %q holds %q, %v", name, got, err)
				}
			}
		} else {
			wantTree(t, dir, files)
		}
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %s", out)
		}
	}
}

// The library's reader takes only directories of one sector, so it gets a small tree.
func TestAnotherLibraryReadsIt(t *testing.T) {
	t.Parallel()
	files := map[string]string{"user-data": "#cloud-config\n", "meta-data": "", strings.Repeat("long", 60) + ".cfg": "x"}
	var entries []iso.Entry
	for name, content := range files {
		entries = append(entries, iso.Bytes(name, []byte(content)))
	}
	var out bytes.Buffer
	if err := Write(t.Context(), &out, entries, Options{Label: "cidata"}); err != nil {
		t.Fatal(err)
	}
	img, err := iso9660.OpenImage(bytes.NewReader(out.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if label, err := img.Label(); err != nil || label != "cidata" {
		t.Errorf("label %q, %v", label, err)
	}
	root, err := img.RootDir()
	if err != nil {
		t.Fatal(err)
	}
	children, err := root.GetChildren()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, c := range children {
		data, err := io.ReadAll(c.Reader())
		if err != nil {
			t.Error(err)
		}
		got[c.Name()] = string(data)
	}
	if diff := cmp.Diff(files, got); diff != "" {
		t.Error(diff)
	}
}

func TestSameInputSameBytes(t *testing.T) {
	t.Parallel()
	opts := Options{Label: "x", Time: time.Unix(1_700_000_000, 0)}
	var a, b, c bytes.Buffer
	for _, w := range []io.Writer{&a, &b} { // the entries come in another order each time
		if err := Write(t.Context(), w, entriesOf(sample()), opts); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Error("two images of the same entries differ")
	}
	opts.Time = opts.Time.Add(time.Hour)
	if err := Write(t.Context(), &c, entriesOf(sample()), opts); err != nil || bytes.Equal(a.Bytes(), c.Bytes()) {
		t.Errorf("the time is not in the image: %v", err)
	}
	if a.Len()%sectorSize != 0 || uint32(a.Len()/sectorSize) != binary.LittleEndian.Uint32(a.Bytes()[16*sectorSize+80:]) {
		t.Error("the descriptor does not tell the volume's size")
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	liar := iso.Bytes("x", []byte("abc"))
	liar.Size = 5
	unreadable := iso.Entry{Name: "x", Size: 1, Open: func() (io.ReadCloser, error) { return nil, fs.ErrPermission }}
	for name, tc := range map[string]struct {
		ctx     context.Context
		entries []iso.Entry
		label   string
		want    string
	}{
		"canceled":   {canceled, nil, "", "canceled"},
		"liar":       {t.Context(), []iso.Entry{liar}, "", `"x" changed`},
		"unreadable": {t.Context(), []iso.Entry{unreadable}, "", "permission"},
		"label":      {t.Context(), nil, "ä", "cd_label"},
		"name":       {t.Context(), []iso.Entry{iso.Bytes("../x", nil)}, "", `"../x"`},
	} {
		path := filepath.Join(t.TempDir(), "cd.iso")
		err := Create(tc.ctx, path, tc.entries, Options{Label: tc.label})
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
		if left, _ := os.ReadDir(filepath.Dir(path)); len(left) > 0 {
			t.Errorf("%s left %v behind", name, left)
		}
	}
	full := &limited{room: 20 * sectorSize}
	if err := Write(t.Context(), full, entriesOf(sample()), Options{}); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("disk full: %v", err)
	}
}

// limited is a disk that fills up.
type limited struct{ room int }

func (l *limited) Write(p []byte) (int, error) {
	if len(p) > l.room {
		return 0, io.ErrShortWrite
	}
	l.room -= len(p)
	return len(p), nil
}

func TestFilesBeyondFourGiB(t *testing.T) {
	t.Parallel()
	r := record{node: &iso.Node{Entry: iso.Entry{Size: 9 << 30}}}
	var total uint64
	at := uint32(100)
	sections := r.sections(map[*iso.Node]uint32{r.node: at})
	for i, s := range sections {
		if s.first != at || s.last != (i == len(sections)-1) {
			t.Errorf("section %d: %+v, want first %d", i, s, at)
		}
		at += uint32(sectorsOf(uint64(s.size)))
		total += uint64(s.size)
	}
	if total != 9<<30 || len(sections) != 3 {
		t.Errorf("%d sections of %d bytes", len(sections), total)
	}
}

func FuzzNames(f *testing.F) {
	for _, n := range names {
		f.Add(n, n+"x")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		entries := []iso.Entry{iso.Bytes(a, []byte(a)), iso.Bytes(b, []byte(b))}
		root, err := iso.Tree(entries)
		if err != nil {
			return
		}
		for _, n := range []naming{primaryNames{}, jolietNames{}} {
			taken := map[string]bool{}
			for _, c := range root.Children {
				id := n.encode(unique(n, c.Name, c.IsDir(), taken), c.IsDir())
				if len(id) == 0 || len(id) > 220 {
					t.Errorf("%T: %q has an identifier of %d bytes", n, c.Name, len(id))
				}
			}
			if len(taken) != len(root.Children) {
				t.Errorf("%T: %q and %q share a name", n, a, b)
			}
		}
		var out bytes.Buffer
		if err := Write(t.Context(), &out, entries, Options{}); err != nil {
			t.Error(err)
		}
		nm := root.Children[0].Name
		if len(nm) < 250 && !bytes.Contains(out.Bytes(), []byte(nm)) {
			t.Errorf("the image does not hold the name %q", nm)
		}
	})
}
