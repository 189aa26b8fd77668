package main

import (
	"fmt"
	"strconv"
	"strings"
)

// option is one that a command takes. '#' in a name stands for the number of a slot: --natpf#.
type option struct {
	name  string   // as VirtualBox 6.1 has it, or what it is called since it exists
	more  []string // other names, also short ones
	dash  string   // its name since 7.0, beside the old one
	value bool
	since int // the first profile that has it
	until int // the last one; 0 for no end
}

// given is an option of a command line.
type given struct {
	name  string // as in option.name
	slot  int    // for '#'
	value string
}

// parse takes the options out of a command line and returns them in order, and what is left. It reads like VirtualBox's RTGetOpt:
// options and other arguments in any order, values after a space, an equals sign or a colon.
func (c *call) parse(args []string, options []option) (rest []string, opts []given, err error) {
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if len(arg) < 2 || arg[0] != '-' {
			rest = append(rest, arg)
			continue
		}
		o, g, inline, ok := c.find(arg, options)
		if !ok {
			return nil, nil, &syntaxError{text: "Unknown option: " + arg, getopt: true}
		}
		switch {
		case !o.value:
		case inline:
		case i+1 < len(args):
			i++
			g.value = args[i]
		default:
			return nil, nil, &syntaxError{text: o.name + ": VERR_GETOPT_REQUIRED_ARGUMENT_MISSING", getopt: true}
		}
		opts = append(opts, g)
	}
	return rest, opts, nil
}

// find looks an argument up; inline tells if it carries its value.
func (c *call) find(arg string, options []option) (o option, g given, inline, ok bool) {
	word, value, _ := strings.Cut(arg, "=")
	inline = word != arg
	for _, o := range options {
		if !c.profile.atLeast(o.since) || o.until != 0 && c.profile.atLeast(o.until+1) {
			continue
		}
		names := append([]string{o.name}, o.more...)
		if c.profile.seven() && o.dash != "" {
			names = append(names, o.dash)
		}
		for _, name := range names {
			if slot, fits := matchName(name, word); fits && (o.value || !inline) {
				return o, given{o.name, slot, value}, inline, true
			}
		}
	}
	return option{}, given{}, false, false
}

// matchName compares a name with '#' in it to a word.
func matchName(name, word string) (slot int, ok bool) {
	prefix, suffix, numbered := strings.Cut(name, "#")
	if !numbered {
		return 0, name == word
	}
	number, ok := strings.CutPrefix(word, prefix)
	if !ok {
		return 0, false
	}
	if number, ok = strings.CutSuffix(number, suffix); !ok {
		return 0, false
	}
	slot, err := strconv.Atoi(number)
	return slot, err == nil && slot >= 1 && slot <= 36
}

// switchOn reads on and off.
func switchOn(name, value string) (bool, error) {
	switch strings.ToLower(value) {
	case "on", "yes", "true", "enable", "enabled", "1":
		return true, nil
	case "off", "no", "false", "disable", "disabled", "0":
		return false, nil
	}
	return false, &syntaxError{text: name + ": VERR_PARSE_ERROR", getopt: true}
}

func number(name, value string) (int, error) {
	n, err := strconv.ParseInt(value, 0, 64)
	if err != nil || n < 0 {
		return 0, &syntaxError{text: name + ": VERR_GETOPT_INVALID_ARGUMENT_FORMAT", getopt: true}
	}
	return int(n), nil
}

// onOff is how switches are shown.
func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

// one returns the only argument that is left, or complains in the command's way.
func one(rest []string, complaint string) (string, error) {
	if len(rest) == 0 {
		return "", syntax("%s", complaint)
	}
	if len(rest) > 1 {
		return "", &syntaxError{text: fmt.Sprintf("Invalid parameter '%s'", rest[1]), getopt: true}
	}
	return rest[0], nil
}
