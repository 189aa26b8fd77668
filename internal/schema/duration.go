package schema

import (
	"encoding/json"
	"fmt"
	"time"
)

// Duration is a template argument such as "10s" or "1h30m". Its zero value means that the argument was not given.
type Duration time.Duration

// Or returns d, or fallback if it was not given.
func (d Duration) Or(fallback time.Duration) time.Duration {
	if d == 0 {
		return fallback
	}
	return time.Duration(d)
}

// UnmarshalJSON takes Go's duration syntax, and "" for not given.
func (d *Duration) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("a duration such as \"10s\" is needed, not %s", b)
	}
	if s == "" {
		*d = 0
		return nil
	}
	v, err := time.ParseDuration(s)
	if err != nil {
		return fmt.Errorf("%q is not a duration; write it like \"10s\" or \"1h30m\"", s)
	}
	*d = Duration(v)
	return nil
}

// MarshalJSON writes the syntax that UnmarshalJSON takes.
func (d Duration) MarshalJSON() ([]byte, error) {
	if d == 0 {
		return []byte(`""`), nil
	}
	return json.Marshal(time.Duration(d).String())
}
