package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// durationFlag is a time span as people write it, in whole days too: 90d, 720h.
type durationFlag struct{ time.Duration }

// Set reads a time span, which is not negative.
func (d *durationFlag) Set(text string) error {
	var err error
	if days, found := strings.CutSuffix(text, "d"); found {
		var n int64
		n, err = strconv.ParseInt(days, 10, 32)
		d.Duration = time.Duration(n) * 24 * time.Hour
	} else {
		d.Duration, err = time.ParseDuration(text)
	}
	if err != nil || d.Duration < 0 {
		return fmt.Errorf("%q is not a time span: write it like 90d or 720h", text)
	}
	return nil
}

// Type is what the help calls the value.
func (*durationFlag) Type() string { return "duration" }
