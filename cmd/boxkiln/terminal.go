package main

import (
	"regexp"
	"strings"
)

// colorCode is the escape sequence that sets colours and weight (ECMA-48 SGR).
var colorCode = regexp.MustCompile("\x1b\\[[0-9;]*m")

// harmless takes out of a line of a guest's output what would command the user's terminal. Colours stay if the terminal
// wants them, and end with the line.
func harmless(line string, colors bool) string {
	if strings.IndexFunc(line, commands) < 0 {
		return line
	}
	var b strings.Builder
	last := 0
	for _, at := range colorCode.FindAllStringIndex(line, -1) {
		b.WriteString(printable(line[last:at[0]]))
		if colors {
			b.WriteString(line[at[0]:at[1]])
		}
		last = at[1]
	}
	b.WriteString(printable(line[last:]))
	if colors && last > 0 {
		b.WriteString("\x1b[0m")
	}
	return b.String()
}

// commands tells the control characters that a terminal obeys; a tab only moves it.
func commands(r rune) bool {
	return r != '\t' && (r < ' ' || r == 0x7f || (r >= 0x80 && r < 0xa0))
}

func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if commands(r) {
			return -1
		}
		return r
	}, s)
}
