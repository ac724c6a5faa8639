package calendar

import (
	"cmp"
	"encoding/json"
	"errors"
	"strings"
	"time"
)

// The years that a Date can have. Systems use those outside for "no date".
const (
	minYear = 2
	maxYear = 9998
)

// A Date is a day of the calendar, without a zone. The zero Date is no date.
// Dates can be compared with == and be keys of maps. In JSON, no date is null;
// with the option omitzero it is left out.
type Date struct {
	year       int16
	month, day uint8
}

// NewDate returns a date. As in [time.Date], what is too much counts on:
// February 30 is March 2 (or 1). Outside of the years 2 to 9998 it is no date.
// The date of a moment is NewDate(t.In(zone).Date()).
func NewDate(year int, month time.Month, day int) Date {
	year, month, day = time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Date()
	if year < minYear || year > maxYear {
		return Date{}
	}
	return Date{int16(year), uint8(month), uint8(day)}
}

var (
	errNoDate = errors.New("date: is not a date such as 2006-01-02")
	errMoment = errors.New("date: is a moment, not a date: decode a time.Time and take NewDate(t.In(zone).Date())")
	errNoText = errors.New("date: must be a JSON string or null")
)

// The layouts of ISO 8601 that occur, and SAP's.
var (
	dateLayouts = [...]string{time.DateOnly, "20060102", "2006-01-02T15:04:05", "2006-01-02T15:04"}
	zoneLayouts = [...]string{"2006-01-02T15:04:05Z07:00", "2006-01-02T15:04:05Z0700", "2006-01-02T15:04Z07:00"}
)

// ParseDate reads a date: 2006-01-02 or 20060102.
//
// Some systems add a time of day (2006-01-02T15:04:05). It is dropped, if there
// is no doubt about the date: with a zone or an offset from UTC it must be
// midnight as written, since any other time may be that of another day
// elsewhere (2006-01-01T23:00:00Z).
//
// These are no date, and no error: an empty text, any day of the year 9999
// (9999-12-31), of the years 0 and 1 (0001-01-01), and zeros (00000000,
// 0000-00-00), all of them also with a time of day.
func ParseDate(s string) (Date, error) {
	s = strings.ToUpper(s) // RFC 3339, section 5.6: "t" and "z" are allowed
	if len(s) > len(time.DateOnly) && s[len(time.DateOnly)] == ' ' {
		s = s[:len(time.DateOnly)] + "T" + s[len(time.DateOnly)+1:]
	}
	day, _, _ := strings.Cut(s, "T")
	if s == "" || s == "00000000" {
		return Date{}, nil
	}
	if day == "0000-00-00" {
		s = "0001-01-01" + s[len(day):]
	}
	for _, layout := range dateLayouts {
		if t, err := time.Parse(layout, s); err == nil {
			return NewDate(t.Date()), nil
		}
	}
	for _, layout := range zoneLayouts {
		t, err := time.Parse(layout, s)
		if err != nil {
			continue
		}
		d := NewDate(t.Date())
		if midnight := t.Equal(time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, t.Location())); !d.IsZero() && !midnight {
			return Date{}, errMoment
		}
		return d, nil
	}
	return Date{}, errNoDate
}

// IsZero reports whether d is no date.
func (d Date) IsZero() bool { return d == Date{} }

// Compare returns -1 if d is before other, 1 if it is after, and 0 if they are
// the same. No date is before all dates.
func (d Date) Compare(other Date) int {
	return cmp.Or(cmp.Compare(d.year, other.year), cmp.Compare(d.month, other.month), cmp.Compare(d.day, other.day))
}

// In returns the moment at which the day begins in zone; nil is [Oslo]. It is
// the zero time if d is no date.
func (d Date) In(zone *time.Location) time.Time {
	if d.IsZero() {
		return time.Time{}
	}
	return startOfDay(d.plus(0, 0), zone)
}

// plus returns midnight UTC of the date that is so many months and then days
// later. A day that the month does not have is its last: January 31 and a month
// is February 28 (or 29).
func (d Date) plus(months, days int) time.Time {
	month := time.Month(int(d.month) + months)
	last := time.Date(int(d.year), month+1, 0, 0, 0, 0, 0, time.UTC).Day()
	return time.Date(int(d.year), month, min(int(d.day), last)+days, 0, 0, 0, 0, time.UTC)
}

// String returns the date as 2006-01-02, and "" for no date.
func (d Date) String() string {
	if d.IsZero() {
		return ""
	}
	return d.plus(0, 0).Format(time.DateOnly)
}

// MarshalText returns what String does.
func (d Date) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what [ParseDate] does.
func (d *Date) UnmarshalText(text []byte) error {
	date, err := ParseDate(string(text))
	if err == nil {
		*d = date
	}
	return err
}

// MarshalJSON returns the date as a string, and null for no date.
func (d Date) MarshalJSON() ([]byte, error) {
	if d.IsZero() {
		return []byte("null"), nil
	}
	return []byte(`"` + d.String() + `"`), nil
}

// UnmarshalJSON reads a string as [ParseDate] does; null is no date.
func (d *Date) UnmarshalJSON(data []byte) error {
	var text *string
	if err := json.Unmarshal(data, &text); err != nil {
		return errNoText
	}
	if text == nil {
		*d = Date{}
		return nil
	}
	return d.UnmarshalText([]byte(*text))
}
