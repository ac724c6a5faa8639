package sqlstore

import (
	"database/sql/driver"
	"fmt"
	"time"
)

// stamp is a time as the database keeps it: milliseconds since 1970 in UTC,
// NULL for the zero time.
type stamp time.Time

func (s stamp) millis() int64 { return time.Time(s).UnixMilli() }

// since returns the time since the zero time, 0 for that.
func (s stamp) since() millis {
	if time.Time(s).IsZero() {
		return 0
	}
	return millisOf(time.Time(s))
}

// Value implements driver.Valuer.
func (s stamp) Value() (driver.Value, error) {
	if time.Time(s).IsZero() {
		return nil, nil
	}
	return s.millis(), nil
}

// Scan implements sql.Scanner.
func (s *stamp) Scan(v any) error {
	switch v := v.(type) {
	case nil:
		*s = stamp{}
	case int64:
		*s = stamp(time.UnixMilli(v).UTC())
	default:
		return fmt.Errorf("a time is kept as %T, not as a whole number", v)
	}
	return nil
}
