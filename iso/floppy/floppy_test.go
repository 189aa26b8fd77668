package floppy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/boxkiln/boxkiln/iso"
	"github.com/google/go-cmp/cmp"
)

func sample() map[string]string {
	files := map[string]string{
		"Autounattend.xml":             "<unattend/>",
		"KS.CFG":                       "text",
		"user-data":                    "#cloud-config",
		"meta-data":                    "",
		"name with blanks.txt":         "1",
		"name with blanks 2.txt":       "2",
		".profile":                     "3",
		"drivers/net/e1000.inf":        "[Version]",
		"drivers/net/E1000 second.inf": "[Version]",
		"drivers/big.bin":              strings.Repeat("0123456789abcdef", 30_000),
		"exactly":                      strings.Repeat("x", sectorSize),
		"thirteen char":                "padding",
		"a.b.c.d":                      "dots",
		"größe.txt":                    "umlaut",
		strings.Repeat("long", 60):     "long",
		"$OEM$/setup.cmd":              "echo",
	}
	for i := range 100 { // a directory of many clusters
		files[fmt.Sprintf("many/a long name number %d.conf", i)] = fmt.Sprint(i)
	}
	return files
}

func entriesOf(files map[string]string) []iso.Entry {
	entries := []iso.Entry{{Name: "hollow", Mode: fs.ModeDir | 0o755}}
	for name, content := range files {
		entries = append(entries, iso.Bytes(name, []byte(content)))
	}
	return entries
}

func writeSample(t *testing.T, label string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "floppy.img")
	if err := Create(t.Context(), path, entriesOf(sample()), Options{Label: label}); err != nil {
		t.Fatal(err)
	}
	return path
}

func tool(t *testing.T, name string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("%s is not installed", name)
	}
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env = append(os.Environ(), "MTOOLSRC=/dev/null", "LC_ALL=C.UTF-8")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

func TestFsckFindsNothing(t *testing.T) {
	t.Parallel()
	out := tool(t, "fsck.fat", "-n", "-v", writeSample(t, "OEMDRV"))
	for _, want := range []string{"FATs, 12 bit entries", "512 bytes per cluster", "2847 data clusters", "122 files"} {
		if !strings.Contains(out, want) {
			t.Errorf("fsck.fat lacks %q:\n%s", want, out)
		}
	}
}

func TestMtoolsReadsEverything(t *testing.T) {
	t.Parallel()
	path := writeSample(t, "cidata")
	out := t.TempDir()
	tool(t, "mcopy", "-s", "-n", "-i", path, "::*", out)
	got := map[string]string{}
	err := filepath.WalkDir(out, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(p)
		rel, _ := filepath.Rel(out, p)
		got[rel] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sample(), got); diff != "" {
		t.Error(diff)
	}
	if info, err := os.Stat(filepath.Join(out, "hollow")); err != nil || !info.IsDir() {
		t.Errorf("the empty directory is missing: %v", err)
	}
	list := tool(t, "mdir", "-i", path, "::")
	for _, want := range []string{"CIDATA", "KS       CFG", "USER-D~1     ", "AUTOUN~1 XML"} {
		if !strings.Contains(list, want) {
			t.Errorf("mdir lacks %q:\n%s", want, list)
		}
	}
	if got := tool(t, "mtype", "-i", path, "::/drivers/net/e1000.inf"); got != "[Version]" {
		t.Errorf("mtype: %q", got)
	}
}

func TestBlkidFindsTheLabel(t *testing.T) {
	t.Parallel()
	for label, want := range map[string]string{"cidata": "CIDATA", "OEMDRV": "OEMDRV", "": "PACKER", "my label": "MY LABEL"} {
		if got := strings.TrimSpace(tool(t, "blkid", "-p", "-o", "value", "-s", "LABEL", writeSample(t, label))); got != want {
			t.Errorf("label %q, want %q", got, want)
		}
	}
}

func TestSameInputSameBytes(t *testing.T) {
	t.Parallel()
	var a, b, c bytes.Buffer
	opts := Options{Time: time.Unix(1_700_000_000, 0)}
	if err := errors.Join(Write(t.Context(), &a, entriesOf(sample()), opts), Write(t.Context(), &b, entriesOf(sample()), opts),
		Write(t.Context(), &c, entriesOf(sample()), Options{})); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a.Bytes(), b.Bytes()) || bytes.Equal(a.Bytes(), c.Bytes()) || a.Len() != 1440<<10 {
		t.Error("the image depends on something else than entries and time, or not on the time")
	}
}

func TestFullToTheLastByte(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "floppy.img")
	full := iso.Bytes("FULL", make([]byte, Capacity))
	if err := Create(t.Context(), path, []iso.Entry{full}, Options{}); err != nil {
		t.Fatal(err)
	}
	tool(t, "fsck.fat", "-n", path)
	err := Create(t.Context(), path, []iso.Entry{full, iso.Bytes("X", []byte("x"))}, Options{})
	var overflow *OverflowError
	if !errors.As(err, &overflow) || overflow.Need != Capacity+sectorSize || !strings.Contains(err.Error(), fmt.Sprint(Capacity+sectorSize)) {
		t.Errorf("overflow: %v", err)
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	liar := func(size int64) iso.Entry {
		e := iso.Bytes("x", []byte("abc"))
		e.Size = size
		return e
	}
	var many []iso.Entry
	for i := range rootEntries {
		many = append(many, iso.Bytes(fmt.Sprintf("F%d", i), nil))
	}
	for name, tc := range map[string]struct {
		ctx     context.Context
		entries []iso.Entry
		label   string
		want    string
	}{
		"canceled":  {canceled, []iso.Entry{liar(3)}, "", "canceled"},
		"shrunk":    {t.Context(), []iso.Entry{liar(5)}, "", `"x" changed`},
		"grown":     {t.Context(), []iso.Entry{liar(2)}, "", `"x" changed`},
		"was empty": {t.Context(), []iso.Entry{liar(0)}, "", `"x" changed`},
		"label":     {t.Context(), nil, "a/b", "floppy_label"},
		"name":      {t.Context(), []iso.Entry{iso.Bytes("../x", nil)}, "", `"../x"`},
		"forbidden": {t.Context(), []iso.Entry{iso.Bytes("a:b", nil)}, "", `"a:b"`},
		"dot":       {t.Context(), []iso.Entry{iso.Bytes("a.", nil)}, "", "ends in a dot"},
		"case":      {t.Context(), []iso.Entry{iso.Bytes("a", nil), iso.Bytes("A", nil)}, "", "differ only in case"},
		"root full": {t.Context(), many, "", "225 entries"},
	} {
		path := filepath.Join(t.TempDir(), "floppy.img")
		err := Create(tc.ctx, path, tc.entries, Options{Label: tc.label})
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
		if left, _ := os.ReadDir(filepath.Dir(path)); len(left) > 0 {
			t.Errorf("%s left %v behind", name, left)
		}
	}
}

func TestShortNames(t *testing.T) {
	t.Parallel()
	taken := map[[11]byte]bool{}
	for _, tc := range []struct {
		name, short string
		long        bool
	}{
		{"KS.CFG", "KS      CFG", false},
		{"ks.cfg", "KS~1    CFG", true},
		{"meta-data", "META-D~1   ", true},
		{"user-data", "USER-D~1   ", true},
		{"a.b.c", "AB~1    C  ", true},
		{"NOEXT", "NOEXT      ", false},
		{"NO EXT", "NOEXT~1    ", true},
		{".profile", "PROFIL~1   ", true},
		{"Autounattend.xml", "AUTOUN~1XML", true},
		{"Autounattend2.xml", "AUTOUN~2XML", true},
		{"日本語.txt", "___~1   TXT", true},
		{"lower.inf", "LOWER   INF", true},
		{"...", "~1         ", true},
	} {
		short, long := names(tc.name, taken)
		if string(short[:]) != tc.short || (long != nil) != tc.long {
			t.Errorf("%q: %q, long %v", tc.name, short, long != nil)
		}
	}
}

func FuzzNames(f *testing.F) {
	for name := range sample() {
		f.Add(name, strings.ToUpper(name))
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		var out bytes.Buffer
		if err := Write(t.Context(), &out, []iso.Entry{iso.Bytes(a, []byte(a)), iso.Bytes(b, []byte(b))}, Options{}); err != nil {
			return // refused, which is tested above
		}
		root := out.Bytes()[rootSector*sectorSize : dataSector*sectorSize]
		seen := map[string]bool{}
		for at := 0; root[at] != 0; at += entrySize {
			short := string(root[at : at+11])
			if root[at+11] == attrLongName {
				continue
			}
			if seen[short] || strings.HasPrefix(short, " ") {
				t.Errorf("%q and %q have the short name %q", a, b, short)
			}
			seen[short] = true
		}
	})
}
