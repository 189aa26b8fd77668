package bootcmd_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/hypervisor/bootcmd"
)

// scan renders the PC-XT codes of a boot command in hexadecimal.
func scan(t *testing.T, text string) string {
	t.Helper()
	p, _, err := bootcmd.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range p.Events() {
		b, ok := bootcmd.Scancode(e)
		if !ok {
			t.Fatalf("no scan code of %q", e.Key)
		}
		for _, c := range b {
			out = append(out, fmt.Sprintf("%02x", c))
		}
	}
	return strings.Join(out, " ")
}

// TestScancode compares with what VBoxManage controlvm keyboardputscancode is given by Packer.
func TestScancode(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"<bs>": "0e 8e", "<tab>": "0f 8f", "<enter>": "1c 9c", "<return>": "1c 9c", "<esc>": "01 81", "<del>": "e0 53 e0 d3",
		"<up>": "e0 48 e0 c8", "<down>": "e0 50 e0 d0", "<left>": "e0 4b e0 cb", "<right>": "e0 4d e0 cd",
		"<home>": "e0 47 e0 c7", "<end>": "e0 4f e0 cf", "<pageUp>": "e0 49 e0 c9", "<pageDown>": "e0 51 e0 d1", "<insert>": "e0 52 e0 d2",
		"<f1>": "3b bb", "<f10>": "44 c4", "<f11>": "57 d7", "<f12>": "58 d8",
		"<leftShift>": "2a aa", "<rightShift>": "36 b6", "<leftCtrl>": "1d 9d", "<rightCtrl>": "e0 1d e0 9d",
		"<leftAlt>": "38 b8", "<rightAlt>": "e0 38 e0 b8", "<leftSuper>": "e0 5b e0 db", "<rightSuper>": "e0 5c e0 dc",
		"<menu>": "e0 5d e0 dd", "<spacebar>": "39 b9", " ": "39 b9",
		"1": "02 82", "0": "0b 8b", "-": "0c 8c", "=": "0d 8d", "q": "10 90", "p": "19 99", "[": "1a 9a", "]": "1b 9b",
		"a": "1e 9e", "l": "26 a6", ";": "27 a7", "'": "28 a8", "`": "29 a9", `\`: "2b ab", "z": "2c ac", "m": "32 b2",
		",": "33 b3", ".": "34 b4", "/": "35 b5",
		"A": "2a 1e 9e aa", "~": "2a 29 a9 aa", "|": "2a 2b ab aa", "?": "2a 35 b5 aa", `"`: "2a 28 a8 aa", "_": "2a 0c 8c aa",
	}
	for text, want := range tests {
		if got := scan(t, text); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

func TestKeysym(t *testing.T) {
	t.Parallel()
	tests := []struct {
		key   hypervisor.Key
		shift bool
		want  uint32
	}{
		{"a", false, 'a'}, {"a", true, 'A'}, {"slash", true, '?'}, {"spc", false, 0x20}, {"spc", true, 0x20},
		{"backspace", false, 0xff08}, {"ret", false, 0xff0d}, {"delete", false, 0xffff}, {"f1", false, 0xffbe}, {"f10", true, 0xffc7},
		{"f12", false, 0xffc9}, {"shift", false, 0xffe1}, {"ctrl_r", false, 0xffe4}, {"meta_l", false, 0xffeb}, {"compose", false, 0xff67},
	}
	for _, tt := range tests {
		if got, ok := bootcmd.Keysym(tt.key, tt.shift); !ok || got != tt.want {
			t.Errorf("%s, shift %v: %#x %v, want %#x", tt.key, tt.shift, got, ok, tt.want)
		}
	}
	if _, ok := bootcmd.Keysym("nonesuch", false); ok {
		t.Error("an unknown key has a keysym")
	}
	if _, ok := bootcmd.Scancode(hypervisor.KeyEvent{Key: "nonesuch"}); ok {
		t.Error("an unknown key has a scan code")
	}
}

func TestKeyFor(t *testing.T) {
	t.Parallel()
	for r := ' '; r <= '~'; r++ {
		key, shift, ok := bootcmd.KeyFor(r)
		if !ok {
			t.Errorf("no key types %q", r)
			continue
		}
		if back, ok := bootcmd.Rune(key, shift); !ok || back != r {
			t.Errorf("%q is typed by %s, which types %q", r, key, back)
		}
	}
	for _, r := range "\x00\n\x7fé世" {
		if key, _, ok := bootcmd.KeyFor(r); ok {
			t.Errorf("%q is typed by %s", r, key)
		}
	}
}

func TestEcho(t *testing.T) {
	t.Parallel()
	p, _, err := bootcmd.Parse("aB<leftShiftOn>c1<leftShiftOff><rightShiftOn>d<rightShiftOff>e<enter><tab><bs><f1>")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := echo(p), "aBC!De\n\t\b"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
