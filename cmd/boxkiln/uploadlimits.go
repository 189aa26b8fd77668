package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/boxkiln/boxkiln/boxregistry/upload"
)

// limitsFlag is what `serve --upload-limits` takes: size=100G,unpacked=2T,ratio=500,entries=1000,window=128M.
type limitsFlag upload.Limits

// String lists the limits that are set.
func (l *limitsFlag) String() string {
	var set []string
	for _, s := range []struct {
		name  string
		value int64
	}{{"size", l.Size}, {"unpacked", l.Box.Unpacked}, {"window", l.Box.Window}, {"ratio", l.Box.Ratio}, {"entries", int64(l.Box.Entries)}} {
		if s.value > 0 {
			set = append(set, fmt.Sprintf("%s=%d", s.name, s.value))
		}
	}
	return strings.Join(set, ",")
}

// Set reads a list of limits.
func (l *limitsFlag) Set(text string) error {
	for pair := range strings.SplitSeq(text, ",") {
		name, value, _ := strings.Cut(pair, "=")
		if err := l.set(strings.TrimSpace(name), value); err != nil {
			return fmt.Errorf("%q: %w", pair, err)
		}
	}
	return nil
}

func (l *limitsFlag) set(name, value string) error {
	sizes := map[string]*int64{"size": &l.Size, "unpacked": &l.Box.Unpacked, "window": &l.Box.Window}
	if to, ok := sizes[name]; ok {
		return (*sizeFlag)(to).Set(value)
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 {
		err = fmt.Errorf("%q is not a number above 0", value)
	}
	switch name {
	case "ratio":
		l.Box.Ratio = int64(n)
	case "entries":
		l.Box.Entries = n
	default:
		err = fmt.Errorf("there is no limit %q: use size, unpacked, ratio, entries or window", name)
	}
	return err
}

// Type is what the help calls the value.
func (*limitsFlag) Type() string { return "limits" }
