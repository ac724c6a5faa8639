package calendar

import (
	"testing"
	"time"
	_ "time/tzdata" // for machines without a time zone database

	"github.com/stretchr/testify/require"
)

func TestOsloWithoutADatabase(t *testing.T) {
	zone := embeddedOslo()
	require.Equal(t, "Europe/Oslo", zone.String())
	require.Equal(t, "Europe/Oslo", Oslo().String())
	for _, tc := range []struct{ utc, offset string }{
		{"2026-03-29T00:59:59Z", "+01:00"}, {"2026-03-29T01:00:00Z", "+02:00"},
		{"2026-10-25T00:59:59Z", "+02:00"}, {"2026-10-25T01:00:00Z", "+01:00"},
		{"2099-07-01T00:00:00Z", "+02:00"}, {"1995-09-24T01:00:00Z", "+01:00"},
	} {
		at, err := time.Parse(time.RFC3339, tc.utc)
		require.NoError(t, err)
		require.Equal(t, tc.offset, at.In(zone).Format("-07:00"), tc.utc)
		require.Equal(t, tc.offset, at.In(Oslo()).Format("-07:00"), tc.utc)
	}
}

func TestStartOfDay(t *testing.T) {
	for _, tc := range []struct{ name, zone, day, want string }{
		{"winter", "Europe/Oslo", "2026-01-01", "2026-01-01T00:00:00+01:00"},
		{"summer", "Europe/Oslo", "2026-08-01", "2026-08-01T00:00:00+02:00"},
		{"23 hours", "Europe/Oslo", "2026-03-29", "2026-03-29T00:00:00+01:00"},
		{"the day after", "Europe/Oslo", "2026-03-30", "2026-03-30T00:00:00+02:00"},
		{"25 hours", "Europe/Oslo", "2026-10-25", "2026-10-25T00:00:00+02:00"},
		{"the day after", "Europe/Oslo", "2026-10-26", "2026-10-26T00:00:00+01:00"},
		{"before there were zones", "Europe/Oslo", "1800-01-01", "1800-01-01T00:00:00+00:43"},
		{"last", "Europe/Oslo", "9998-12-31", "9998-12-31T00:00:00+01:00"},
		{"first", "UTC", "0002-01-01", "0002-01-01T00:00:00Z"},
		{"no midnight", "America/Sao_Paulo", "2018-11-04", "2018-11-04T01:00:00-02:00"},
		{"the day before ends twice", "America/Sao_Paulo", "2018-02-18", "2018-02-18T00:00:00-03:00"},
		{"no midnight", "Asia/Beirut", "2021-03-28", "2021-03-28T01:00:00+03:00"},
		{"midnight twice", "America/Havana", "2021-11-07", "2021-11-07T00:00:00-04:00"},
		{"midnight twice, with the day before in between", "America/St_Johns", "2006-10-29", "2006-10-29T00:00:00-02:30"},
		{"no such day", "Pacific/Apia", "2011-12-30", "2011-12-31T00:00:00+14:00"},
		{"after no such day", "Pacific/Apia", "2011-12-31", "2011-12-31T00:00:00+14:00"},
		{"before no such day", "Pacific/Apia", "2011-12-29", "2011-12-29T00:00:00-10:00"},
		{"the same day twice", "Pacific/Kwajalein", "1969-09-30", "1969-09-30T00:00:00+11:00"},
	} {
		t.Run(tc.name+" in "+tc.zone, func(t *testing.T) {
			zone, err := time.LoadLocation(tc.zone)
			require.NoError(t, err)
			day, err := time.Parse(time.DateOnly, tc.day)
			require.NoError(t, err)
			require.Equal(t, tc.want, startOfDay(day, zone).Format(time.RFC3339))
			require.Equal(t, tc.want, NewDate(day.Date()).In(zone).Format(time.RFC3339))
		})
	}
	require.True(t, Date{}.In(time.UTC).IsZero())
	require.Equal(t, "2026-08-01T00:00:00+02:00", NewDate(2026, 8, 1).In(nil).Format(time.RFC3339))
}

// Around every change of the clocks, the start of a day is the first minute at
// which the clocks show it or a later one.
func TestStartOfDayAroundChanges(t *testing.T) {
	shown := func(at time.Time) time.Time { // as if it were UTC
		_, offset := at.Zone()
		return at.UTC().Add(time.Duration(offset) * time.Second)
	}
	for _, name := range []string{
		"Europe/Oslo", "America/Sao_Paulo", "America/Havana", "America/St_Johns", "America/Asuncion", "Asia/Beirut",
		"Asia/Gaza", "Asia/Tehran", "Pacific/Apia", "Pacific/Kwajalein", "Africa/Cairo", "Antarctica/Casey",
	} {
		t.Run(name, func(t *testing.T) {
			zone, err := time.LoadLocation(name)
			require.NoError(t, err)
			changes := 0
			change := time.Date(1990, 1, 1, 0, 0, 0, 0, zone)
			for {
				_, change = change.ZoneBounds()
				if change.IsZero() || change.Year() > 2030 {
					break
				}
				changes++
				midnight := shown(change).Truncate(24 * time.Hour)
				for _, day := range []time.Time{midnight.AddDate(0, 0, -1), midnight, midnight.AddDate(0, 0, 1)} {
					first := day.Add(-15 * time.Hour).In(zone)
					for shown(first).Before(day) {
						first = first.Add(time.Minute)
					}
					require.True(t, first.Equal(startOfDay(day, zone)), "%v: %v, want %v", day, startOfDay(day, zone), first)
				}
			}
			require.NotZero(t, changes)
		})
	}
}
