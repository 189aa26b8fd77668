package build

import (
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"time"
)

// Stamp is a time as the database and the API write it: RFC 3339 in UTC, and empty (JSON null) for never.
type Stamp time.Time

// Time returns the time; zero for never.
func (t Stamp) Time() time.Time { return time.Time(t) }

// stampFormat has a fixed width, so that text sorts as time does.
const stampFormat = "2006-01-02T15:04:05.000Z"

func (t Stamp) String() string {
	if time.Time(t).IsZero() {
		return ""
	}
	return time.Time(t).UTC().Format(stampFormat)
}

// Value implements driver.Valuer.
func (t Stamp) Value() (driver.Value, error) { return t.String(), nil }

// Scan implements sql.Scanner.
func (t *Stamp) Scan(src any) error {
	s, ok := src.(string)
	if !ok {
		return fmt.Errorf("a time is stored as text, not %T", src)
	}
	if s == "" {
		*t = Stamp{}
		return nil
	}
	v, err := time.Parse(stampFormat, s)
	*t = Stamp(v)
	return err
}

// MarshalJSON writes null for never.
func (t Stamp) MarshalJSON() ([]byte, error) {
	if time.Time(t).IsZero() {
		return []byte("null"), nil
	}
	return json.Marshal(t.String())
}

// UnmarshalJSON reads what MarshalJSON writes.
func (t *Stamp) UnmarshalJSON(b []byte) error {
	var s *string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	if s == nil {
		*t = Stamp{}
		return nil
	}
	return t.Scan(*s)
}
