// Package shellquote writes words so that a POSIX shell reads them back unchanged. It is the only place that does.
package shellquote

import "strings"

// Quote is s as one word for sh. Words of harmless characters stay as they are, so that commands in logs are easy to
// read. A NUL byte cannot be part of a shell word and is left out.
func Quote(s string) string {
	s = strings.ReplaceAll(s, "\x00", "")
	if s != "" && strings.IndexFunc(s, special) < 0 {
		return s
	}
	return "'" + Escape(s) + "'"
}

// Escape is s for a place between two single quotes that somebody else wrote, such as '%s' in Packer's env_var_format.
// The form is Packer's, so that a template's own quoting meets what it was made for.
func Escape(s string) string { return strings.ReplaceAll(s, "'", `'"'"'`) }

// Join is a command line of the words.
func Join(words ...string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = Quote(w)
	}
	return strings.Join(quoted, " ")
}

// special tells characters that a shell may read as something else than themselves. "=" is among them, since a first
// word with one is an assignment, and "~", which is a home directory at the start of a word.
func special(r rune) bool {
	switch {
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
		return false
	}
	return !strings.ContainsRune("-_./:,+@%", r)
}
