package sshguest

import (
	"bufio"
	"bytes"
	"strings"
	"testing"
)

func FuzzReadBanner(f *testing.F) {
	for _, s := range []string{"SSH-2.0-x\r\n", "hello\r\nSSH-2.0-OpenSSH_9.2\n", "", "\n\n\n", "SSH-", strings.Repeat("x", 5000) + "\n", strings.Repeat("\n", 2000) + "SSH-2.0-late\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		line, err := readBanner(bufio.NewReaderSize(bytes.NewReader(b), 4096))
		if err == nil && (!bytes.HasPrefix(line, []byte("SSH-")) || !bytes.HasSuffix(line, []byte("\n")) || !bytes.Contains(b, line)) {
			t.Errorf("%q gives %q", b, line)
		}
		if text := printable(string(line)); len(text) > 255 || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("%q is not printable", text)
		}
	})
}

func FuzzParseTunnel(f *testing.F) {
	for _, s := range []string{"8080:localhost:80", "80", "1:[::1]:2", "0:a:1", "1::2", "99999:a:1", "1:a:b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if tun, err := parseTunnel(s); err == nil && (tun.port < 1 || tun.port > 65535 || tun.target == "") {
			t.Errorf("%q gives %+v", s, tun)
		}
	})
}

func TestObservationStrings(t *testing.T) {
	t.Parallel()
	for o, want := range map[string]Observation{
		"nothing yet":                              {},
		"no address yet":                           {Kind: NoAddress},
		"port 22: connection refused":              {Kind: Refused, Port: 22},
		"port 22: login refused (nothing offered)": {Kind: LoginRefused, Port: 22},
	} {
		if want.String() != o {
			t.Errorf("got %q, want %q", want, o)
		}
	}
}
