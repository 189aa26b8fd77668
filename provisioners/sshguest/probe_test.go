package sshguest

import (
	"bufio"
	"bytes"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
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

// TestRefusalsAreNotTriedAgainInHaste: the few attempts that the user allows would be over before a booting system lets
// anybody in.
func TestRefusalsAreNotTriedAgainInHaste(t *testing.T) {
	t.Parallel()
	var r refusals
	h := haste(hastyTries)
	if d := r.pause(time.Second, &h); d != hastyPoll {
		t.Errorf("after a server that hung up: %s", d)
	}
	key := hostKeyForTest(t)
	for i, want := range []time.Duration{1, 2, 3, 4, 5, 5} {
		if n := r.add(key); n != i+1 {
			t.Fatalf("refusal %d counts as %d", i+1, n)
		}
		if d := r.pause(time.Second, &h); d != want*time.Second {
			t.Errorf("after refusal %d: %s", i+1, d)
		}
	}
}

func hostKeyForTest(t *testing.T) ssh.PublicKey {
	t.Helper()
	pair, err := GenerateKey("", 0)
	if err != nil {
		t.Fatal(err)
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(pair.AuthorizedKey))
	if err != nil {
		t.Fatal(err)
	}
	return key
}
