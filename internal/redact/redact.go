// Package redact keeps secrets out of what people read.
//
// There are two lines of defence. A value known to be secret is carried as a [Secret], which prints as "[redacted]"
// wherever it ends up. Text that comes from elsewhere, such as the output of a guest, goes through a [Writer] of a
// [Set], which replaces the secrets that occur in it: as they are, in base64 (at every alignment, so also as part of a
// longer text), percent-encoded, and as JSON and a quoting shell write them.
//
// A Writer works by lines, so a secret that arrives in pieces is found too. Of a secret with several lines, such as a
// private key, each line is a secret of its own. Base64 that is broken into lines in the middle of a secret is not found.
package redact

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
)

// minLength is the length of the shortest text that is taken for a secret. Anything shorter occurs in every log by
// chance, and replacing it would tell more than it hides.
const minLength = 4

// Set is a set of secrets to look for. It is immutable, and safe to use from several goroutines.
type Set struct {
	forms   []string // what the secrets look like, longest first
	longest int
}

// New makes a set of secrets. Those shorter than 4 bytes are left out.
func New(secrets ...string) *Set {
	s := &Set{}
	for _, secret := range secrets {
		s.add(secret)
		if lines := strings.FieldsFunc(secret, lineBreak); len(lines) > 1 {
			for _, line := range lines {
				if !strings.HasPrefix(line, "-----") { // -----BEGIN OPENSSH PRIVATE KEY-----
					s.add(line)
				}
			}
		}
	}
	slices.SortFunc(s.forms, func(a, b string) int {
		return cmp.Or(cmp.Compare(len(b), len(a)), strings.Compare(a, b))
	})
	s.forms = slices.Compact(s.forms)
	if len(s.forms) > 0 {
		s.longest = len(s.forms[0])
	}
	return s
}

func lineBreak(r rune) bool { return r == '\n' || r == '\r' }

// add adds the forms of one secret that fit into a line.
func (s *Set) add(secret string) {
	if len(secret) < minLength {
		return
	}
	forms := []string{secret, strings.ReplaceAll(secret, " ", "+"), strings.ReplaceAll(secret, "'", `'\''`), inJSON(secret)}
	for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
		forms = append(forms, enc.EncodeToString([]byte(secret)))
		for shift := range 3 {
			forms = append(forms, shifted(enc, secret, shift))
		}
	}
	for _, f := range forms {
		if len(f) >= minLength && !strings.ContainsFunc(f, lineBreak) {
			s.forms = append(s.forms, f)
		}
	}
}

// inJSON is the secret inside a JSON string.
func inJSON(secret string) string {
	b, err := json.Marshal(secret)
	if err != nil {
		return secret // no string fails to marshal
	}
	return string(b[1 : len(b)-1])
}

// shifted is the part of the base64 of a longer text that depends on the secret alone, if the secret begins shift bytes
// after a group of three.
func shifted(enc *base64.Encoding, secret string, shift int) string {
	whole := enc.WithPadding(base64.NoPadding).EncodeToString([]byte(strings.Repeat("\x00", shift) + secret))
	first := (8*shift + 5) / 6 // each character holds 6 bits
	last := 8 * (shift + len(secret)) / 6
	return whole[first:last]
}

// String replaces the secrets in a text of one or more lines.
func (s *Set) String(text string) string {
	found := s.find(text)
	if len(found) == 0 {
		return text
	}
	var b strings.Builder
	end := 0
	for _, f := range found {
		b.WriteString(text[end:f.begin])
		b.WriteString(Mark)
		end = f.end
	}
	b.WriteString(text[end:])
	return b.String()
}

// span is a part of a text, in bytes.
type span struct{ begin, end int }

// find returns where the secrets are, in order and without overlap.
func (s *Set) find(text string) []span {
	found := s.search(text)
	if strings.Contains(text, "%") {
		decoded, at := unescape(text)
		for _, f := range s.search(decoded) {
			found = append(found, span{at[f.begin], at[f.end]})
		}
	}
	slices.SortFunc(found, func(a, b span) int { return cmp.Or(a.begin-b.begin, b.end-a.end) })
	var merged []span
	for _, f := range found {
		if n := len(merged); n > 0 && f.begin < merged[n-1].end {
			merged[n-1].end = max(merged[n-1].end, f.end)
			continue
		}
		merged = append(merged, f)
	}
	return merged
}

func (s *Set) search(text string) []span {
	var found []span
	for _, form := range s.forms {
		for from := 0; ; {
			i := strings.Index(text[from:], form)
			if i < 0 {
				break
			}
			found = append(found, span{from + i, from + i + len(form)})
			from += i + 1 // occurrences may overlap, as "aba" in "ababa"
		}
	}
	return found
}

// unescape decodes the percent-encoded bytes of a text and leaves the rest as it is. at[i] is where byte i of the result
// comes from; it has one more element, for the end.
func unescape(text string) (decoded string, at []int) {
	var b strings.Builder
	for i := 0; i < len(text); {
		at = append(at, i)
		if i+2 < len(text) && text[i] == '%' {
			hi, lo := unhex(text[i+1]), unhex(text[i+2])
			if hi >= 0 && lo >= 0 {
				b.WriteByte(byte(hi<<4 | lo))
				i += 3
				continue
			}
		}
		b.WriteByte(text[i])
		i++
	}
	return b.String(), append(at, len(text))
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
