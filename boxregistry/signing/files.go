package signing

import (
	"fmt"
	"slices"
	"strings"

	"aead.dev/minisign"
)

// linesOfFile is how long a signature file is: two comments, and a line of base64 behind each.
const linesOfFile = 4

// Split takes apart signature files that were written one behind the other. What is left over at the end is none.
func Split(files string) []string {
	var list []string
	lines := slices.Collect(strings.Lines(files))
	for ; len(lines) >= linesOfFile; lines = lines[linesOfFile:] {
		list = append(list, strings.Join(lines[:linesOfFile], ""))
	}
	return list
}

// Find returns those of signature files that were written one behind the other whose comment is the given one, the last first.
func Find(files, comment string) (found []string) {
	for _, file := range slices.Backward(Split(files)) {
		if c, err := Comment(file); err == nil && c == comment {
			found = append(found, file)
		}
	}
	return found
}

// Comment is what a signature file says, unchecked.
func Comment(file string) (string, error) {
	var s minisign.Signature
	if err := s.UnmarshalText([]byte(file)); err != nil {
		return "", fmt.Errorf("%w: it is not in minisign's format: %w", ErrSignature, err)
	}
	return s.TrustedComment, nil
}
