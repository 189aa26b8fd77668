package redact_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"

	"github.com/boxkiln/boxkiln/internal/redact"
)

const canary = "s3cr3t/with spaces & 'quotes\""

func TestString(t *testing.T) {
	t.Parallel()
	set := redact.New(canary, "hunter22", "abc", "")
	embedded := func(before, after string) string {
		return base64.StdEncoding.EncodeToString([]byte(before + "hunter22" + after))
	}
	inJSON, err := json.Marshal(map[string]string{"password": canary})
	if err != nil {
		t.Fatal(err)
	}
	percent := ""
	for i := range len(canary) {
		percent += fmt.Sprintf("%%%02x", canary[i])
	}
	tests := map[string]struct{ in, want string }{
		"nothing":          {"just text\nabc\n", "just text\nabc\n"},
		"plain":            {"password: hunter22!", "password: [redacted]!"},
		"twice":            {"hunter22hunter22 hunter22", "[redacted][redacted] [redacted]"},
		"spaces":           {"<" + canary + ">", "<[redacted]>"},
		"query":            {"?p=" + url.QueryEscape(canary) + "&x", "?p=[redacted]&x"},
		"path":             {"/" + url.PathEscape(canary) + "/x", "/[redacted]/x"},
		"every byte":       {percent, "[redacted]"},
		"every byte upper": {strings.ToUpper(percent), "[redacted]"},
		"mixed":            {"%68unter%322", "[redacted]"},
		"json":             {string(inJSON), `{"password":"[redacted]"}`},
		"shell":            {"echo '" + strings.ReplaceAll(canary, "'", `'\''`) + "'", "echo '[redacted]'"},
		"base64":           {base64.StdEncoding.EncodeToString([]byte("hunter22")), "[redacted]"},
		"base64 url":       {base64.URLEncoding.EncodeToString([]byte(canary)), "[redacted]"},
		"percent at end":   {"100% hunter22 5%", "100% [redacted] 5%"},
		"cut percent":      {"%6 %zz hunter22%", "%6 %zz [redacted]%"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := set.String(tt.in); got != tt.want {
				t.Errorf("%q is shown as %q, want %q", tt.in, got, tt.want)
			}
		})
	}
	for _, before := range []string{"", "a", "ab", "abc", "user:"} {
		for _, after := range []string{"", "x", "xy", "xyz"} {
			in := embedded(before, after)
			got := set.String(in)
			// At most the six bits at each edge, which belong to the neighbours too, are left.
			if !strings.Contains(got, redact.Mark) || len(got)-len(redact.Mark) > len(in)-9 {
				t.Errorf("base64 of %q is shown as %q", before+"hunter22"+after, got)
			}
		}
	}
}

func TestKeyOfSeveralLines(t *testing.T) {
	t.Parallel()
	key := "-----BEGIN KEY-----\nAAAAfirstline\nBBBBsecond\n-----END KEY-----\n"
	set := redact.New(key)
	if got := set.String("  BBBBsecond|"); got != "  [redacted]|" {
		t.Errorf("%q", got)
	}
	if got := set.String(key); strings.Contains(got, "first") || strings.Contains(got, "second") || !strings.Contains(got, "BEGIN KEY") {
		t.Errorf("%q", got)
	}
}

func TestOverlappingSecrets(t *testing.T) {
	t.Parallel()
	if got := redact.New("abcdef", "defghi", "abcd").String("-abcdefghi-"); got != "-[redacted]-" {
		t.Errorf("%q", got)
	}
	if got := redact.New("ababa").String("abababa"); got != "[redacted]" {
		t.Errorf("%q", got)
	}
}

// TestWriterSplits writes a text in two pieces, split at each byte, and byte by byte.
func TestWriterSplits(t *testing.T) {
	t.Parallel()
	set := redact.New(canary)
	text := "a " + canary + " b\n" + url.QueryEscape(canary) + "\r" + base64.StdEncoding.EncodeToString([]byte(canary)) + "\nlast " + canary
	want := "a [redacted] b\n[redacted]\r[redacted]\nlast [redacted]"
	for i := range len(text) + 1 {
		check(t, set, want, text[:i], text[i:])
	}
	check(t, set, want, strings.Split(text, "")...)
}

func check(t *testing.T, set *redact.Set, want string, pieces ...string) {
	t.Helper()
	var out bytes.Buffer
	w := set.Writer(&out)
	for _, p := range pieces {
		if n, err := w.Write([]byte(p)); err != nil || n != len(p) {
			t.Fatalf("Write = %d, %v", n, err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if out.String() != want {
		t.Fatalf("%q is shown as %q, want %q", pieces, out.String(), want)
	}
}

func TestWriterPassesLinesOnAtOnce(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	w := redact.New(canary).Writer(&out)
	if _, err := w.Write([]byte("one\ntwo")); err != nil {
		t.Fatal(err)
	}
	if out.String() != "one\n" {
		t.Errorf("%q", out.String())
	}
}

// TestWriterBoundsMemory writes a line without end, with secrets across the places where it is cut.
func TestWriterBoundsMemory(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	w := redact.New("hunter22").Writer(&out)
	const n = 100_000
	for range n {
		if _, err := w.Write([]byte("hunter22%68unter22.")); err != nil {
			t.Fatal(err)
		}
	}
	if held := n*len("[redacted][redacted].") - out.Len(); held > 256<<10 {
		t.Errorf("%d bytes are held back", held)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if out.String() != strings.Repeat("[redacted][redacted].", n) {
		t.Error("a secret came through")
	}
}

func TestWriterReportsErrors(t *testing.T) {
	t.Parallel()
	full := errors.New("no space left")
	w := redact.New(canary).Writer(failing{full})
	if _, err := w.Write([]byte("x\n")); !errors.Is(err, full) {
		t.Errorf("err = %v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestSecretNeverPrints(t *testing.T) {
	t.Parallel()
	s := redact.Secret(canary)
	type config struct {
		Password redact.Secret            `json:"password"`
		ByName   map[string]redact.Secret `json:"by_name"`
	}
	c := config{s, map[string]redact.Secret{"a": s}}
	var out bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&out, nil))
	log.Info("x", "secret", s, "config", c)
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "secret", s)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		fmt.Fprintf(&out, verb+verb+"\n", s, c)
		fmt.Fprintf(&out, verb, []redact.Secret{s})
	}
	fmt.Fprint(&out, s, c, fmt.Errorf("login: %v", s))
	if err := json.NewEncoder(&out).Encode(c); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "s3cr3t") || strings.Contains(out.String(), fmt.Sprintf("%x", "s3cr3t")) {
		t.Errorf("the secret is shown: %s", out.String())
	}
	if s.Reveal() != canary {
		t.Error("the secret is lost")
	}
}

func TestSecretFromJSON(t *testing.T) {
	t.Parallel()
	var s redact.Secret
	if err := json.Unmarshal([]byte(`"pw"`), &s); err != nil || s.Reveal() != "pw" {
		t.Errorf("%q, %v", s.Reveal(), err)
	}
}

func FuzzWriter(f *testing.F) {
	f.Add("hunter22", "the password is ", " indeed\n", 5)
	f.Add("äöü%41", "%", "\r", 0)
	f.Add("aaaa", "aaa", "aaa", 3)
	f.Fuzz(func(t *testing.T, secret, before, after string, split int) {
		if len(secret) < 4 || strings.ContainsAny(secret, "\n\r") || strings.Contains(redact.Mark, secret) {
			return
		}
		text := before + secret + after
		split = max(0, min(split, len(text)))
		var out bytes.Buffer
		w := redact.New(secret).Writer(&out)
		for _, p := range []string{text[:split], text[split:]} {
			if _, err := w.Write([]byte(p)); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if got := strings.ReplaceAll(out.String(), redact.Mark, "\x00\n"); strings.Contains(got, secret) {
			t.Fatalf("%q shows %q", out.String(), secret)
		}
	})
}
