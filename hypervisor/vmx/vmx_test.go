package vmx_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/boxkiln/boxkiln/hypervisor/vmx"
)

// workstation is a file as Workstation 16 leaves it.
func workstation(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "workstation.vmx"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func parse(t testing.TB, text string) *vmx.File {
	t.Helper()
	f, err := vmx.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func written(t testing.TB, f *vmx.File) string {
	t.Helper()
	var b bytes.Buffer
	if err := f.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestUntouchedStays(t *testing.T) {
	t.Parallel()
	odd := "\ufeff.encoding = \"UTF-8\"\r\n\r\n# a comment\r\nMemSize=512\r\n  unknown.Key   =   \"a|22b|7Cc|0Ad\"  \r\nbare = value # why\r\ndisplayname = \"日本\""
	for _, text := range []string{workstation(t), odd, "", "\n\n", "a = \"1\""} {
		if got := written(t, parse(t, text)); got != text {
			t.Errorf("%q is written as %q", text, got)
		}
	}
	f := parse(t, odd)
	for key, want := range map[string]string{"memsize": "512", "UNKNOWN.KEY": "a\"b|c\nd", "bare": "value", "displayName": "日本"} {
		if got, ok := f.Get(key); got != want || !ok {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	if got := f.Keys(); !cmp.Equal(got, []string{".encoding", "MemSize", "unknown.Key", "bare", "displayname"}) {
		t.Errorf("keys %q", got)
	}
}

func TestSetAndDelete(t *testing.T) {
	t.Parallel()
	f := parse(t, "# top\r\nA = \"1\"\r\nfloppy0.present = \"TRUE\"\r\nfloppy0.fileName = \"x\"\r\nb = \"2\"")
	f.Set("a", "say \"|\"\n")
	f.Set("B", "2") // as it is
	f.Set("c.New", "ü")
	f.SetBool("d", true)
	f.DeletePrefix("FLOPPY0.")
	f.Delete("nothing")
	want := "# top\r\nA = \"say |22|7C|22|0A\"\r\nb = \"2\"\r\nc.New = \"ü\"\r\nd = \"TRUE\"\r\n"
	if got := written(t, f); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if !f.Bool("D") || f.Bool("a") || f.Bool("none") {
		t.Error("truth is not told")
	}
	if _, ok := f.Get(""); ok {
		t.Error("comments have a key")
	}
	f.Delete("A", "b", "C.NEW", "d")
	if got := written(t, f); got != "# top\r\n" {
		t.Errorf("left %q", got)
	}
}

// TestTwice: VMware refuses such a file; whoever reads it here gets what was written last, and can mend it.
func TestTwice(t *testing.T) {
	t.Parallel()
	f := parse(t, "a = \"1\"\nA = \"2\"\n")
	if got, _ := f.Get("a"); got != "2" {
		t.Errorf("got %q, want the last", got)
	}
	f.Delete("a")
	if keys := f.Keys(); len(keys) > 0 {
		t.Errorf("left %q", keys)
	}
}

func TestEncodings(t *testing.T) {
	t.Parallel()
	windows := ".encoding = \"windows-1252\"\r\ndisplayName = \"K\xfcche \x80\"\r\n"
	f := parse(t, windows)
	if got, _ := f.Get("displayname"); got != "Küche €" {
		t.Errorf("got %q", got)
	}
	f.Set("annotation", "Größe")
	if got, want := written(t, f), windows+"annotation = \"Gr\xf6\xdfe\"\r\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	f.Set("annotation", "日本")
	if err := f.Write(&bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "annotation") || !strings.Contains(err.Error(), "lacks") {
		t.Errorf("got %v, want that windows-1252 has no such characters", err)
	}
	if got, _ := parse(t, "a = \"\xfc\"\n").Get("a"); got != "ü" {
		t.Errorf("without an encoding it is read as %q", got)
	}
	gbk := parse(t, ".encoding = \"GBK\"\na = \"b\"\n")
	if got := written(t, gbk); got != ".encoding = \"GBK\"\na = \"b\"\n" {
		t.Errorf("ASCII in an encoding of which nothing is known is written as %q", got)
	}
	gbk.Set("a", "ü")
	if err := gbk.Write(&bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "encoding is not known") {
		t.Errorf("got %v", err)
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"a = \"1\"\nnonsense\n":                  "line 2 of the VMX file",
		"a = \"1":                                "no closing quote",
		" = \"1\"":                               "not of the form",
		".encoding = \"UTF-8\"\na = \"\xfc\"\n":  "is not",
		".encoding = \"GBK\"\na = \"\xb0\xa1\"":  "written in GBK",
		strings.Repeat("#\n", vmx.MaxSize/2+100): "longer than",
	} {
		if _, err := vmx.Parse(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: got %v, want something with %q", text, err, want)
		}
	}
}

// TestAnyValue: what is set is read back, whatever it is.
func TestAnyValue(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.MapOf(rapid.StringMatching(`[a-z][a-z0-9:.]{0,20}`), rapid.String()).Draw(t, "values")
		f := &vmx.File{}
		for key, value := range values {
			f.Set(key, value)
		}
		var b bytes.Buffer
		if err := f.Write(&b); err != nil {
			t.Fatal(err)
		}
		again, err := vmx.Parse(&b)
		if err != nil {
			t.Fatal(err)
		}
		for key, want := range values {
			if got, ok := again.Get(key); !ok || got != want {
				t.Errorf("%s is %q, want %q", key, got, want)
			}
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add(workstation(f))
	f.Add(".encoding = \"windows-1252\"\r\ndisplayName = \"K\xfcche\"\r\n# x\r\nbare=1")
	f.Fuzz(func(t *testing.T, text string) {
		file, err := vmx.Parse(strings.NewReader(text))
		if err != nil {
			return
		}
		if got := written(t, file); got != text {
			t.Errorf("%q is written as %q", text, got)
		}
		_, _ = file.ToMachine()
		file.CleanForBox(vmx.BoxOptions{NoNICs: true})
		clean := written(t, file)
		again, err := vmx.Parse(strings.NewReader(clean))
		if err != nil {
			t.Fatalf("what was cleaned cannot be read: %v\n%q", err, clean)
		}
		again.CleanForBox(vmx.BoxOptions{NoNICs: true})
		// The first line says how new lines end, and it may be one of those that went.
		unix := strings.NewReplacer("\r\n", "\n")
		if twice := written(t, again); unix.Replace(twice) != unix.Replace(clean) {
			t.Errorf("cleaning twice changes it:\n%q\n%q", clean, twice)
		}
	})
}
