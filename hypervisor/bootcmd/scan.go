package bootcmd

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/boxkiln/boxkiln/hypervisor"
)

// The scan functions are the rules of the grammar. Each looks whether text begins with its rule and returns the length
// of the match, or 0. As in every PEG a rule does not go back into a part that has matched.

// scanWait is Wait <- "<wait" ( Duration / Integer )? ">", which is case-sensitive. The error says what is wrong with
// the time of a match.
func scanWait(text string) (int, time.Duration, error) {
	const open = "<wait"
	if !strings.HasPrefix(text, open) {
		return 0, 0, nil
	}
	n, d, err := scanTime(text[len(open):], time.Second)
	if n == 0 {
		return 0, 0, nil
	}
	return len(open) + n, d, err
}

// scanTime is ( Duration / Integer )? ">", where an integer is seconds and nothing is unset.
func scanTime(rest string, unset time.Duration) (int, time.Duration, error) {
	n := durationLen(rest)
	d, err := unset, error(nil)
	switch {
	case n > 0:
		d, err = duration(rest[:n])
	default:
		if n = integerLen(rest); n > 0 {
			d, err = duration(rest[:n] + "s")
		}
	}
	if !strings.HasPrefix(rest[n:], ">") {
		return 0, 0, nil
	}
	return n + 1, d, err
}

// The waits that look at the machine, without what ends them. Like the names of keys they may be in either case.
const (
	openScreen = "<waitScreen"
	openSeed   = "<waitSeed"
)

// lookLen is the length of the name that text begins with, "<" included, if it is that of a wait that looks.
func lookLen(text string) int {
	for _, open := range []string{openScreen, openSeed} {
		if len(text) >= len(open) && strings.EqualFold(text[:len(open)], open) {
			return len(open)
		}
	}
	return 0
}

// scanLook is Look <- "<" ("waitScreen" / "waitSeed") ( Duration / Integer )? ">", which is ours and not of the grammar.
// Packer types it as it stands.
func scanLook(text string) (int, Op, error) {
	open := lookLen(text)
	if open == 0 {
		return 0, nil, nil
	}
	n, limit, err := scanTime(text[open:], DefaultLimit)
	if n == 0 {
		return 0, nil, nil
	}
	n += open
	if err == nil && limit <= 0 {
		err = errors.New("a wait must be longer than zero; leave the time out or write for example " + text[:open] + "2m>")
	}
	if open == len(openScreen) {
		return n, WaitScreen{Text: text[:n], Limit: limit}, err
	}
	return n, WaitSeed{Text: text[:n], Limit: limit}, err
}

func duration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("%s is not a time; write for example <wait5s> or <wait1m20s>", strconv.Quote(s))
	}
	return d, nil
}

// durationLen is Duration <- ( '-'? Integer ('.' Digit+)? Unit )+.
func durationLen(s string) int {
	total := 0
	for {
		n := numberLen(s[total:])
		if n == 0 {
			return total
		}
		u := unitLen(s[total+n:])
		if u == 0 {
			return total
		}
		total += n + u
	}
}

func numberLen(s string) int {
	n := 0
	if strings.HasPrefix(s, "-") {
		n = 1
	}
	i := integerLen(s[n:])
	if i == 0 {
		return 0
	}
	n += i
	if strings.HasPrefix(s[n:], ".") {
		if d := digits(s[n+1:]); d > 0 {
			n += 1 + d
		}
	}
	return n
}

// integerLen is Integer <- '0' / [1-9] [0-9]*.
func integerLen(s string) int {
	if strings.HasPrefix(s, "0") {
		return 1
	}
	return digits(s)
}

func digits(s string) int {
	n := 0
	for n < len(s) && '0' <= s[n] && s[n] <= '9' {
		n++
	}
	return n
}

func unitLen(s string) int {
	for _, u := range []string{"ns", "us", "µs", "ms", "s", "m", "h"} {
		if strings.HasPrefix(s, u) {
			return len(u)
		}
	}
	return 0
}

// scanToggle is CharToggle <- "<" AnyRune ("on"/"off") ">".
func scanToggle(text string) (int, rune, action) {
	if !strings.HasPrefix(text, "<") {
		return 0, 0, press
	}
	r, size := utf8.DecodeRuneInString(text[1:])
	if size == 0 {
		return 0, 0, press
	}
	n, act := suffixLen(text[1+size:])
	if n == 0 || act == press {
		return 0, 0, press
	}
	return 1 + size + n, r, act
}

// scanSpecial is Special <- "<" KeyName ("on"/"off")? ">". No name followed by on or off is another name, so the name
// is what is left of the token without that suffix.
func scanSpecial(text string) (int, hypervisor.Key, action) {
	if !strings.HasPrefix(text, "<") {
		return 0, "", press
	}
	name := 1
	for name < len(text) && isAlphanumeric(text[name]) {
		name++
	}
	for _, cut := range []int{0, len("on"), len("off")} {
		if name-cut <= 1 {
			break
		}
		key, known := us.byName[strings.ToLower(text[1:name-cut])]
		if !known {
			continue
		}
		if n, act := suffixLen(text[name-cut:]); n > 0 {
			return name - cut + n, key, act
		}
	}
	return 0, "", press
}

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// suffixLen is ("on"/"off")? ">".
func suffixLen(text string) (int, action) {
	for _, s := range []struct {
		text string
		act  action
	}{{"on>", on}, {"off>", off}, {">", press}} {
		if len(text) >= len(s.text) && strings.EqualFold(text[:len(s.text)], s.text) {
			return len(s.text), s.act
		}
	}
	return 0, press
}
