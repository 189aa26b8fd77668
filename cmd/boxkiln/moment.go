package main

import (
	"fmt"
	"time"
)

// momentFlag is a moment to come, as people write it: a day, a time, or how long it is until then.
type momentFlag struct{ time.Time }

// Set reads a moment. A day is its first moment, by the clock of this machine.
func (m *momentFlag) Set(text string) error {
	if m.Time = parseMoment(text); m.IsZero() {
		return fmt.Errorf("%q is neither a day such as 2027-01-31, nor a time such as 2027-01-31T12:00:00Z, nor a time span such as 90d", text)
	}
	if !m.After(now()) {
		return fmt.Errorf("%q has passed", text)
	}
	return nil
}

// parseMoment gives the zero time for what is none.
func parseMoment(text string) time.Time {
	if at, err := time.ParseInLocation(time.DateOnly, text, time.Local); err == nil {
		return at
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at
	}
	var span durationFlag
	if span.Set(text) == nil {
		return now().Add(span.Duration)
	}
	return time.Time{}
}

// String is empty when no moment was given.
func (m *momentFlag) String() string {
	if m.IsZero() {
		return ""
	}
	return m.Format(time.RFC3339)
}

// Type is what the help calls the value.
func (*momentFlag) Type() string { return "moment" }
