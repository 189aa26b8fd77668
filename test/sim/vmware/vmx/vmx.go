// Package vmx reads and writes the configuration file of a virtual machine as the simulator of VMware needs it.
//
// It is written from what VMware's files look like and from what Packer writes, and shares nothing with the package of
// the same purpose that Boxkiln's driver uses: a simulator that read files with its client's code would repeat its
// client's mistakes. A [File] is an ordered list of settings. Keys are compared without regard to case and keep the
// spelling of the file; unknown ones are kept. Comments and lines that are no settings are dropped, as VMware drops
// them when it rewrites a file.
package vmx

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/boxkiln/boxkiln/internal/fsx"
)

// ErrIncomplete is what a file is refused with that lacks config.version or virtualHW.version.
var ErrIncomplete = errors.New("config.version or virtualHW.version is missing")

// File is the content of a configuration file.
type File struct{ settings []setting }

type setting struct{ key, value string }

// Read reads the file at path.
func Read(path string) (*File, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return Parse(data), nil
}

// Parse reads what a file holds. Of a key that is there twice the later value counts.
func Parse(data []byte) *File {
	f := &File{}
	for line := range strings.Lines(string(data)) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		key = strings.TrimSpace(key)
		if !ok || key == "" || strings.HasPrefix(key, "#") || strings.HasPrefix(key, "//") {
			continue
		}
		value = strings.TrimSpace(value)
		if n := len(value); n >= 2 && value[0] == '"' && value[n-1] == '"' {
			value = value[1 : n-1]
		}
		f.Set(key, unescape(value))
	}
	return f
}

var escaped = regexp.MustCompile(`\|[0-9A-Fa-f]{2}`)

// unescape turns |22 into a quotation mark and so on.
func unescape(s string) string {
	return escaped.ReplaceAllStringFunc(s, func(m string) string {
		b, _ := strconv.ParseUint(m[1:], 16, 8) // the expression admits nothing else
		return string([]byte{byte(b)})
	})
}

var escaper = strings.NewReplacer("|", "|7C", `"`, "|22", "\n", "|0A", "\r", "|0D")

func (f *File) index(key string) int {
	return slices.IndexFunc(f.settings, func(s setting) bool { return strings.EqualFold(s.key, key) })
}

// Get returns a value, empty when there is none.
func (f *File) Get(key string) string {
	if i := f.index(key); i >= 0 {
		return f.settings[i].value
	}
	return ""
}

// Has tells whether there is such a key.
func (f *File) Has(key string) bool { return f.index(key) >= 0 }

// Bool tells whether a value is TRUE.
func (f *File) Bool(key string) bool { return strings.EqualFold(f.Get(key), "true") }

// Int returns a number, or fallback for a value that is none.
func (f *File) Int(key string, fallback int) int {
	n, err := strconv.Atoi(f.Get(key))
	if err != nil {
		return fallback
	}
	return n
}

// Set gives a key a value, in its place if it is there, else at the end.
func (f *File) Set(key, value string) {
	if i := f.index(key); i >= 0 {
		f.settings[i].value = value
		return
	}
	f.settings = append(f.settings, setting{key, value})
}

// SetDefault gives a key a value unless it has one already.
func (f *File) SetDefault(key, value string) {
	if f.Get(key) == "" {
		f.Set(key, value)
	}
}

// Delete removes the settings whose keys match, in lower case.
func (f *File) Delete(match *regexp.Regexp) {
	f.settings = slices.DeleteFunc(f.settings, func(s setting) bool { return match.MatchString(strings.ToLower(s.key)) })
}

// Keys returns the keys that match, in lower case and in the file's order.
func (f *File) Keys(match *regexp.Regexp) []string {
	var keys []string
	for _, s := range f.settings {
		if key := strings.ToLower(s.key); match.MatchString(key) {
			keys = append(keys, key)
		}
	}
	return keys
}

// Check refuses a file that VMware would not open.
func (f *File) Check() error {
	if f.Get("config.version") == "" || f.Get("virtualHW.version") == "" {
		return ErrIncomplete
	}
	return nil
}

// Clone returns a copy.
func (f *File) Clone() *File { return &File{slices.Clone(f.settings)} }

// Bytes is the content of the file, which begins with its encoding.
func (f *File) Bytes() []byte {
	var b bytes.Buffer
	encoding := f.Get(".encoding")
	if encoding == "" {
		encoding = "UTF-8"
	}
	fmt.Fprintf(&b, ".encoding = \"%s\"\n", escaper.Replace(encoding))
	for _, s := range f.settings {
		if !strings.EqualFold(s.key, ".encoding") {
			fmt.Fprintf(&b, "%s = \"%s\"\n", s.key, escaper.Replace(s.value))
		}
	}
	return b.Bytes()
}

// Write replaces the file at path.
func (f *File) Write(path string) error { return fsx.WriteFile(path, f.Bytes(), 0o644) }
