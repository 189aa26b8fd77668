// Package vmx reads and writes the configuration files of VMware's machines.
//
// A [File] keeps every line of what it read: keys that it does not know, comments, order, spelling and line ends are
// written back byte for byte, but for what was set or deleted. [FromMachine] makes a file of a machine on paper, [File.ToMachine] reads
// one back, and [File.CleanForBox] takes out what belongs to the machine that ran and not to its copies. Keys: VMware's own files,
// and what packer-plugin-vmware and vagrant-vmware-desktop write.
package vmx

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
)

// File is a VMX file. Keys are compared without regard to case. The zero value is an empty file in UTF-8.
type File struct {
	lines   []line
	eol     string // what new lines end with; empty: "\n"
	windows bool   // windows-1252 instead of UTF-8
	plain   bool   // in an encoding that is not known here: only ASCII can be read and written
}

// line is a line of a file; raw is all of it with its end, key is empty for comments and empty lines.
type line struct {
	raw        string
	key, value string
}

// MaxSize is the longest file that Parse takes, in bytes. Real ones have a few kilobytes.
const MaxSize = 1 << 20

const (
	encodingKey = ".encoding"
	utf8Name    = "UTF-8"
	windowsName = "windows-1252"
	bom         = "\ufeff"
)

// Parse reads a file, in the encoding that it names: UTF-8 or windows-1252. One that names none is UTF-8 if it can be, and one in another
// encoding is taken if it is all ASCII.
func Parse(r io.Reader) (*File, error) {
	text, err := io.ReadAll(io.LimitReader(r, MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("read the VMX file: %w", err)
	}
	if len(text) > MaxSize {
		return nil, fmt.Errorf("the VMX file is longer than %d MiB, which none is", MaxSize>>20)
	}
	f := &File{}
	for n, raw := range bytes.SplitAfter(text, []byte("\n")) {
		if len(raw) == 0 {
			continue
		}
		l, err := parseLine(string(raw))
		if err != nil {
			return nil, fmt.Errorf("line %d of the VMX file: %w", n+1, err)
		}
		f.lines = append(f.lines, l)
	}
	if len(f.lines) > 0 && strings.HasSuffix(f.lines[0].raw, "\r\n") {
		f.eol = "\r\n"
	}
	if err := f.decode(text); err != nil {
		return nil, err
	}
	return f, nil
}

// parseLine takes a line apart. VMware stops at a line that is neither empty nor a comment nor an assignment, and so does this.
func parseLine(raw string) (line, error) {
	text := strings.TrimSpace(strings.TrimPrefix(raw, bom))
	if text == "" || text[0] == '#' {
		return line{raw: raw}, nil
	}
	key, value, ok := strings.Cut(text, "=")
	key, value = strings.TrimSpace(key), strings.TrimSpace(value)
	if !ok || key == "" {
		return line{}, fmt.Errorf(`%q is not of the form key = "value"`, text)
	}
	if strings.HasPrefix(value, `"`) {
		if value, _, ok = strings.Cut(value[1:], `"`); !ok {
			return line{}, fmt.Errorf("the value of %s has no closing quote", key)
		}
	} else if value, _, ok = strings.Cut(value, "#"); ok {
		value = strings.TrimSpace(value)
	}
	return line{raw: raw, key: key, value: unescape(value)}, nil
}

// decode turns the values into UTF-8.
func (f *File) decode(text []byte) error {
	name, named := f.Get(encodingKey)
	switch {
	case named && strings.EqualFold(name, windowsName), !named && !utf8.Valid(text):
		f.windows = true
		for i := range f.lines {
			f.lines[i].key, f.lines[i].value = fromWindows(f.lines[i].key), fromWindows(f.lines[i].value)
		}
	case named && !strings.EqualFold(name, utf8Name) && !strings.EqualFold(name, "utf8"):
		f.plain = true
		if slices.ContainsFunc(text, func(b byte) bool { return b >= utf8.RuneSelf }) {
			return fmt.Errorf("the VMX file is written in %s: open it in VMware and save it in UTF-8", name)
		}
	case !utf8.Valid(text):
		return fmt.Errorf("the VMX file says that it is in UTF-8, and is not: save it in UTF-8")
	}
	return nil
}

// fromWindows cannot fail: every byte is a character, if only the replacement.
func fromWindows(s string) string {
	decoded, err := charmap.Windows1252.NewDecoder().String(s)
	if err != nil {
		return s
	}
	return decoded
}

// escape writes what a value cannot hold as |hex: quotes, bars, control characters.
func escape(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r == '"' || r == '|' || r < ' ' {
			fmt.Fprintf(&b, "|%02X", r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func unescape(s string) string {
	var b strings.Builder
	for {
		before, after, ok := strings.Cut(s, "|")
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		if len(after) >= 2 {
			if code, err := strconv.ParseUint(after[:2], 16, 8); err == nil && code < utf8.RuneSelf {
				b.WriteByte(byte(code))
				s = after[2:]
				continue
			}
		}
		b.WriteByte('|')
		s = after
	}
}

// Write writes the file in its encoding. It fails for a value that the encoding lacks.
func (f *File) Write(w io.Writer) error {
	var b strings.Builder
	for _, l := range f.lines {
		raw := l.raw
		if raw == "" {
			var err error
			if raw, err = f.encode(l.key + ` = "` + escape(l.value) + `"` + f.lineEnd()); err != nil {
				return fmt.Errorf("the value of %s in a VMX file: %w", l.key, err)
			}
		}
		b.WriteString(raw)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (f *File) lineEnd() string {
	if f.eol == "" {
		return "\n"
	}
	return f.eol
}

func (f *File) encode(s string) (string, error) {
	switch {
	case f.windows:
		encoded, err := charmap.Windows1252.NewEncoder().String(s)
		if err != nil {
			return "", fmt.Errorf("%q has characters that %s lacks: set %s to UTF-8 in a new file", s, windowsName, encodingKey)
		}
		return encoded, nil
	case f.plain && strings.IndexFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }) >= 0:
		return "", fmt.Errorf("%q has characters beyond ASCII, and the file's encoding is not known", s)
	}
	return s, nil
}

// find returns the last line that has a key, -1 if none has.
func (f *File) find(key string) int {
	for i := len(f.lines) - 1; i >= 0; i-- {
		if strings.EqualFold(f.lines[i].key, key) {
			return i
		}
	}
	return -1
}

// Get returns a value without quotes and escapes; false if there is no such key. Of a key that is there twice the last counts.
func (f *File) Get(key string) (string, bool) {
	if key == "" {
		return "", false
	}
	if i := f.find(key); i >= 0 {
		return f.lines[i].value, true
	}
	return "", false
}

// Bool is Get for a value that is TRUE or FALSE; anything else is false.
func (f *File) Bool(key string) bool {
	v, _ := f.Get(key)
	return strings.EqualFold(v, "TRUE")
}

// Set gives a key its value, in its place or at the end.
func (f *File) Set(key, value string) {
	if i := f.find(key); i >= 0 {
		if f.lines[i].value != value {
			f.lines[i] = line{key: f.lines[i].key, value: value}
		}
		return
	}
	if n := len(f.lines); n > 0 && f.lines[n-1].raw != "" && !strings.HasSuffix(f.lines[n-1].raw, "\n") {
		f.lines[n-1].raw += f.lineEnd()
	}
	f.lines = append(f.lines, line{key: key, value: value})
}

// SetBool sets TRUE or FALSE.
func (f *File) SetBool(key string, value bool) {
	f.Set(key, strings.ToUpper(strconv.FormatBool(value)))
}

// Delete removes keys; those that are not there do no harm.
func (f *File) Delete(keys ...string) {
	f.lines = slices.DeleteFunc(f.lines, func(l line) bool {
		return l.key != "" && slices.ContainsFunc(keys, func(key string) bool { return strings.EqualFold(l.key, key) })
	})
}

// DeletePrefix removes the keys that begin so: "floppy0." removes the device.
func (f *File) DeletePrefix(prefix string) {
	f.lines = slices.DeleteFunc(f.lines, func(l line) bool { return l.key != "" && hasPrefixFold(l.key, prefix) })
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// Keys returns the keys in their order, as they are spelled.
func (f *File) Keys() []string {
	var keys []string
	for _, l := range f.lines {
		if l.key != "" {
			keys = append(keys, l.key)
		}
	}
	return keys
}
