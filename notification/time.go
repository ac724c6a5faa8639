package notification

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// instant reads a point in time: RFC 3339, also without a zone, or the seconds
// or milliseconds since 1970, which differ by their size. Empty is no time.
func instant(field, s string) (time.Time, error) {
	if len(s) > len(time.DateOnly) && s[len(time.DateOnly)] == 'T' {
		if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
			return actual(t), nil
		}
	}
	if s != "" && strings.Trim(s, "0123456789+-.eE") == "" && strings.Count(s, "-") < 2 {
		return epoch(field, s)
	}
	// Without a zone it is taken as UTC: whoever drops the zone prints UTC.
	return date(field, s, time.UTC)
}

// epoch reads seconds up to the year 5138, and milliseconds from 1973 on.
func epoch(field, s string) (time.Time, error) {
	n, err := strconv.ParseFloat(s, 64)
	switch {
	case err != nil || n < 0 || n >= 1e14:
		return time.Time{}, fmt.Errorf("%s: is not a number of seconds or milliseconds since 1970", field)
	case n < 1e11:
		n *= 1000
	}
	return actual(time.UnixMilli(int64(math.Round(n))).UTC()), nil
}

// dateLayouts are those of ISO 8601 that occur, and SAP's.
var dateLayouts = [...]string{
	time.DateOnly, "2006-01-02T15:04:05", "2006-01-02T15:04", "20060102",
	time.RFC3339Nano, "2006-01-02T15:04:05Z0700", "2006-01-02T15:04Z07:00",
}

// date reads a date, with or without a time of day and a zone. It holds in
// zone if it names none. What means "no date" is the zero time.
func date(field, s string, zone *time.Location) (time.Time, error) {
	s = strings.ToUpper(s) // RFC 3339, section 5.6: "t" and "z" are allowed
	if len(s) > len(time.DateOnly) && s[len(time.DateOnly)] == ' ' {
		s = s[:len(time.DateOnly)] + "T" + s[len(time.DateOnly)+1:]
	}
	if s == "" || strings.HasPrefix(s, "0000") && strings.Trim(s, "0-T:") == "" { // SAP's initial date
		return time.Time{}, nil
	}
	for _, layout := range dateLayouts {
		if t, err := time.ParseInLocation(layout, s, zone); err == nil {
			return actual(t), nil
		}
	}
	return time.Time{}, fmt.Errorf("%s: is not a date or a time such as 2006-01-02 or 2006-01-02T15:04:05Z", field)
}

// actual returns t, or the zero time if t is one of the dates by which systems
// say that there is none: any in the year 9999, or in the year 1.
func actual(t time.Time) time.Time {
	if t.Year() >= 9999 || t.Year() <= 1 {
		return time.Time{}
	}
	return t
}
