package bootcmd_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/bootcmd"
)

// events reads a compact notation: "+a" presses a, "-a" releases it, "a" does both.
func events(spec string) []hypervisor.KeyEvent {
	var list []hypervisor.KeyEvent
	for f := range strings.FieldsSeq(spec) {
		switch {
		case strings.HasPrefix(f, "+"):
			list = append(list, hypervisor.KeyEvent{Key: hypervisor.Key(f[1:]), Down: true})
		case strings.HasPrefix(f, "-"):
			list = append(list, hypervisor.KeyEvent{Key: hypervisor.Key(f[1:])})
		default:
			k := hypervisor.Key(f)
			list = append(list, hypervisor.KeyEvent{Key: k, Down: true}, hypervisor.KeyEvent{Key: k})
		}
	}
	return list
}

func keys(text, spec string) bootcmd.Op {
	return bootcmd.Keys{Text: text, Events: events(spec)}
}

func TestParse(t *testing.T) {
	t.Parallel()
	wait := func(text string, d time.Duration) bootcmd.Op { return bootcmd.Wait{Text: text, For: d} }
	tests := map[string]bootcmd.Program{
		"":                               nil,
		"a":                              {keys("a", "a")},
		"aB":                             {keys("aB", "a +shift b -shift")},
		"?":                              {keys("?", "+shift slash -shift")},
		"<enter>":                        {keys("<enter>", "ret")},
		"<ENTER><Return>":                {keys("<ENTER><Return>", "ret ret")},
		"<f1><f10><F12>":                 {keys("<f1><f10><F12>", "f1 f10 f12")},
		"<left><leftAlt>":                {keys("<left><leftAlt>", "left alt")},
		"<f1On><f1Off>":                  {keys("<f1On><f1Off>", "+f1 -f1")},
		"<wait>":                         {wait("<wait>", time.Second)},
		"<wait5>":                        {wait("<wait5>", 5*time.Second)},
		"<wait10>":                       {wait("<wait10>", 10*time.Second)},
		"<wait1m20s>":                    {wait("<wait1m20s>", 80*time.Second)},
		"<wait500ms>":                    {wait("<wait500ms>", 500*time.Millisecond)},
		"<wait1.5s>":                     {wait("<wait1.5s>", 1500*time.Millisecond)},
		"<wait3us>":                      {wait("<wait3us>", 3*time.Microsecond)},
		"<wait3µs>":                      {wait("<wait3µs>", 3*time.Microsecond)},
		"<wait7ns>":                      {wait("<wait7ns>", 7)},
		"<wait1h>":                       {wait("<wait1h>", time.Hour)},
		"<wait0.5m>":                     {wait("<wait0.5m>", 30*time.Second)},
		"a<wait>b<wait2>":                {keys("a", "a"), wait("<wait>", time.Second), keys("b", "b"), wait("<wait2>", 2*time.Second)},
		"<esc><wait><tab>":               {keys("<esc>", "esc"), wait("<wait>", time.Second), keys("<tab>", "tab")},
		"<aOn><aOff>":                    {keys("<aOn><aOff>", "+a -a")},
		"<xON><xoff>":                    {keys("<xON><xoff>", "+x -x")},
		"<AOn><AOff>":                    {keys("<AOn><AOff>", "+shift +a -a -shift")},
		"<<On><<Off>":                    {keys("<<On><<Off>", "+shift +comma -comma -shift")},
		"<>on><>off>":                    {keys("<>on><>off>", "+shift +dot -dot -shift")},
		"<leftCtrlOn>x<leftCtrlOff>":     {keys("<leftCtrlOn>x<leftCtrlOff>", "+ctrl x -ctrl")},
		"<leftShiftOn>aB<leftShiftOff>":  {keys("<leftShiftOn>aB<leftShiftOff>", "+shift a b -shift")},
		"<rightShiftOn>Z<rightShiftOff>": {keys("<rightShiftOn>Z<rightShiftOff>", "+shift_r z -shift_r")},
		"<leftCtrlOff>":                  {keys("<leftCtrlOff>", "-ctrl")},
		"<onon><onoff>":                  {keys("<onon><onoff>", "+shift comma -shift o n o n +shift dot -shift +shift comma -shift o n o f f +shift dot -shift")},
		"a < b":                          {keys("a < b", "a spc +shift comma -shift spc b")},
		"<":                              {keys("<", "+shift comma -shift")},
		"<>":                             {keys("<>", "+shift comma -shift +shift dot -shift")},
	}
	for text, want := range tests {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			got, _, err := bootcmd.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestParseSpecial goes through every special key of the grammar, alone and held.
func TestParseSpecial(t *testing.T) {
	t.Parallel()
	want := map[string]hypervisor.Key{
		"bs": "backspace", "del": "delete", "enter": "ret", "esc": "esc", "return": "ret", "tab": "tab", "up": "up",
		"down": "down", "spacebar": "spc", "insert": "insert", "home": "home", "end": "end", "pageUp": "pgup",
		"pageDown": "pgdn", "leftAlt": "alt", "leftCtrl": "ctrl", "leftShift": "shift", "rightAlt": "alt_r",
		"rightCtrl": "ctrl_r", "rightShift": "shift_r", "leftSuper": "meta_l", "rightSuper": "meta_r",
		"leftCommand": "meta_l", "rightCommand": "meta_r", "leftOption": "alt", "rightOption": "alt_r",
		"left": "left", "right": "right", "menu": "compose", "f1": "f1", "f2": "f2", "f3": "f3", "f4": "f4", "f5": "f5",
		"f6": "f6", "f7": "f7", "f8": "f8", "f9": "f9", "f10": "f10", "f11": "f11", "f12": "f12",
	}
	if got := bootcmd.Tokens(); len(got) != len(want) {
		t.Errorf("the grammar has %d special keys, the tables %d: %q", len(want), len(got), got)
	}
	for name, key := range want {
		for _, form := range []string{name, strings.ToUpper(name), strings.ToLower(name)} {
			k := string(key)
			checkEvents(t, "<"+form+">", events(k))
			checkEvents(t, "<"+form+"On><"+form+"Off>", events("+"+k+" -"+k))
			checkEvents(t, "<"+form+"ON><"+form+"oFF>", events("+"+k+" -"+k))
		}
	}
}

func checkEvents(t *testing.T, text string, want []hypervisor.KeyEvent) {
	t.Helper()
	p, warnings, err := bootcmd.Parse(text)
	if err != nil || len(warnings) > 0 {
		t.Errorf("%s: %v, %v", text, warnings, err)
	}
	if diff := cmp.Diff(want, p.Events()); diff != "" {
		t.Errorf("%s: %s", text, diff)
	}
}

func TestParseTypesUnknownTokens(t *testing.T) {
	t.Parallel()
	tests := []struct{ text, token, message string }{
		{"a<entr>", "<entr>", "did you mean <enter>?"},
		{"<f13>", "<f13>", "did you mean <f1"},
		{"<backspace>", "<backspace>", "did you mean <bs>?"},
		{"<delete>", "<delete>", "did you mean <del>?"},
		{"<ctrlOn>", "<ctrlOn>", "did you mean <leftCtrlOn>?"},
		{"<leftCtlOff>", "<leftCtlOff>", "did you mean <leftCtrlOff>?"},
		{"<Wait5>", "<Wait5>", "did you mean <wait5s>?"},
		{"<wait5 >", "", ""},
		{"<wait05>", "<wait05>", "did you mean <wait5s>?"},
		{"<wait-5>", "<wait-5>", "did you mean <wait5s>?"},
		{"<wait5x>", "<wait5x>", "did you mean <wait5s>?"},
		{"<wait5s3>", "<wait5s3>", "did you mean <wait5s>?"},
		{"<qqqqqqqqqqqq>", "<qqqqqqqqqqqq>", "typed as it stands"},
		{"<html><body>", "<html>", "typed as it stands"},
	}
	for _, tt := range tests {
		p, warnings, err := bootcmd.Parse(tt.text)
		if err != nil {
			t.Errorf("%s: %v", tt.text, err)
			continue
		}
		if got := echo(p); got != tt.text {
			t.Errorf("%s is typed as %q", tt.text, got)
		}
		if tt.token == "" {
			if len(warnings) != 0 {
				t.Errorf("%s: warnings %v", tt.text, warnings)
			}
			continue
		}
		if len(warnings) == 0 || warnings[0].Token != tt.token || !strings.Contains(warnings[0].Message, tt.message) {
			t.Errorf("%s: warnings %v, want %s: %s", tt.text, warnings, tt.token, tt.message)
		}
	}
}

func TestParseCountsCharacters(t *testing.T) {
	t.Parallel()
	_, warnings, err := bootcmd.Parse("<wait3µs>ab<entr>")
	if err != nil {
		t.Fatal(err)
	}
	want := []bootcmd.Warning{{Position: 12, Token: "<entr>", Message: "there is no such token, so it is typed as it stands; did you mean <enter>?"}}
	if diff := cmp.Diff(want, warnings); diff != "" {
		t.Error(diff)
	}
}

func TestParseReleasesHeldKeys(t *testing.T) {
	t.Parallel()
	p, warnings, err := bootcmd.Parse("<leftCtrlOn><leftAltOn>x<AOn>")
	if err != nil {
		t.Fatal(err)
	}
	want := bootcmd.Program{
		keys("<leftCtrlOn><leftAltOn>x<AOn>", "+ctrl +alt x +shift +a"),
		keys("", "-a -shift -alt -ctrl"),
	}
	if diff := cmp.Diff(want, p); diff != "" {
		t.Error(diff)
	}
	var tokens []string
	for _, w := range warnings {
		tokens = append(tokens, w.Token)
		if !strings.Contains(w.Message, "Off>") {
			t.Errorf("%s does not name its counterpart", w)
		}
	}
	if diff := cmp.Diff([]string{"<leftCtrlOn>", "<leftAltOn>", "<AOn>"}, tokens); diff != "" {
		t.Error(diff)
	}
}

func TestParseErrors(t *testing.T) {
	t.Parallel()
	tests := []struct {
		text     string
		position int
		message  string
	}{
		{"grüße", 3, `the rune 'ü' (U+00FC) is not on a US keyboard`},
		{"<üOn>", 1, `the rune 'ü'`},
		{"a\nb", 2, "write <enter>"},
		{"\r", 1, "write <enter>"},
		{"a\tb", 2, "write <tab>"},
		{"ab\xff", 3, "not UTF-8"},
		{"<wait0>", 1, "longer than zero"},
		{"x<wait0s>", 2, "longer than zero"},
		{"<wait-5s>", 1, "longer than zero"},
		{"<wait1m-30s>", 1, "is not a time"},
		{"<wait99999999999>", 1, "is not a time"},
		{"<wait9999999999999999999999h>", 1, "is not a time"},
	}
	for _, tt := range tests {
		p, _, err := bootcmd.Parse(tt.text)
		var e *bootcmd.Error
		if !errors.As(err, &e) {
			t.Errorf("%q: %v, %v", tt.text, p, err)
			continue
		}
		if e.Position != tt.position || !strings.Contains(err.Error(), tt.message) {
			t.Errorf("%q: %v, want %q at %d", tt.text, err, tt.message, tt.position)
		}
	}
}

func TestParseTellsAllMistakesAtOnceButNotForever(t *testing.T) {
	t.Parallel()
	_, _, err := bootcmd.Parse("ä<wait0>ö")
	if n := strings.Count(err.Error(), "\n") + 1; n != 3 {
		t.Errorf("%d mistakes told: %v", n, err)
	}
	_, _, err = bootcmd.Parse(strings.Repeat("\xff", 1<<16))
	if n := strings.Count(err.Error(), "\n") + 1; n != 10 {
		t.Errorf("%d mistakes told of a binary file", n)
	}
	_, warnings, err := bootcmd.Parse(strings.Repeat("<foo>", 1<<14))
	if err != nil || len(warnings) != 10 {
		t.Errorf("%d warnings, %v", len(warnings), err)
	}
}

// TestPrintableRoundTrip types text and reads it back through the key map.
func TestPrintableRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := string(rapid.SliceOf(rapid.RuneFrom([]rune(printable()))).Draw(t, "text"))
		p, _, err := bootcmd.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := echo(p); got != text {
			t.Fatalf("%q is typed as %q", text, got)
		}
	})
}

// printable is printable ASCII without the character that begins a token.
func printable() string {
	var b strings.Builder
	for r := ' '; r <= '~'; r++ {
		if r != '<' {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func echo(p bootcmd.Program) string {
	var e bootcmd.Echo
	var b strings.Builder
	for _, ev := range p.Events() {
		if r, ok := e.Event(ev); ok {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// lasts is how long a wait lasts at most, and 1 for keys.
func lasts(op bootcmd.Op) time.Duration {
	switch op := op.(type) {
	case bootcmd.Wait:
		return op.For
	case bootcmd.WaitScreen:
		return op.Limit
	case bootcmd.WaitSeed:
		return op.Limit
	}
	return 1
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"", "<wait5s>", "<leftCtrlOn>c<leftCtrlOff>", "<wait1m20s><f10>", "<<<on>", "<waitx>", "ä", "\xff<", "<AOn>", "install auto=true<enter>", "<waitScreen><waitseed9>", "<WAITSEED1h-2h>", "<waitScreen0>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, _, err := bootcmd.Parse(text)
		if err != nil {
			var e *bootcmd.Error
			if !errors.As(err, &e) || e.Position < 1 || p != nil {
				t.Fatalf("%v, %v", p, err)
			}
			return
		}
		down := map[hypervisor.Key]bool{}
		var source strings.Builder
		for _, op := range p {
			source.WriteString(op.Source())
			if d := lasts(op); d <= 0 {
				t.Fatalf("a wait of %s", d)
			}
		}
		for _, e := range p.Events() {
			if _, ok := bootcmd.Scancode(e); !ok {
				t.Fatalf("key %q is unknown", e.Key)
			}
			down[e.Key] = e.Down
		}
		for k, d := range down {
			if d {
				t.Fatalf("%q is left down", k)
			}
		}
		if source.String() != text {
			t.Fatalf("the steps are made from %q", source.String())
		}
	})
}
