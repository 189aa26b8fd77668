package redact

import (
	"fmt"
	"io"
	"log/slog"
)

// Mark stands where a secret was.
const Mark = "[redacted]"

// Secret is a string that no log, error or JSON shows: every way of printing it writes [Mark]. What it holds is got with
// Reveal, so that the places which do can be found. It is read from JSON as any string.
type Secret string

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return string(s) }

// String implements fmt.Stringer.
func (s Secret) String() string { return Mark }

// Format implements fmt.Formatter, so that no verb (%x, %q, %#v ...) shows the secret.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, Mark) }

// MarshalText implements encoding.TextMarshaler, and so JSON.
func (s Secret) MarshalText() ([]byte, error) { return []byte(Mark), nil }

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(Mark) }
